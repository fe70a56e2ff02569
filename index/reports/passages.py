"""The passages to show of the reports that were found: those that hold most of the question."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slidelake.index.candidates import cosines
from slidelake.index.reports.terms import FIELDS, Terms, read_terms

if TYPE_CHECKING:
    from slidelake.index.reports.scope import Scope

__all__ = ["Passages"]

#: What a cosine of 1 is worth beside the terms that a passage has, in terms of the rarest.
_COSINE_WEIGHT = 3.0


@dataclass(frozen=True)
class Passages:
    """Passages by report, best first: each row with its cosine, None without vectors."""

    by_report: dict[str, list[tuple[dict[str, Any], float | None]]]

    @classmethod
    def read(
        cls, table: Any, scope: Scope, report_ids: Sequence[str], terms: Terms, vector: np.ndarray | None
    ) -> Passages:
        """The passages of some reports, ordered by how many of the question's terms each has, the rare ones first."""
        from lancedb.expr import col

        if not report_ids:
            return cls({})
        columns = [name for name in table.schema.names if name != "vector" or vector is not None]
        found = table.search().where(col("report_id").isin(list(report_ids))).select(columns).to_arrow()
        near = cosines(_matrix(found["vector"]), vector) if vector is not None else None
        rows = found.drop_columns(["vector"]).to_pylist() if vector is not None else found.to_pylist()
        live = [i for i, row in enumerate(rows) if scope.allowed.get(row["report_id"]) == row["generation"]]
        own = {i: _terms_in(rows[i]["text"]) for i in live}
        asked = {term for name in FIELDS for term in terms.of(name)}
        if terms.concepts:
            asked -= terms.covered
        held = {term: sum(term in have for have in own.values()) for term in asked}
        rarity = {term: math.log(1 + len(live) / count) for term, count in held.items() if count}
        scored: dict[str, list[tuple[float, int]]] = defaultdict(list)
        for i in live:
            score = sum(weight for term, weight in rarity.items() if term in own[i])
            score += _COSINE_WEIGHT * float(near[i]) if near is not None else 0.0
            scored[rows[i]["report_id"]].append((score, i))
        return cls(
            {
                report_id: [
                    (rows[i], float(near[i]) if near is not None else None)
                    for _, i in sorted(listed, key=lambda each: (-each[0], rows[each[1]]["start"]))
                ]
                for report_id, listed in scored.items()
            }
        )

    def best(self, report_id: str, count: int) -> list[tuple[dict[str, Any], float | None]]:
        """The first `count` passages of a report."""
        return self.by_report.get(report_id, [])[:count]


def _terms_in(text: str) -> set[str]:
    terms = read_terms(text)
    return {term for name in FIELDS for term in terms.of(name)}


def _matrix(column: Any) -> np.ndarray:
    chunk = column.combine_chunks()
    matrix: np.ndarray = np.asarray(chunk.flatten()).reshape(len(chunk), column.type.list_size)
    return matrix
