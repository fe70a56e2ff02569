"""A listing that is made once and shown for a while, so that not every request lists the store."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Remembered"]

log = logging.getLogger(__name__)
T = TypeVar("T")

#: What is older than this many times `fresh_for` is not shown any more: who asks waits for a new one.
_TOO_OLD = 5.0


class Remembered(Generic[T]):
    """What `make` gives, at most `fresh_for` seconds old where somebody asks all the time.

    One that is older is made again in the background while the old one is shown, up to five times as old; after
    that, and after `forget`, callers wait. Only one thread makes it at a time.
    """

    def __init__(self, make: Callable[[], T], fresh_for: float) -> None:
        self._make = make
        self._fresh_for = fresh_for
        self._making = threading.Lock()
        self._state = threading.Lock()
        self._value: T | None = None
        self._made = float("-inf")
        self._wanted = 0
        self._in_background = False

    def get(self) -> T:
        """The value; raises what `make` raises."""
        with self._state:
            value, age = self._value, time.monotonic() - self._made
            background = value is not None and self._fresh_for < age <= self._fresh_for * _TOO_OLD
            start = background and not self._in_background
            self._in_background = self._in_background or start
        if start:
            threading.Thread(target=self._in_time, name="slidelake-listing", daemon=True).start()
        if value is not None and (age <= self._fresh_for or background):
            return value
        return self._now()

    def peek(self) -> T | None:
        """The value where it may be shown without waiting; None where it has to be made."""
        with self._state:
            fresh = time.monotonic() - self._made <= self._fresh_for
            return self._value if fresh else None

    def refresh(self) -> None:
        """Somebody asks for what the value lacks: make it again, unless that was done within `fresh_for`."""
        with self._state:
            stale = time.monotonic() - self._made > self._fresh_for
        if stale:
            self._now()

    def forget(self) -> None:
        """Something was changed: the next one who asks gets a value that was made after this call."""
        with self._state:
            self._value, self._made = None, float("-inf")
            self._wanted += 1

    def _now(self) -> T:
        asked = time.monotonic()
        with self._making:
            with self._state:
                # Another thread may have made it while this one waited.
                if self._value is not None and self._made >= asked:
                    return self._value
                wanted = self._wanted
            started = time.monotonic()
            value = self._make()
            with self._state:
                if wanted == self._wanted:  # else something changed while it was made
                    self._value, self._made = value, started
            return value

    def _in_time(self) -> None:
        try:
            self._now()
        except Exception:
            # Shown to the next caller who has to wait for it; until then the old one stands.
            log.warning("a listing could not be made again", exc_info=True)
        finally:
            with self._state:
                self._in_background = False
