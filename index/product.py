"""Nearest vectors by a plain product: every vector is looked at, in float32, and the best are scored again.

float32 proposes with a margin wider than its error, float64 decides (`candidates.cosines`): so the hits and their
scores are those of any other exact search, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from slidelake.index.blocks import Block
from slidelake.index.candidates import Candidates, cosines, ordered
from slidelake.index.quantised import Quantised

__all__ = ["SCAN_ERROR", "best_patches", "best_slides", "paired_cosines"]

#: A scan in float16 or float32 agrees with the true cosine within 3e-7 (measured over 20,000 × 256); a candidate
#: is only ruled out when it is farther than the last hit by more than this.
SCAN_ERROR = 1e-5
#: Rows whose products with many vectors are held at once.
_ROWS_AT_ONCE = 8192


@dataclass
class _Kept:
    """Rows of one block that may be among the best: vectors, who they are, how near, to which of the queries."""

    vectors: np.ndarray
    slides: list[str]
    rows: np.ndarray
    x: np.ndarray
    y: np.ndarray
    near: np.ndarray
    which: np.ndarray


def best_patches(blocks: Iterable[Block], vectors: np.ndarray, k: int) -> Candidates:
    """The `k` rows, and all that may tie with the last, whose best cosine with any of (m, D) unit vectors is highest.

    With several vectors float32 says which of them a row is nearest to; the score is the true cosine with that one.
    """
    kept: list[_Kept] = []
    floor = -np.inf
    for block in blocks:
        near, which = _nearest(block, vectors, k)
        places = np.flatnonzero(near > max(floor - 2 * SCAN_ERROR, -2.0))
        if len(places) > k:
            cut = np.partition(near[places], len(places) - k)[len(places) - k]
            places = places[near[places] >= cut - 2 * SCAN_ERROR]
        kept.append(
            _Kept(
                block.vectors[places],
                block.slides(places),
                block.rows[places],
                block.x[places],
                block.y[places],
                near[places],
                which[places],
            )
        )
        floor = _kth(kept, k)
    found = [_above(each, floor - 2 * SCAN_ERROR) for each in kept]
    if not found:
        return Candidates.none()
    scores = np.concatenate([paired_cosines(each.vectors, vectors, each.which) for each in found])
    slides = [slide for each in found for slide in each.slides]
    rows = np.concatenate([each.rows for each in found])
    return Candidates(
        slides=slides,
        rows=rows,
        x=np.concatenate([each.x for each in found]),
        y=np.concatenate([each.y for each in found]),
        scores=scores,
        order=ordered(scores, slides, rows),
    )


def best_slides(blocks: Iterable[Block], vectors: np.ndarray) -> dict[str, np.ndarray]:
    """For each slide, (m,) float32: the best cosine that any of its rows has with each of (m, D) unit vectors."""
    found: dict[str, np.ndarray] = {}
    for block in blocks:
        for start in range(0, len(block), _ROWS_AT_ONCE):
            part = slice(start, min(start + _ROWS_AT_ONCE, len(block)))
            products = _products(block, part, vectors)
            codes = block.codes[part]
            # A slide's rows lie side by side, as they were written.
            begins = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
            for code, best in zip(codes[begins], np.maximum.reduceat(products, begins, axis=0), strict=True):
                if np.isfinite(best[0]):
                    slide = block.keys[code][0]
                    found[slide] = np.maximum(found[slide], best) if slide in found else best
    return found


def paired_cosines(vectors: np.ndarray, queries: np.ndarray, which: np.ndarray) -> np.ndarray:
    """(n,) float32 cosines of each of (n, D) with its own of (m, D) queries, `which` (n,) saying which."""
    found = np.empty(len(vectors), np.float32)
    for each in np.unique(which):
        own = np.flatnonzero(which == each)
        found[own] = cosines(vectors[own], queries[each])
    return found


def _nearest(block: Block, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(n,) the best float32 cosine of each row, -inf where it may not be, or is surely not, among the `k` best; (n,)
    with which of the vectors."""
    if len(vectors) == 1 and block.quantised is not None:
        return _few(block, block.quantised, vectors[0], k), np.zeros(len(block), np.intp)
    near, which = np.empty(len(block), np.float32), np.empty(len(block), np.intp)
    for start in range(0, len(block), _ROWS_AT_ONCE):
        part = slice(start, min(start + _ROWS_AT_ONCE, len(block)))
        products = _products(block, part, vectors)
        which[part] = products.argmax(axis=1)
        near[part] = np.take_along_axis(products, which[part, None], axis=1)[:, 0]
    return near, which


def _few(block: Block, quantised: Quantised, query: np.ndarray, k: int) -> np.ndarray:
    """As `_nearest` for one vector: most rows are ruled out by their 8 bits."""
    unit = query / np.linalg.norm(query)
    near, slack = quantised.bounds(unit)
    near[~block.keep] = -np.inf
    lower = near - slack
    least = np.partition(lower, len(lower) - k)[len(lower) - k] if len(lower) > k else -np.inf
    places = np.flatnonzero((near + slack >= least - 2 * SCAN_ERROR) & block.keep)
    found = np.full(len(block), -np.inf, np.float32)
    for start in range(0, len(places), _ROWS_AT_ONCE):
        some = places[start : start + _ROWS_AT_ONCE]
        found[some] = (block.vectors[some].astype(np.float32) @ unit) * block.inverse[some]
    return found


def _products(block: Block, part: slice, vectors: np.ndarray) -> np.ndarray:
    """(rows, m) float32 cosines of a part of the block; -inf in rows that may not be found."""
    products: np.ndarray = (_wide(block.vectors[part]) @ vectors.T) * block.inverse[part, None]
    products[~block.keep[part]] = -np.inf
    return products


def _wide(vectors: np.ndarray) -> np.ndarray:
    return vectors.astype(np.float32, copy=False)


def _kth(kept: list[_Kept], k: int) -> float:
    near = np.concatenate([each.near for each in kept])
    return float(np.partition(near, len(near) - k)[len(near) - k]) if len(near) >= k else -np.inf


def _above(kept: _Kept, least: float) -> _Kept:
    places = np.flatnonzero(kept.near >= least)
    return _Kept(
        kept.vectors[places],
        [kept.slides[place] for place in places],
        kept.rows[places],
        kept.x[places],
        kept.y[places],
        kept.near[places],
        kept.which[places],
    )
