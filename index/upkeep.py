"""Upkeep of a vector table, under the writer's lock: the approximate index where it pays, and compaction."""

from __future__ import annotations

import logging
import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from slidelake.index.recall import kept_recall, measure_and_keep

if TYPE_CHECKING:
    from slidelake.index.connection import Connection

__all__ = ["compact", "has_vector_index", "tidy"]

log = logging.getLogger(__name__)

#: Fragments beyond which a table is compacted: each sync adds at least one.
_MANY_FRAGMENTS = 32
#: Versions younger than this stay, for readers that are at work in them.
_KEEP_VERSIONS = timedelta(days=1)
#: The index is extended when more than this share of the rows is outside it.
_UNINDEXED_SHARE = 0.1


def tidy(connection: Connection, name: str, *, exact_below: int | None) -> None:
    """After a change: index tables of `exact_below` rows or more (None: never), compact many fragments."""
    table = connection.table(name)
    if table is None:
        return
    rows = table.count_rows()
    if exact_below is not None and rows >= exact_below:
        changed = _index(table, rows)
        if changed or kept_recall(connection.store.objects, name) is None:
            measure_and_keep(connection.store.objects, table)
    compact(table)


def compact(table: Any) -> None:
    """Compact a table of many fragments."""
    if table.stats()["fragment_stats"]["num_fragments"] > _MANY_FRAGMENTS:
        _optimise(table)


def has_vector_index(table: Any) -> bool:
    """By column, never by name: the name is `vector_idx`, and looking for "vector" would rebuild it at each
    call.
    """
    return any("vector" in index.columns for index in table.list_indices())


def _index(table: Any, rows: int) -> bool:
    """Make the approximate index, or extend it where many rows are outside; whether either was done."""
    from lancedb.index import Bitmap, IvfSq

    if not has_vector_index(table):
        # About 4,096 rows a partition; 8-bit scalar quantisation keeps recall, refining gives back the true
        # order.
        partitions = max(2, min(1024, math.ceil(rows / 4096)))
        table.create_index("vector", config=IvfSq(distance_type="cosine", num_partitions=partitions))
        table.create_index("slide_id", config=Bitmap())
        return True
    stats = table.index_stats("vector_idx")
    if stats is None or stats.num_unindexed_rows > _UNINDEXED_SHARE * rows:
        _optimise(table)
        return True
    return False


def _optimise(table: Any) -> None:
    try:
        table.optimize(cleanup_older_than=_KEEP_VERSIONS)
    except RuntimeError as exc:
        # A tagged version older than the limit ends the clean-up after the compaction was committed.
        if "tagged version" not in str(exc):
            raise
        log.info("old versions kept: some are tagged", extra={"table": table.name})
