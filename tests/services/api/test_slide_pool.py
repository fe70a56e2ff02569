"""Open slides: bounded, shared, never closed under a reader, and a bad one costs itself only."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from slidelake.errors import TooBusyError, UnreadableSlideError
from slidelake.services.api import slide_pool
from slidelake.services.api.slide_pool import SlidePool


class Handle:
    """An open slide that notices being read when it is closed, or closed twice."""

    def __init__(self, uri, book):
        self.uri, self.book, self.closed, self.inside = uri, book, False, 0
        book.opened.append(uri)

    def read(self):
        assert not self.closed
        self.inside += 1
        time.sleep(0.0005)
        assert not self.closed
        self.inside -= 1

    def close(self):
        assert not self.closed
        assert self.inside == 0
        self.closed = True
        self.book.closed.append(self.uri)


class Book:
    """Opens handles and counts; URIs that begin with "bad" cannot be opened."""

    def __init__(self):
        self.opened, self.closed, self.tries = [], [], 0

    def __call__(self, uri):
        self.tries += 1
        if uri.startswith("bad"):
            raise UnreadableSlideError("broken", slide=uri)
        return Handle(uri, self)

    @property
    def open(self):
        return len(self.opened) - len(self.closed)


def test_a_slide_is_opened_once_for_all():
    book = Book()
    pool = SlidePool(2, book)
    with pool.borrow("a", "1") as first, pool.borrow("a", "1") as second:
        assert first is second
    with pool.borrow("a", "1") as third:
        assert third is first
    assert book.opened == ["a"]
    assert pool.open == 1


def test_the_least_recently_used_goes():
    book = Book()
    pool = SlidePool(2, book)
    for uri in ("a", "b", "a", "c"):
        with pool.borrow(uri, "1"):
            pass
    assert book.closed == ["b"]
    assert pool.open == book.open == 2


def test_a_file_that_was_replaced_is_opened_anew():
    book = Book()
    pool = SlidePool(4, book)
    with pool.borrow("a", "1") as old:
        pass
    with pool.borrow("a", "2") as new:
        assert new is not old


def test_what_is_forgotten_while_it_is_read_closes_after():
    book = Book()
    pool = SlidePool(2, book)
    with pool.borrow("a", "1") as handle:
        pool.forget("a")
        assert not handle.closed
        assert pool.open == 1
    assert handle.closed
    assert pool.open == 0


def test_closing_the_pool_waits_for_readers():
    book = Book()
    pool = SlidePool(2, book)
    with pool.borrow("a", "1") as handle:
        pool.close()
        assert not handle.closed
    assert handle.closed
    assert book.open == pool.open == 0


def test_a_bad_slide_is_not_tried_at_each_request_and_costs_no_place(monkeypatch):
    book = Book()
    pool = SlidePool(1, book)
    for _ in range(3):
        with pytest.raises(UnreadableSlideError), pool.borrow("bad", "1"):
            pass
    assert book.tries == 1
    with pool.borrow("good", "1"):
        assert pool.open == 1
    monkeypatch.setattr(slide_pool, "_BAD_FOR", 0.0)
    with pytest.raises(UnreadableSlideError), pool.borrow("bad", "1"):
        pass
    assert book.tries == 3


def test_an_error_of_the_reading_leaves_the_slide_open():
    book = Book()
    pool = SlidePool(1, book)
    with pytest.raises(ZeroDivisionError), pool.borrow("a", "1"):
        _ = 1 / 0
    with pool.borrow("a", "1") as handle:
        handle.read()
    assert book.opened == ["a"]


def test_an_opener_that_breaks_leaves_no_place_taken():
    def broken(uri):
        raise ZeroDivisionError

    pool = SlidePool(1, broken)
    with pytest.raises(ZeroDivisionError), pool.borrow("a", "1"):
        pass
    assert pool.open == 0


def test_where_all_places_are_read_one_waits_and_then_is_told():
    pool = SlidePool(1, Book(), patience=0.05)
    with pool.borrow("a", "1"), pytest.raises(TooBusyError, match="places"), pool.borrow("b", "1"):
        pass
    patient = SlidePool(1, Book(), patience=30)
    held, done = threading.Event(), threading.Event()

    def hold():
        with patient.borrow("a", "1"):
            held.set()
            done.wait(30)

    with ThreadPoolExecutor(2) as threads:
        threads.submit(hold)
        assert held.wait(30)
        waiting = threads.submit(lambda: patient.borrow("b", "1").__enter__())
        done.set()
        assert waiting.result(30).uri == "b"


def test_many_threads_over_few_places():
    book = Book()
    pool = SlidePool(3, book, patience=60)
    most = []

    def work(seed):
        rng = random.Random(seed)
        for _ in range(60):
            uri = rng.choice(["a", "b", "c", "d", "e", "bad"])
            try:
                with pool.borrow(uri, rng.choice("12")) as handle:
                    handle.read()
                    most.append(book.open)
            except UnreadableSlideError:
                assert uri == "bad"
            if rng.random() < 0.05:
                pool.forget(uri)

    with ThreadPoolExecutor(8) as threads:
        for each in [threads.submit(work, seed) for seed in range(8)]:
            each.result(120)
    assert max(most) <= 3
    pool.close()
    assert book.open == pool.open == 0
