"""Vectors of an index's table, a block at a time, with what a search must know of each row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slidelake.index.live import Version
from slidelake.index.quantised import Quantised

if TYPE_CHECKING:
    from slidelake.index.scope import Scope

__all__ = ["Block", "inverse_norms", "matrix", "stream"]

_ROWS_AT_ONCE = 16_384


@dataclass(frozen=True)
class Block:
    """`vectors` (n, D) float16, or float32 that hold such values, 1 / their norms (n,), and whose they are.

    `quantised` is there where they stay in memory. `codes` (n,) index `keys`, a slide and the commit that its vectors
    are from; `x`, `y` are level-0 pixels, those of pooled slides are their rows. `keep` (n,) says which rows may be
    found.
    """

    vectors: np.ndarray
    inverse: np.ndarray
    keys: list[tuple[str, Version]]
    codes: np.ndarray
    rows: np.ndarray
    x: np.ndarray
    y: np.ndarray
    keep: np.ndarray
    quantised: Quantised | None = None

    def __len__(self) -> int:
        return len(self.codes)

    def slides(self, places: np.ndarray) -> list[str]:
        """The slides of these rows of the block."""
        return [self.keys[code][0] for code in self.codes[places]]


def stream(scope: Scope, *, only: set[str] | None = None, rows: int = _ROWS_AT_ONCE) -> Iterator[Block]:
    """The table's vectors that `scope` admits, read once, about `rows` at a time."""
    patches = not scope.opened.collection.aggregator
    columns = ["slide_id", "epoch", "generation", "row", *(["x", "y"] if patches else []), "vector"]
    search = scope.opened.table.search()
    condition = scope.condition(only=only)
    if condition is not None:
        search = search.where(condition)
    for batch in search.select(columns).to_batches(rows):
        if batch.num_rows:
            yield _block(batch, scope, patches)


def _block(batch: Any, scope: Scope, patches: bool) -> Block:
    slides = batch["slide_id"].to_pylist()
    versions = zip(batch["epoch"].to_pylist(), batch["generation"].to_pylist(), strict=True)
    places: dict[tuple[str, Version], int] = {}
    codes = np.array(
        [
            places.setdefault((slide, Version(*version)), len(places))
            for slide, version in zip(slides, versions, strict=True)
        ],
        np.int32,
    )
    keys = list(places)
    current = np.array([scope.current(*key) for key in keys], bool)
    vectors = matrix(batch["vector"]).astype(np.float32)
    row = np.asarray(batch["row"], np.int64)
    return Block(
        vectors,
        inverse_norms(vectors),
        keys,
        codes,
        row,
        np.asarray(batch["x"]) if patches else row,
        np.asarray(batch["y"]) if patches else row,
        current[codes],
    )


def matrix(column: Any) -> np.ndarray:
    """An Arrow column of fixed-size lists as (n, D)."""
    chunk = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    found: np.ndarray = np.asarray(chunk.flatten()).reshape(len(chunk), column.type.list_size)
    return found


def inverse_norms(vectors: np.ndarray) -> np.ndarray:
    """1 / norms (n,) float32 of (n, D); 0 for a row of zeros, which no search finds."""
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    found: np.ndarray = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    return found
