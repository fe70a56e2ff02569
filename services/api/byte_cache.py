"""What was made and may be asked for again, bounded by its bytes: the least recently used goes first."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["ByteCache"]

T = TypeVar("T")


class ByteCache(Generic[T]):
    """Values by key, at most `limit` bytes of them together as `size` counts; safe for threads.

    A value larger than an eighth of the limit is not kept: it would push out everything else.
    """

    def __init__(self, limit: int, size: Callable[[T], int]) -> None:
        self.limit = limit
        self._size = size
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, T] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable) -> T | None:
        """The value of a key; None where there is none."""
        with self._lock:
            value = self._kept.get(key)
            if value is not None:
                self._kept.move_to_end(key)
            return value

    def put(self, key: Hashable, value: T) -> None:
        """Keep a value, and let go of the oldest ones until all fit."""
        size = self._size(value)
        if size > self.limit // 8:
            return
        with self._lock:
            if (old := self._kept.pop(key, None)) is not None:
                self._bytes -= self._size(old)
            self._kept[key] = value
            self._bytes += size
            while self._bytes > self.limit:
                _, gone = self._kept.popitem(last=False)
                self._bytes -= self._size(gone)

    def drop(self, gone: Callable[[Hashable], bool]) -> None:
        """Let go of the values whose keys are `gone`."""
        with self._lock:
            for key in [key for key in self._kept if gone(key)]:
                self._bytes -= self._size(self._kept.pop(key))

    def clear(self) -> None:
        """Let go of all of them."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    @property
    def bytes(self) -> int:
        """How many bytes are kept."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._kept)
