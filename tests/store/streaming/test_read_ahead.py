"""Items made ahead by threads: their order, their errors, how many at most, and the threads' end."""

import threading
import time
from collections.abc import Iterator

import pytest

from slidelake.store.streaming.read_ahead import Pace, ReadAhead, made_alone


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def paced(gap: float, inline: float | None = None, thread: float | None = None) -> Pace:
    pace = Pace()
    for what, seconds in (("gap", gap), ("inline", inline), ("thread", thread)):
        if seconds is not None:
            pace.saw(what, seconds)
    return pace


@pytest.mark.parametrize("threads", [None, 0, 1, 3])
def test_everything_comes_in_order(threads: int | None) -> None:
    def make(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number * 10

    ahead = ReadAhead(make, range(4, 30, 2), threads)
    assert list(ahead) == [number * 10 for number in range(4, 30, 2)]
    ahead.close()
    empty = ReadAhead(make, range(0), threads)
    assert list(empty) == []
    empty.close()


@pytest.mark.parametrize("threads", [None, 0, 1, 3])
def test_an_error_comes_at_its_place(threads: int | None) -> None:
    def make(number: int) -> int:
        if number == 5:
            raise ValueError("five")
        return number

    ahead = ReadAhead(make, range(10), threads)
    seen: list[int] = []
    with pytest.raises(ValueError, match="five"):
        seen.extend(ahead)
    ahead.close()
    assert seen == [0, 1, 2, 3, 4]


def test_a_first_item_that_was_made_before_is_taken() -> None:
    made: list[int] = []

    def make(number: int) -> int:
        made.append(number)
        if number == 20:
            raise ValueError("twenty")
        return number

    ahead = ReadAhead(make, range(3, 8), None, paced(1.0, 1.0), made_alone(make, 3))
    assert list(ahead) == [3, 4, 5, 6, 7]
    ahead.close()
    assert made == [3, 4, 5, 6, 7]
    failed = ReadAhead(make, range(20, 25), 1, None, made_alone(make, 20))
    with pytest.raises(ValueError, match="twenty"):
        next(iter(failed))
    failed.close()


@pytest.mark.parametrize("threads", [1, 3])
def test_no_more_is_made_than_threads_ahead(threads: int) -> None:
    made: list[int] = []
    ahead = ReadAhead(lambda number: made.append(number), range(50), threads)
    for number, _ in enumerate(ahead):
        time.sleep(0.005)
        assert len(made) <= number + 1 + threads
        if number == 9:
            break
    ahead.close()
    assert len(made) <= 10 + threads


def test_threads_work_at_once() -> None:
    gate = threading.Barrier(3, timeout=20)
    ahead = ReadAhead(lambda number: gate.wait(), range(6), 3)
    assert len(list(ahead)) == 6
    ahead.close()


def test_a_pace_that_covers_reading_reads_ahead() -> None:
    names: list[str] = []

    def make(number: int) -> None:
        names.append(threading.current_thread().name)
        time.sleep(0.02)

    # The next epoch knows from the last: only its first item is made in line.
    ahead = ReadAhead(make, range(4), None, paced(gap=0.06, inline=0.02))
    for _ in ahead:
        time.sleep(0.06)
    ahead.close()
    assert names[0] == "MainThread"
    assert {name.split("-")[0] for name in names[1:]} == {"slidelake"}


def test_a_consumer_that_is_faster_reads_in_line() -> None:
    names: list[str] = []

    def make(number: int) -> None:
        names.append(threading.current_thread().name)
        time.sleep(0.003)

    ahead = ReadAhead(make, range(12), None)
    for _ in ahead:
        pass
    ahead.close()
    assert set(names) == {"MainThread"}


@pytest.mark.parametrize(
    ("pace", "ahead"),
    [
        (Pace(), False),  # nothing is known yet
        (paced(gap=0.005, inline=0.002), True),  # the step hides the read
        (paced(gap=0.00001, inline=0.002), False),  # a bare loop
        (paced(gap=0.005, inline=0.00005), False),  # so little is not worth a thread
        (paced(gap=0.001, inline=0.002, thread=0.006), False),  # the thread is so much slower
        (paced(gap=0.001, inline=0.002, thread=0.0021), True),
        (paced(gap=0.005, thread=0.002), True),
    ],
)
def test_when_to_read_ahead(pace: Pace, ahead: bool) -> None:
    assert pace.ahead() is ahead


def test_a_slow_thread_is_forgotten() -> None:
    pace = paced(gap=0.004, inline=0.002, thread=0.1)
    assert not pace.ahead()
    for _ in range(200):
        pace.saw("inline", 0.002)
    assert pace.ahead()


def test_leaving_early_ends_the_threads() -> None:
    ahead = ReadAhead(lambda number: number, range(100), 2)
    for item in ahead:
        if item == 3:
            break
    ahead.close()
    ahead.close()
    assert not [thread for thread in threading.enumerate() if "read-ahead" in thread.name]
