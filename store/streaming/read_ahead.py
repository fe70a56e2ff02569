"""Batches made ahead of their consumer by threads, in order; or in line, where that is the quicker way.

Warm and local, a thread of its own makes reading slower (it shares caches, memory bus and the interpreter with
the consumer), and pays only where the consumer does something meanwhile. So one thread reads one batch ahead if
the consumer's own time covers it, and else the batch is read when it is asked for. Cold or remote reads wait
for others than the processor: there several threads read several batches.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Generic, TypeVar

__all__ = ["Answer", "Pace", "ReadAhead", "made_alone"]

log = logging.getLogger(__name__)

T = TypeVar("T")
_Made = tuple[T | None, BaseException | None]
#: Where an item is, or will be: with what its making raised.
Answer = SimpleQueue[_Made[T]]

# What handing a batch over between threads costs, about.
_HANDOVER = 1e-4
# What a thread takes longer, before that is known.
_THREAD = 1.5
# How far a new time moves the one that is expected; how far one that is not measured now moves back.
_NEW, _FORGET = 0.3, 0.05
#: A thread that cannot be stopped (a server that does not answer) is left behind after so many seconds.
_PATIENCE = 10.0


class Pace:
    """Decides whether to read ahead, by the times seen: the consumer's own, and reading's in line and in a thread."""

    def __init__(self) -> None:
        self.gap: float | None = None
        self.inline: float | None = None
        self.thread: float | None = None
        #: When the consumer got its last item.
        self.handed = 0.0

    def saw(self, what: str, seconds: float) -> None:
        """Takes in one time: `gap`, `inline` or `thread`."""
        before = getattr(self, what)
        setattr(self, what, seconds if before is None else before + _NEW * (seconds - before))
        if what == "inline" and self.thread is not None:
            # A thread that was slow once is tried again some time.
            self.thread += _FORGET * (_THREAD * seconds - self.thread)

    def ahead(self) -> bool:
        """Whether the next item is there sooner if a thread makes it while the consumer works."""
        gap, inline, thread = self.gap, self.inline, self.thread
        if gap is None:
            return False
        if thread is None:
            thread = _THREAD * (inline or 0.0)
        # In line it takes no longer than in a thread.
        inline = thread if inline is None else min(inline, thread)
        return max(gap, thread) + _HANDOVER < gap + inline


def made_alone(make: Callable[[int], T], number: int) -> Answer[T]:
    """Has one item made by a thread that ends with it: an epoch's first, during the last step of the one before."""
    answer: Answer[T] = SimpleQueue()

    def work() -> None:
        try:
            answer.put((make(number), None))
        except BaseException as exc:  # noqa: BLE001 - the consumer gets it, at its place in the order
            answer.put((None, exc))

    threading.Thread(target=work, name="slidelake-first-batch", daemon=True).start()
    return answer


class ReadAhead(Generic[T]):
    """`make(number)` for each number of a range, in order. Iterate it once, and close it.

    `threads` of them work on as many items ahead; 0: none; None: one where `pace` finds that it helps (hand the same
    one to the next epoch's: it has learned). What `make` raises is raised at the item's place in the order.
    `first` is where the first item is, if it is made already. `close` ends the threads.
    """

    def __init__(
        self,
        make: Callable[[int], T],
        numbers: range,
        threads: int | None,
        pace: Pace | None = None,
        first: Answer[T] | None = None,
    ) -> None:
        self._make = make
        self._numbers = numbers
        self._count = 1 if threads is None else threads
        self._pace = (pace or Pace()) if threads is None else None
        self._coming = iter(numbers)
        # A trainer's step leaves the processor's caches cold, so what runs between two steps is kept short: queues
        # written in C, a new one for each item, rather than a lock, a condition and a dictionary.
        self._work: SimpleQueue[tuple[int, Answer[T]] | None] = SimpleQueue()
        self._ahead: deque[Answer[T]] = deque()
        if first is not None and next(self._coming, None) is not None:
            self._ahead.append(first)
        self._closed = False
        self._threads: list[threading.Thread] = []

    def __iter__(self) -> Iterator[T]:
        pace = self._pace
        if pace is None:
            for _ in range(self._count):
                self._send()
        for _ in self._numbers:
            # No name here holds on to an item while the consumer has it: its memory is to come back.
            if self._ahead:
                yield self._take()
            else:
                yield self._inline()
            if pace is not None:
                pace.saw("gap", time.perf_counter() - pace.handed)

    def _take(self) -> T:
        item, error = self._ahead.popleft().get()
        if error is not None:
            raise error
        if self._pace is None:
            self._send()
        else:
            self._by_pace(self._pace)
        return item  # type: ignore[return-value]

    def _inline(self) -> T:
        began = time.perf_counter()
        item = self._make(next(self._coming))
        if self._pace is not None:
            self._pace.saw("inline", time.perf_counter() - began)
            self._by_pace(self._pace)
        return item

    def _by_pace(self, pace: Pace) -> None:
        if pace.ahead():
            self._send()
        pace.handed = time.perf_counter()

    def _send(self) -> None:
        """Has a thread make the next item."""
        number = next(self._coming, None)
        if number is None:
            return
        if len(self._threads) < self._count:
            name = f"slidelake-read-ahead-{len(self._threads)}"
            thread = threading.Thread(target=self._serve, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        answer: Answer[T] = SimpleQueue()
        self._ahead.append(answer)
        self._work.put((number, answer))

    def _serve(self) -> None:
        while (task := self._work.get()) is not None:
            if not self._closed:
                self._answer(*task)

    def _answer(self, number: int, answer: Answer[T]) -> None:
        # What is made is held nowhere else once this returns, so that a batch's memory can be used again.
        began = time.perf_counter()
        try:
            answer.put((self._make(number), None))
        except BaseException as exc:  # noqa: BLE001 - the consumer gets it, at its place in the order
            answer.put((None, exc))
        if self._pace is not None:
            self._pace.saw("thread", time.perf_counter() - began)

    def close(self) -> None:
        """Ends the threads, after what they are at; what was read ahead is let go of."""
        self._closed = True
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            # Garbage can be collected in any thread, in one of these too.
            if thread is not threading.current_thread():
                thread.join(_PATIENCE)
                if thread.is_alive():
                    log.warning(
                        "a thread is left behind: its read does not end", extra={"thread": thread.name}
                    )
        self._threads.clear()
        self._ahead.clear()
