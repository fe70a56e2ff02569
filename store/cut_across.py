"""Arrays cut into chunks along another axis than their first (pooled scores, (K, N)): small, and read whole."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from slidelake.store.profile import ArrayProfile

__all__ = ["CutAcross"]


class _Chunks(Protocol):
    profile: ArrayProfile

    def read_chunks(self) -> NDArray[Any]: ...


class CutAcross:
    """The array of a shard whose inner chunks do not lie row after row: they are put together in memory."""

    def __init__(self, shard: _Chunks) -> None:
        self._shard = shard

    def read_into(self, out: NDArray[Any]) -> None:
        """Reads the whole array into a buffer of its shape and dtype."""
        out[...] = self._whole()

    def take(self, rows: NDArray[np.intp], out: NDArray[Any]) -> None:
        """Takes the rows of these numbers (checked already) into a buffer of their number, in their order."""
        np.take(self._whole(), rows, axis=0, out=out, mode="clip")

    def mapped(self) -> None:
        """Nothing: no row lies in one piece."""
        return None

    def blocks(self) -> Iterator[NDArray[Any]]:
        """The whole array, as one block."""
        yield np.ascontiguousarray(self._whole())

    def _whole(self) -> NDArray[Any]:
        return self._shard.profile.from_chunks(self._shard.read_chunks())
