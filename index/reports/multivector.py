"""Search over rows of several vectors each (a page image's patches, a passage's tokens): late interaction.

A row's score is MaxSim: for each vector of the question the best cosine among the row's vectors, and the mean of these
(Khattab & Zaharia 2020 add them up; the mean stays between -1 and 1 whatever the question's length). LanceDB proposes
the rows; the scores are computed again from the vectors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from slidelake.errors import QueryError
from slidelake.index.tables import normalise

__all__ = ["nearest_by_maxsim"]

_SPARE = 16


def nearest_by_maxsim(
    table: Any, queries: npt.ArrayLike, *, k: int, key: str = "report_id", column: str = "vectors"
) -> list[tuple[str, float]]:
    """The `k` rows (by their `key`) whose vectors meet the question's (m, D) best, with their mean MaxSim, best first.

    `column` is as `tables.vectors_field` makes it. Raises QueryError for vectors of another width, NaN or zero.
    """
    wide = np.atleast_2d(np.asarray(queries, np.float32))
    width = table.schema.field(column).type.value_type.list_size
    if wide.ndim != 2 or wide.shape[1] != width or not len(wide):
        raise QueryError(
            f"the question has vectors of shape {wide.shape}; the column {column} holds {width} numbers each",
            remedy="Encode the question with the encoder of the table.",
        )
    if not np.isfinite(wide).all():
        raise QueryError("the question's vectors hold NaN or inf", remedy="Pass finite numbers.")
    unit, usable = normalise(wide)
    if not usable.all():
        raise QueryError("a vector of the question is all zeros", remedy="Leave it out.")
    asked = unit.astype(np.float32)
    search = table.search(asked, vector_column_name=column).distance_type("cosine")
    rows = search.select([key, column, "_distance"]).limit(k + _SPARE).to_arrow().to_pylist()
    scored = [(str(row[key]), _maxsim(asked, np.asarray(row[column], np.float64))) for row in rows]
    return sorted(scored, key=lambda each: (-each[1], each[0]))[:k]


def _maxsim(asked: np.ndarray, held: np.ndarray) -> float:
    first = asked.astype(np.float64) / np.linalg.norm(asked.astype(np.float64), axis=1, keepdims=True)
    second = held / np.linalg.norm(held, axis=1, keepdims=True)
    return float((first @ second.T).max(axis=1).mean())
