"""Memory for batches that is used again as soon as nobody looks at it any more.

Fresh memory costs a page fault for every 4 KiB (or 2 MiB) at its first touch, more than reading a warm file into it.
So memory goes round, as in a ring: a batch's comes back when the last array or tensor on it is gone. A trainer that
holds on to a batch keeps it, whole and unchanged; one that does not gets along with two or three buffers.
"""

import weakref
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["BufferPool"]

# Smaller arrays come out of malloc's own free lists, which are as good.
_SMALL = 1 << 20


class BufferPool:
    """Hands out uninitialised arrays; keeps at most `spare` buffers that nobody uses.

    Threads may share it. A buffer comes back in whatever thread lets go of it, maybe in the middle of anything, so
    there is no lock: deque's own steps are atomic.
    """

    def __init__(self, spare: int = 2) -> None:
        self._free: deque[NDArray[np.uint8]] = deque(maxlen=max(1, spare))
        # Of what is out: the reference that tells when nobody uses it any more, and the memory.
        self._out: dict[int, tuple[weakref.ref[Any], NDArray[np.uint8]]] = {}

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array of numpy's memory (huge pages where the system has them), its content arbitrary."""
        kind = np.dtype(dtype)
        count = int(np.prod(shape, dtype=np.int64))
        size = count * kind.itemsize
        if size < _SMALL:
            return np.empty(shape, kind)
        memory = self._take(size)
        # Of a memoryview: numpy then keeps `lease` as the base of every view, and does not reach past it.
        lease = np.frombuffer(memory.data, np.uint8)
        # (weakref.finalize does the same in three times the time, between two steps of a trainer.)
        reference = weakref.ref(lease, self._back)
        self._out[id(reference)] = (reference, memory)
        return lease[:size].view(kind).reshape(shape)

    def _back(self, reference: "weakref.ref[Any]") -> None:
        self._free.append(self._out.pop(id(reference))[1])

    def _take(self, size: int) -> NDArray[np.uint8]:
        for _ in range(len(self._free)):
            try:
                memory = self._free.popleft()
            except IndexError:
                break  # another thread took it
            # A batch that is kept keeps its whole buffer, so a small one gets no huge one.
            if size <= len(memory) <= 8 * size:
                return memory
            # What fits nothing any more is pushed out when the next one comes back.
            self._free.append(memory)
        return np.empty(size, np.uint8)
