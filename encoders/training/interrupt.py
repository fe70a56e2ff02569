"""Ctrl-C and SIGTERM between two steps, where the state is whole and can be saved."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["noted_signals"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def noted_signals() -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether to stop. The first signal is only noted; a second Ctrl-C is Python's own.

    SIGTERM is what batch systems send before they take a machine away, and torchrun to its processes.
    """
    noted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield noted.is_set  # signals are the main thread's; it decides
        return

    def note(number: int, _frame: FrameType | None) -> None:
        if noted.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        noted.set()

    before = {each: signal.signal(each, note) for each in _SIGNALS}
    try:
        yield noted.is_set
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
