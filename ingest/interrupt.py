"""Ctrl-C at places where it can do no harm.

Python raises KeyboardInterrupt wherever the main thread happens to be: inside compiled code it comes out as another
error, which would send a good slide to quarantine, and between a reader and its threads it closes the file under
them. So the first Ctrl-C is only noted, and raised at the next batch or slide; a second one is Python's own.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["noted_interrupts"]


@contextmanager
def noted_interrupts() -> Iterator[Callable[[], None]]:
    """Gives a function that raises KeyboardInterrupt if SIGINT came since; call it where stopping is safe."""
    noted = threading.Event()

    def check() -> None:
        if noted.is_set():
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield check  # signals are the main thread's; it decides
        return

    def note(_number: int, _frame: FrameType | None) -> None:
        if noted.is_set():
            raise KeyboardInterrupt
        noted.set()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
