"""A collection's vectors in memory, for a server: every search is then exact, and one product.

200,000 × 512 take 315 MB, as float16 and in 8 bits (`quantised.py`), and a search a few ms of one core; LanceDB's exact
scan of them takes 590 ms on two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from slidelake.index.blocks import Block, inverse_norms, matrix
from slidelake.index.live import Version
from slidelake.index.quantised import empty_quantised

if TYPE_CHECKING:
    from slidelake.index.scope import Opened, Scope

__all__ = ["Resident", "load"]

_ROWS_AT_ONCE = 16_384
_COLUMNS = ("tissue", "blur")


@dataclass(frozen=True)
class Resident:
    """All vectors of a table at one version; `columns` are the patches' own, float64, NaN where a value is missing."""

    version: int
    block: Block
    columns: dict[str, np.ndarray]

    @property
    def bytes(self) -> int:
        """Memory of the vectors and of what stands beside them."""
        block = self.block
        assert block.quantised is not None
        arrays = (
            block.vectors,
            block.inverse,
            block.codes,
            block.rows,
            block.x,
            block.y,
            *self.columns.values(),
        )
        return block.quantised.bytes + sum(array.nbytes for array in arrays)

    def within(self, scope: Scope, *, only: set[str] | None = None) -> Block:
        """The vectors, with `keep` as the scope says; `only` these slides."""
        block = self.block
        current = np.array(
            [scope.current(*key) and (only is None or key[0] in only) for key in block.keys], bool
        )
        keep = current[block.codes]
        if scope.exclude_rows is not None:
            slide_id, rows = scope.exclude_rows
            own = np.array([key[0] == slide_id for key in block.keys], bool)
            keep &= ~(own[block.codes] & np.isin(block.rows, rows))
        for condition in scope.patch_conditions:
            keep &= condition.holds(scope.opened.columns[condition.column], self._values(condition.column))
        return replace(block, keep=keep)

    def _values(self, column: str) -> np.ndarray:
        own = {"row": self.block.rows, "x": self.block.x, "y": self.block.y}
        return own[column].astype(np.float64) if column in own else self.columns[column]


def load(opened: Opened) -> Resident:
    """Read a table's vectors into memory."""
    table = opened.table
    patches = not opened.collection.aggregator
    total, dim = table.count_rows(), opened.dim
    vectors, quantised = np.empty((total, dim), np.float16), empty_quantised(total, dim)
    inverse, codes = np.empty(total, np.float32), np.empty(total, np.int32)
    rows, x, y = (np.empty(total, np.int32) for _ in range(3))
    columns = {name: np.full(total, np.nan, np.float32) for name in (_COLUMNS if patches else ())}
    places: dict[tuple[str, Version], int] = {}
    names = ["slide_id", "epoch", "generation", "row", *(["x", "y", *_COLUMNS] if patches else []), "vector"]
    start = 0
    for batch in table.search().select(names).to_batches(_ROWS_AT_ONCE):
        part = slice(start, start + batch.num_rows)
        start += batch.num_rows
        vectors[part] = matrix(batch["vector"])
        wide = vectors[part].astype(np.float32)
        inverse[part] = inverse_norms(wide)
        quantised.put(part, wide * inverse[part, None])
        keys = zip(
            batch["slide_id"].to_pylist(),
            batch["epoch"].to_pylist(),
            batch["generation"].to_pylist(),
            strict=True,
        )
        codes[part] = [
            places.setdefault((slide, Version(epoch, generation)), len(places))
            for slide, epoch, generation in keys
        ]
        rows[part] = np.asarray(batch["row"])
        x[part] = np.asarray(batch["x"]) if patches else rows[part]
        y[part] = np.asarray(batch["y"]) if patches else rows[part]
        for name, values in columns.items():
            values[part] = batch[name].to_numpy(zero_copy_only=False)
    block = Block(vectors, inverse, list(places), codes, rows, x, y, np.ones(total, bool), quantised)
    return Resident(opened.version, block, columns)
