"""Bags in turn: some ahead, never more, and each error at its place."""

import threading
import time

import numpy as np
import pytest

from slidelake.encoders.slide.read_bags import Buffer, in_turn


@pytest.mark.parametrize("ahead", [1, 3])
def test_in_order_and_no_further_ahead_than_asked(ahead):
    taken = 0
    furthest = []

    def make(item, buffer):
        furthest.append(int(item) - taken)
        array = buffer.array((100,), np.dtype(np.int64))
        array[:] = int(item)
        return array

    with in_turn([str(n) for n in range(20)], make, ahead) as coming:
        for item, made in coming:
            array = made()
            time.sleep(0.002)  # the others are made meanwhile
            assert (array == int(item)).all()  # its memory is nobody else's until the next is asked for
            taken += 1
    assert taken == 20
    assert max(furthest) <= ahead


def test_an_error_comes_at_its_turn_and_stops_no_other():
    def make(item, buffer):
        if item == "b":
            raise ValueError("broken")
        return item

    found = []
    with in_turn(["a", "b", "c"], make, 2) as coming:
        for item, made in coming:
            if item == "b":
                with pytest.raises(ValueError, match="broken"):
                    made()
            else:
                found.append(made())
    assert found == ["a", "c"]


def test_threads_end_with_the_context():
    before = threading.active_count()
    with in_turn(list("abcdef"), lambda item, buffer: item, 3) as coming:
        next(coming)
        assert threading.active_count() > before
    assert threading.active_count() == before


def test_memory_is_used_again_unless_it_is_large(monkeypatch):
    buffer = Buffer()
    first = buffer.array((10, 4), np.dtype(np.float16))
    assert first.shape == (10, 4)
    again = buffer.array((5, 8), np.dtype(np.float16))
    assert np.shares_memory(first, again)
    monkeypatch.setattr("slidelake.encoders.slide.read_bags.LARGE_BYTES", 100)
    large = buffer.array((100, 4), np.dtype(np.float32))
    assert large.shape == (100, 4)
    assert not np.shares_memory(large, buffer.array((100, 4), np.dtype(np.float32)))
