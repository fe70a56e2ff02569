"""What the server keeps: pictures bounded by bytes, listings for a moment."""

import threading
import time

import pytest

from slidelake.services.api.byte_cache import ByteCache
from slidelake.services.api.remembered import Remembered


def test_the_cache_holds_its_limit_and_drops_the_oldest():
    cache = ByteCache(100, len)
    for number in range(12):
        cache.put(number, b"0123456789")
        cache.get(0)
    assert cache.bytes == 100
    assert len(cache) == 10
    assert cache.get(0) is not None
    assert cache.get(1) is None
    cache.put(0, b"x")
    assert cache.bytes == 91
    cache.clear()
    assert cache.bytes == len(cache) == 0


def test_what_is_too_large_is_not_kept():
    cache = ByteCache(80, len)
    cache.put("large", b"x" * 11)
    assert len(cache) == 0
    cache.put("fits", b"x" * 10)
    assert cache.bytes == 10


class Clock:
    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


def test_a_listing_is_shown_for_a_while(monkeypatch):
    clock = Clock(monkeypatch)
    made = []
    view = Remembered(lambda: made.append(1) or len(made), 2.0)
    assert view.peek() is None
    assert [view.get(), view.get()] == [1, 1]
    clock.now += 1.9
    assert view.get() == 1
    clock.now += 100
    assert view.get() == 2
    view.forget()
    assert view.peek() is None
    assert view.get() == 3


def test_one_that_is_a_little_old_is_shown_while_it_is_made_again(monkeypatch):
    clock = Clock(monkeypatch)
    made, may, done = [], threading.Event(), threading.Event()

    def make():
        made.append(1)
        if len(made) == 2:
            assert may.wait(30)
        try:
            return len(made)
        finally:
            if len(made) == 2:
                done.set()

    view = Remembered(make, 2.0)
    assert view.get() == 1
    clock.now += 3
    assert [view.get(), view.get()] == [1, 1]
    may.set()
    assert done.wait(30)
    for _ in range(3000):
        if view.peek() == 2:
            break
        threading.Event().wait(0.01)
    assert view.get() == 2
    assert len(made) == 2


def test_what_was_forgotten_while_it_was_made_is_not_kept():
    made, inside, may = [], threading.Event(), threading.Event()

    def make():
        made.append(1)
        if len(made) == 1:
            inside.set()
            assert may.wait(30)
        return len(made)

    view = Remembered(make, 60.0)
    first = []
    thread = threading.Thread(target=lambda: first.append(view.get()))
    thread.start()
    assert inside.wait(30)
    view.forget()
    may.set()
    thread.join(30)
    assert first == [1]
    assert view.get() == 2


def test_an_error_is_the_callers(monkeypatch):
    clock = Clock(monkeypatch)
    broken = []

    def make():
        if broken:
            raise OSError("away")
        return 1

    view = Remembered(make, 2.0)
    assert view.get() == 1
    broken.append(1)
    clock.now += 100
    with pytest.raises(OSError, match="away"):
        view.get()
