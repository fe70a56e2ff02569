"""Candidates for hits with their true scores, in the one order that hits have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Candidates", "cosines", "ordered"]

#: Rows that are made float64 at once: (4,096, 2,560) take 84 MB.
_ROWS_AT_ONCE = 4096


@dataclass
class Candidates:
    """Rows (n,) of an index's table: slide, row, level-0 x and y, cosine; `order` ranks those that count.

    `farthest` is the greatest distance that was looked at, `exhausted` whether there was no more to look at.
    """

    slides: list[str]
    rows: np.ndarray
    x: np.ndarray
    y: np.ndarray
    scores: np.ndarray
    order: np.ndarray
    farthest: float = np.inf
    exhausted: bool = True

    @classmethod
    def none(cls) -> Candidates:
        empty = np.empty(0, np.int64)
        return cls([], empty, empty, empty, np.empty(0, np.float32), empty)


def ordered(scores: np.ndarray, slides: list[str], rows: np.ndarray) -> np.ndarray:
    """(n,) places in falling order of score; ties by slide_id, then row."""
    return np.lexsort((rows, np.array(slides, dtype=str), -scores))


def cosines(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Cosines of (n, D) with (D,), float32. Summed row by row in float64: BLAS would let n change the last
    bits.
    """
    one = query.astype(np.float64)
    found = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        wide = vectors[start : start + _ROWS_AT_ONCE].astype(np.float64)
        products = (wide * one).sum(axis=1)
        norms = np.sqrt((wide * wide).sum(axis=1) * (one * one).sum())
        found[start : start + _ROWS_AT_ONCE] = np.clip(products / norms, -1, 1)
    return found
