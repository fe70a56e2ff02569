"""The tables of reports follow the store's reports: part of `index.sync()`, under its lock.

Passages are written first, then the rows of `reports_whole` that say they are in, then older passages go. What a
killed sync leaves is claimed by no such row: searches pass over it, and the next sync removes it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slidelake.errors import IndexStaleError, MissingDependencyError, SlidelakeError
from slidelake.index.reports.chunk import Chunk, chunk_report
from slidelake.index.reports.tables import (
    PASSAGES,
    WHOLE,
    passages_schema,
    passages_table,
    report_facts,
    whole_row,
    whole_schema,
)
from slidelake.index.reports.upkeep import tidy_passages, tidy_whole
from slidelake.index.tables import normalise

if TYPE_CHECKING:
    from slidelake.encoders.text import TextEncoder
    from slidelake.index.connection import Connection
    from slidelake.store import FeatureStore, Report

__all__ = ["ReportsPlan", "follow_reports", "plan_reports", "sentence_encoder"]

log = logging.getLogger(__name__)

#: Passages encoded and written at once: half a minute of one core, a few MB.
BATCH_PASSAGES = 256

Progress = Callable[..., None]
_Item = tuple["Report", int, list[Chunk]]


@dataclass
class ReportsPlan:
    """What a sync has to do about reports, and what came of it; `written` reports in `passages` passages."""

    encoder: TextEncoder | None
    versions: dict[str, int]
    add: list[str]
    replace: list[str]
    remove: list[str]
    unchanged: int
    written: int = 0
    passages: int = 0


def sentence_encoder(name: str = "minilm") -> TextEncoder | None:
    """The encoder of passages; None, and a warning, where its package is not installed: text is searched alone."""
    from slidelake.encoders.text import shared_text_encoder

    try:
        return shared_text_encoder(name)
    except MissingDependencyError as exc:
        log.warning("reports are indexed without vectors", extra={"why": exc.problem, "remedy": exc.remedy})
        return None


def plan_reports(store: FeatureStore, connection: Connection, name: str = "minilm") -> ReportsPlan:
    """Compares the tables with the store, by one listing; what no row claims, or is of another make, is dropped."""
    versions = store.reports.versions()
    if not versions and WHOLE not in connection.names() and PASSAGES not in connection.names():
        return ReportsPlan(None, versions, [], [], [], 0)
    encoder = sentence_encoder(name)
    wanted = report_facts(str(store.info.store_id), encoder.id if encoder else "")
    for table in (PASSAGES, WHOLE):
        try:
            connection.table(table, wanted)
        except IndexStaleError as exc:
            log.warning(
                "dropping a table of reports of another make", extra={"table": table, "why": exc.problem}
            )
            connection.database.drop_table(table)
    claimed = _mend(connection)
    return ReportsPlan(
        encoder=encoder,
        versions=versions,
        add=sorted(set(versions) - set(claimed)),
        replace=sorted(each for each in set(versions) & set(claimed) if versions[each] != claimed[each]),
        remove=sorted(set(claimed) - set(versions)),
        unchanged=sum(versions.get(each) == generation for each, generation in claimed.items()),
    )


def follow_reports(
    store: FeatureStore,
    connection: Connection,
    plan: ReportsPlan,
    *,
    exact_below: int,
    tell: Progress,
    still_held: Callable[[], None],
) -> dict[str, str]:
    """Does what the plan says; which reports could not be read, and why."""
    failed: dict[str, str] = {}
    store_id = str(store.info.store_id)
    encoder_id, dim = (plan.encoder.id, plan.encoder.dim) if plan.encoder else ("", 0)
    schemas = passages_schema(store_id, encoder_id, dim), whole_schema(store_id, encoder_id)
    if plan.remove:
        still_held()
        _delete(connection, plan.remove)
    for batch in _batches(_read(store, plan, failed)):
        still_held()
        vectors = _encode(plan.encoder, batch)
        still_held()
        _write(connection, schemas, batch, vectors)
        plan.written += len(batch)
        plan.passages += sum(len(chunks) for _, _, chunks in batch)
        for report, _, _ in batch:
            tell("slide", slide_id=report.report_id)
    for report_id in failed:
        tell("slide", slide_id=report_id)
    if plan.written or plan.remove:
        still_held()
        tidy_passages(connection, exact_below=exact_below)
        tidy_whole(connection)
    return failed


def _read(store: FeatureStore, plan: ReportsPlan, failed: dict[str, str]) -> Iterator[_Item]:
    for report_id in [*plan.add, *plan.replace]:
        try:
            report = next(store.reports.iterate([report_id]), None)
            if report is not None:  # removed since it was listed: the next sync has nothing to do for it
                yield report, plan.versions[report_id], chunk_report(report)
        except (SlidelakeError, OSError) as exc:  # one damaged report must not keep the others out
            log.warning("report not indexed", extra={"report_id": report_id, "why": str(exc)})
            failed[report_id] = str(exc)


def _batches(items: Iterator[_Item]) -> Iterator[list[_Item]]:
    batch: list[_Item] = []
    for item in items:
        batch.append(item)
        if sum(len(chunks) for _, _, chunks in batch) >= BATCH_PASSAGES:
            yield batch
            batch = []
    if batch:
        yield batch


def _encode(encoder: TextEncoder | None, batch: list[_Item]) -> np.ndarray | None:
    """(n, dim) float16 unit vectors of the batch's passages; a report's depend on it alone."""
    if encoder is None:
        return None
    # Report by report: what shares a batch decides the last bits, and a rebuilt index must give the same scores.
    made = [encoder.encode([chunk.text for chunk in chunks]) for _, _, chunks in batch]
    vectors, _ = normalise(np.concatenate([np.empty((0, encoder.dim), np.float32), *made]))
    return vectors


def _write(connection: Connection, schemas: tuple[Any, Any], batch: list[_Item], vectors: Any) -> None:
    """Passages, then the rows that claim them, then away with older passages."""
    import pyarrow as pa
    from lancedb.expr import col, lit

    data = passages_table(schemas[0], batch, vectors)
    passages = connection.table(PASSAGES)
    if passages is None:
        passages = connection.database.create_table(PASSAGES, data=data, schema=schemas[0])
    elif data.num_rows:
        passages.add(data)
    rows = [whole_row(report, generation, len(chunks)) for report, generation, chunks in batch]
    claims = pa.Table.from_pylist(rows, schema=schemas[1])
    whole = connection.table(WHOLE)
    if whole is None:
        whole = connection.database.create_table(WHOLE, data=claims, schema=schemas[1])
        whole.set_unenforced_primary_key("report_id")
    else:
        merge = whole.merge_insert("report_id").when_matched_update_all().when_not_matched_insert_all()
        merge.execute(claims)
    older = None
    for report, generation, _ in batch:
        own = (col("report_id") == lit(report.report_id)) & ~(col("generation") == lit(generation))
        older = own if older is None else older | own
    if (
        older is not None
        and passages.search().where(older).limit(1).select(["report_id"]).to_arrow().num_rows
    ):
        passages.delete(older)


def _delete(connection: Connection, report_ids: list[str]) -> None:
    """Claims first, as they are made last."""
    from lancedb.expr import col

    for name in (WHOLE, PASSAGES):
        table = connection.table(name)
        if table is not None and table.count_rows():
            table.delete(col("report_id").isin(report_ids))


def _mend(connection: Connection) -> dict[str, int]:
    """The generation of each report whose passages are all there; claims and passages without the other go."""
    passages, whole = connection.table(PASSAGES), connection.table(WHOLE)
    if whole is None or passages is None:
        for name, table in ((PASSAGES, passages), (WHOLE, whole)):
            if table is not None:
                connection.database.drop_table(name)
        return {}
    from lancedb.expr import col, lit

    rows = whole.search().select(["report_id", "generation", "passages"]).to_arrow().to_pylist()
    claimed = {row["report_id"]: row for row in rows}
    if passages.count_rows() == sum(row["passages"] for row in rows):
        return {report_id: row["generation"] for report_id, row in claimed.items()}
    columns = ["report_id", "generation"]
    groups = passages.search().select(columns).to_arrow().group_by(columns).aggregate([([], "count_all")])
    counts = {(g["report_id"], g["generation"]): g["count_all"] for g in groups.to_pylist()}
    entire = {
        report_id: row["generation"]
        for report_id, row in claimed.items()
        if counts.get((report_id, row["generation"]), 0) == row["passages"]
    }
    broken = sorted(set(claimed) - set(entire))
    if broken:
        whole.delete(col("report_id").isin(broken))
    for report_id, generation in sorted(counts):
        if entire.get(report_id) != generation:
            log.warning("removing passages that a killed sync left", extra={"report_id": report_id})
            passages.delete((col("report_id") == lit(report_id)) & (col("generation") == lit(generation)))
    return entire
