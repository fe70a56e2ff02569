"""Upkeep of the tables of reports: full-text indexes over the terms, an approximate one over many vectors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from slidelake.index.reports.tables import PASSAGES, WHOLE
from slidelake.index.reports.terms import FIELDS
from slidelake.index.upkeep import compact, has_vector_index

if TYPE_CHECKING:
    from slidelake.index.connection import Connection

__all__ = ["tidy_passages", "tidy_whole"]


def tidy_whole(connection: Connection) -> None:
    """Builds the full-text indexes anew: 0.1 s for 400 reports, and none of the faults of extending them.

    Terms come ready made, so the index splits them at spaces and changes nothing.
    """
    from lancedb.index import FTS

    table = connection.table(WHOLE)
    if table is None:
        return
    compact(table)
    for name in FIELDS:
        config = FTS(
            base_tokenizer="whitespace",
            stem=False,
            remove_stop_words=False,
            lower_case=False,
            ascii_folding=False,
            with_position=False,
        )
        table.create_index(name, config=config, replace=True)


def tidy_passages(connection: Connection, *, exact_below: int) -> None:
    """Compacts many fragments, and indexes the vectors of `exact_below` passages or more."""
    table = connection.table(PASSAGES)
    if table is None:
        return
    compact(table)
    rows = table.count_rows()
    if rows >= exact_below and "vector" in table.schema.names:
        _index_vectors(table, rows)


def _index_vectors(table: Any, rows: int) -> None:
    from lancedb.index import IvfSq

    if has_vector_index(table):
        table.optimize()
        return
    partitions = max(2, min(1024, math.ceil(rows / 4096)))
    table.create_index("vector", config=IvfSq(distance_type="cosine", num_partitions=partitions))
