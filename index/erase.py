"""Takes deleted slides and reports out of the index for good: out of its rows, its older versions and its ANN indexes.

Deleting rows only hides them: LanceDB keeps the data file until a compaction rewrites it (which it does not for
a few rows of many), the log of the deletion quotes its condition, older versions and tags keep all, and the
approximate indexes keep ids and quantised vectors. So a table that held, or may have held, what is deleted is
written anew from its other rows, its indexes are built again, and every older version goes.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from slidelake.index.lock import writer_lock
from slidelake.index.reports.denied import OWNERS, denied_reports
from slidelake.index.reports.tables import PASSAGES, WHOLE
from slidelake.index.reports.upkeep import tidy_passages, tidy_whole
from slidelake.index.tables import SLIDES
from slidelake.index.upkeep import tidy

if TYPE_CHECKING:
    from slidelake.index.connection import Connection
    from slidelake.store import FeatureStore

__all__ = ["EraseReport", "erase_denied", "held_rows"]

log = logging.getLogger(__name__)

_BATCH_ROWS = 8192


@dataclass(frozen=True)
class EraseReport:
    """What was taken out: rows, the tables that were written anew, and tags that fell with their versions."""

    rows: int = 0
    rewritten: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


def erase_denied(store: FeatureStore, connection: Connection, *, exact_below: int) -> EraseReport:
    """Leaves nothing of slides and reports on the store's deny-list in any table; waits for a sync at work to end."""
    if not connection.possible or not connection.exists() or not connection.names():
        return EraseReport()
    with writer_lock(store.objects) as still_held:
        rows, rewritten, tags = 0, [], []
        for name in connection.names():
            still_held()
            table = connection.table(name)
            if table is None or _key(table) is None:
                continue
            gone = _denied(store, table) | _departed(store, table)
            tags += [f"{name}: {tag}" for tag in _drop_tags(table)]
            if gone or _hides_rows(table) or table.list_indices():
                before = table.count_rows()
                table = _rewrite(connection, name, table, gone)
                rows += before - (table.count_rows() if table is not None else 0)
                rewritten.append(name)
                _tidy(connection, name, exact_below)
            if table is not None:
                _only_newest(connection.table(name))
        log.info("index erased", extra={"rows": rows, "tables": len(rewritten)})
        return EraseReport(rows, tuple(rewritten), tuple(tags))


def held_rows(store: FeatureStore, connection: Connection) -> dict[str, int]:
    """How many rows of deleted slides and reports each table holds, in any version; only tables with some."""
    if not connection.possible or not connection.exists():
        return {}
    found = {}
    for name in connection.names():
        table = connection.table(name)
        if table is None or _key(table) is None:
            continue
        most = 0
        for version in table.list_versions():
            table.checkout(version["version"])
            ids = _ids(table)
            gone = _denied(store, table)
            most = max(most, sum(count for each, count in ids.items() if each in gone))
        if most:
            found[name] = most
    return found


def _key(table: Any) -> str | None:
    """The column that says whose a row is: a slide's, or a report's."""
    return next((name for name in ("report_id", "slide_id") if name in table.schema.names), None)


def _denied(store: FeatureStore, table: Any) -> set[str]:
    """The slides, or the reports, of a table that the deny-list keeps out."""
    if _key(table) == "slide_id":
        return store.denied.among("slide", _ids(table))
    return denied_reports(store, table.search().select(list(OWNERS)).to_batches(_BATCH_ROWS))


def _departed(store: FeatureStore, table: Any) -> set[str]:
    """The reports of a table that the store holds no more, or with another text: whose they were cannot be told."""
    if _key(table) != "report_id":
        return set()
    versions = store.reports.versions()
    rows = table.search().select(["report_id", "generation"]).to_arrow().to_pylist()
    return {row["report_id"] for row in rows if versions.get(row["report_id"]) != row["generation"]}


def _ids(table: Any) -> dict[str, int]:
    """The slides, or the reports, of a table and how many rows each has."""
    counts: dict[str, int] = {}
    key = _key(table)
    for batch in table.search().select([key]).to_batches(_BATCH_ROWS):
        for each in batch.column(key).value_counts().to_pylist():
            counts[each["values"]] = counts.get(each["values"], 0) + each["counts"]
    return counts


def _tidy(connection: Connection, name: str, exact_below: int) -> None:
    if name == PASSAGES:
        tidy_passages(connection, exact_below=exact_below)
    elif name == WHOLE:
        tidy_whole(connection)
    else:
        tidy(connection, name, exact_below=None if name == SLIDES else exact_below)


def _hides_rows(table: Any) -> bool:
    """Whether data files still hold rows that were deleted before."""
    newest = max(table.list_versions(), key=lambda version: version["version"])
    return int(newest["metadata"].get("total_deletion_file_rows", 0)) > 0


def _rewrite(connection: Connection, name: str, table: Any, gone: set[str]) -> Any | None:
    """The table without some slides or reports, as one new version of whole new files; None where nothing is left."""
    schema = table.schema
    left = table.count_rows() - sum(count for slide_id, count in _ids(table).items() if slide_id in gone)
    key = _key(table)
    if not left:
        connection.database.drop_table(name)
        return None

    # Opened here: LanceDB reads what it is given in its one event loop, where it cannot wait for itself.
    everything = table.search().to_batches(_BATCH_ROWS)

    def rows() -> Iterator[pa.RecordBatch]:
        # Filtered here: a condition in LanceDB's own log would quote the ids.
        for batch in everything:
            kept = batch.filter(pc.invert(pc.is_in(batch.column(key), pa.array(sorted(gone), pa.string()))))
            if kept.num_rows:
                yield kept

    # The schema brings the facts and the primary key along.
    data = pa.RecordBatchReader.from_batches(schema, rows())
    return connection.database.create_table(name, data=data, schema=schema, mode="overwrite")


def _drop_tags(table: Any) -> list[str]:
    """Tags name versions that must go: they fall."""
    names = sorted(table.tags.list())
    for name in names:
        table.tags.delete(name)
    return names


def _only_newest(table: Any) -> None:
    with warnings.catch_warnings():
        # It warns of concurrent readers of older versions; that is what is wanted.
        warnings.simplefilter("ignore", UserWarning)
        table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)
