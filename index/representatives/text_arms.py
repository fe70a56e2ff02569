"""The text arms: patches nearest to any of several queries, each query in its turn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import QueryError
from slidelake.index.representatives.texts import Queries
from slidelake.index.representatives.unit_rows import UnitRows

__all__ = ["query_cosines", "query_order"]


def query_cosines(
    units: UnitRows, rows: NDArray[np.int64], queries: Queries, dim: int
) -> NDArray[np.float32]:
    """(queries, n) cosine of each row with each query."""
    if queries.vectors.shape[1] != dim:
        raise QueryError(
            f"texts have {queries.vectors.shape[1]} dimensions, and the features {dim}",
            remedy="`encode_text` must give vectors of the space that `encode` gives.",
        )
    cosines = np.empty((len(queries.texts), len(rows)), np.float32)
    for part, block in units.blocks(rows):
        cosines[:, part] = queries.vectors @ block.T
    return np.clip(cosines, -1, 1)


def query_order(cosines: NDArray[np.float32]) -> Iterator[tuple[int, int, int]]:
    """(place, query, rank from 1) in rounds: every query's nearest, then every query's second, …; each place once.

    In turns, because the cosines of one query may all be higher than those of another. Of equally near rows the
    earlier comes first.
    """
    order = np.argsort(-cosines, axis=1, kind="stable")
    seen: set[int] = set()
    for rank in range(cosines.shape[1]):
        for query in range(cosines.shape[0]):
            place = int(order[query, rank])
            if place not in seen:
                seen.add(place)
                yield place, query, rank + 1
