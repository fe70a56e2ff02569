"""Chosen rows of a bag as unit vectors, block by block: a bag of 100,000 rows is never in memory as float32."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from slidelake.store import Bag

__all__ = ["UnitRows"]

_BLOCK = 8192


class UnitRows:
    """A bag's features, each divided by its length. Rows that hold NaN, inf or zeros alone have no direction."""

    def __init__(self, bag: Bag) -> None:
        mapped = bag.mapped()
        self._features: NDArray[Any] = bag.features if mapped is None else mapped
        self._scale = np.zeros(len(self._features))
        for start in range(0, len(self._features), _BLOCK):
            wide = np.asarray(self._features[start : start + _BLOCK], np.float64)
            # Squares of what float32 holds fit into float64; what is not finite makes the sum not finite.
            norms = np.sqrt(np.einsum("nd,nd->n", wide, wide))
            there = np.isfinite(norms) & (norms > 0)
            self._scale[start : start + _BLOCK] = np.divide(1.0, norms, out=np.zeros(len(norms)), where=there)

    @property
    def usable(self) -> NDArray[np.bool_]:
        """(N,) which rows have a direction."""
        return self._scale > 0

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(len(rows), D) unit vectors."""
        wide = np.asarray(self._features[rows], np.float64)
        wide *= self._scale[rows, None]
        return wide.astype(np.float32)

    def blocks(self, rows: NDArray[np.int64]) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """The chosen rows, `_BLOCK` at a time: which places of `rows`, and their unit vectors."""
        for start in range(0, len(rows), _BLOCK):
            part = slice(start, min(start + _BLOCK, len(rows)))
            yield part, self.take(rows[part])
