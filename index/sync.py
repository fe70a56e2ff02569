"""Make the index follow the store: add what is new, replace what changed, remove what is gone.

One writer, in large batches. Vectors are written first, each with its commit's epoch and generation, then the
row of `slides` that says they are in, then vectors of older commits go. Whatever is killed between two of
these leaves only vectors that no row of `slides` claims: searches pass over them, and the next sync removes
them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slidelake.errors import IndexStaleError, SlidelakeError
from slidelake.index.cohort import read_cohort
from slidelake.index.live import Version, live_versions
from slidelake.index.lock import writer_lock
from slidelake.index.reports.follow import follow_reports, plan_reports
from slidelake.index.slides_table import Row, SlidesTable, row_key, version_of
from slidelake.index.tables import SLIDES, Collection, facts, vectors_schema
from slidelake.index.upkeep import tidy
from slidelake.index.vectors import Vectors, read_vectors

if TYPE_CHECKING:
    from slidelake.index.connection import Connection
    from slidelake.store import FeatureStore

__all__ = ["SyncReport", "synchronise"]

log = logging.getLogger(__name__)

#: Vectors written at once: a version and a fragment of the table each, and the memory that sync takes.
BATCH_BYTES = 256 * 2**20

Progress = Callable[..., None]


@dataclass(frozen=True)
class SyncReport:
    """What a sync did. Slides are counted once a collection (a space's patches, or its pooled slides).

    `rows` is how many vectors were written, `left_out` how many had none to write (unreadable or all zero),
    `relabelled` how many slides' metadata changed; `failed` names slides and reports that could not be read, and
    why. Reports are counted apart: `reports` how many were written, in how many `passages`.
    """

    added: int = 0
    replaced: int = 0
    removed: int = 0
    unchanged: int = 0
    rows: int = 0
    left_out: int = 0
    relabelled: int = 0
    failed: tuple[tuple[str, str], ...] = ()
    reports: int = 0
    passages: int = 0
    reports_removed: int = 0
    reports_unchanged: int = 0

    @property
    def changed(self) -> bool:
        slides = self.added or self.replaced or self.removed or self.relabelled
        return bool(slides or self.reports or self.reports_removed)


@dataclass
class _Plan:
    collection: Collection
    add: list[str] = field(default_factory=list)
    replace: list[str] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    unchanged: int = 0


def synchronise(
    store: FeatureStore,
    connection: Connection,
    *,
    exact_below: int,
    progress: Progress | None = None,
    batch_bytes: int = BATCH_BYTES,
    wait_s: float = 900.0,
) -> SyncReport:
    """Make the index of `store` follow its commits and metadata; a second run writes nothing."""
    tell = progress or (lambda event, **fields: None)
    connection.require()
    with writer_lock(store.objects, wait_s=wait_s) as still_held:
        store_id = str(store.info.store_id)
        _drop_foreign(connection, store_id)
        live = live_versions(store)
        slides = SlidesTable(connection, store_id, read_cohort(store))
        relabelled = slides.follow_metadata()
        known = {Collection(row["space"], row["aggregator"]) for row in slides.rows.values()}
        plans = []
        for collection in sorted(known | set(live)):
            _mend(connection, slides, collection)
            plans.append(_plan(collection, live.get(collection, {}), slides.of(collection.table)))
        texts = plan_reports(store, connection)
        due = sum(len(plan.add) + len(plan.replace) for plan in plans)
        tell("start", total=due + len(texts.add) + len(texts.replace))
        rows = left_out = 0
        for plan in plans:
            still_held()
            _remove(connection, slides, plan)
            done: list[Row] = []
            for batch in _batches(_read(store, plan), batch_bytes):
                still_held()
                done += _write(connection, slides, store_id, plan.collection, batch)
                for vectors in batch:
                    tell("slide", slide_id=vectors.slide_id)
            for slide_id in plan.failed:
                tell("slide", slide_id=slide_id)
            rows += sum(row["rows"] for row in done)
            left_out += sum(row["left_out"] for row in done)
            if done or plan.remove:
                still_held()
                tidy(connection, plan.collection.table, exact_below=exact_below)
        if rows or relabelled or any(plan.remove for plan in plans):
            tidy(connection, SLIDES, exact_below=None)
        unread = follow_reports(
            store, connection, texts, exact_below=exact_below, tell=tell, still_held=still_held
        )
        failed = [*(item for plan in plans for item in plan.failed.items()), *unread.items()]
        report = SyncReport(
            added=sum(slide not in plan.failed for plan in plans for slide in plan.add),
            replaced=sum(slide not in plan.failed for plan in plans for slide in plan.replace),
            removed=sum(len(plan.remove) for plan in plans),
            unchanged=sum(plan.unchanged for plan in plans),
            rows=rows,
            left_out=left_out,
            relabelled=relabelled,
            failed=tuple(failed),
            reports=texts.written,
            passages=texts.passages,
            reports_removed=len(texts.remove),
            reports_unchanged=texts.unchanged,
        )
        tell("end")
        log.info("index synchronised", extra={"added": report.added, "rows": report.rows})
        return report


def _plan(collection: Collection, live: dict[str, Version], indexed: dict[str, Row]) -> _Plan:
    plan = _Plan(collection, remove=sorted(set(indexed) - set(live)))
    for slide_id, version in sorted(live.items()):
        if slide_id not in indexed:
            plan.add.append(slide_id)
        elif version_of(indexed[slide_id]) != version:
            plan.replace.append(slide_id)
        else:
            plan.unchanged += 1
    return plan


def _drop_foreign(connection: Connection, store_id: str) -> None:
    """Tables of another store, or of another version of this code, are derived data of no use: away with
    them.
    """
    wanted = facts(store_id)
    for name in connection.names():
        try:
            connection.table(name, wanted)
        except IndexStaleError as exc:
            log.warning(
                "dropping a table of another store or version", extra={"table": name, "why": exc.problem}
            )
            connection.database.drop_table(name)


def _mend(connection: Connection, slides: SlidesTable, collection: Collection) -> None:
    """Remove vectors that no row of `slides` claims (a sync was killed), and rows whose vectors are not all
    there.
    """
    claimed = slides.of(collection.table)
    table = connection.table(collection.table)
    if table is None:
        slides.remove([row["key"] for row in claimed.values()])
        return
    if table.count_rows() == sum(row["rows"] for row in claimed.values()):
        return  # vectors are never fewer than claimed: an equal count means none to spare, with no scan
    from lancedb.expr import col, lit

    columns = ["slide_id", "epoch", "generation"]
    groups = table.search().select(columns).to_arrow().group_by(columns).aggregate([([], "count_all")])
    counts = {
        (g["slide_id"], Version(g["epoch"], g["generation"])): g["count_all"] for g in groups.to_pylist()
    }
    whole = {
        slide: row for slide, row in claimed.items() if counts.get((slide, version_of(row)), 0) == row["rows"]
    }
    slides.remove([row["key"] for slide, row in claimed.items() if slide not in whole])
    for slide_id, version in sorted(counts):
        if slide_id not in whole or version_of(whole[slide_id]) != version:
            log.warning("removing vectors that a killed sync left", extra={"slide_id": slide_id})
            of_commit = (col("epoch") == lit(version.epoch)) & (col("generation") == lit(version.generation))
            table.delete((col("slide_id") == lit(slide_id)) & of_commit)


def _remove(connection: Connection, slides: SlidesTable, plan: _Plan) -> None:
    if not plan.remove:
        return
    from lancedb.expr import col

    table = connection.table(plan.collection.table)
    slides.remove([row_key(plan.collection.table, slide_id) for slide_id in plan.remove])
    if table is not None and table.count_rows():
        table.delete(col("slide_id").isin(plan.remove))


def _read(store: FeatureStore, plan: _Plan) -> Iterator[Vectors]:
    for slide_id in [*plan.add, *plan.replace]:
        try:
            yield read_vectors(store, plan.collection, slide_id)
        except (
            SlidelakeError,
            OSError,
        ) as exc:  # one damaged slide must not keep the others out; it is reported
            log.warning("slide not indexed", extra={"slide_id": slide_id, "why": str(exc)})
            plan.failed[slide_id] = str(exc)


def _batches(items: Iterable[Vectors], limit: int) -> Iterator[list[Vectors]]:
    batch: list[Vectors] = []
    for item in items:
        batch.append(item)
        if sum(vectors.data.nbytes for vectors in batch) >= limit:
            yield batch
            batch = []
    if batch:
        yield batch


def _write(
    connection: Connection, slides: SlidesTable, store_id: str, collection: Collection, batch: list[Vectors]
) -> list[Row]:
    """The three writes, in the order on which everything rests: vectors; rows of `slides`; away with old
    vectors.
    """
    import pyarrow as pa
    from lancedb.expr import col, lit

    schema = vectors_schema(store_id, collection, batch[0].data.shape[1])
    data = pa.concat_tables([vectors.to_arrow(schema) for vectors in batch])
    table = connection.table(collection.table)
    if table is None:
        table = connection.database.create_table(collection.table, data=data, schema=schema)
    elif data.num_rows:
        table.add(data)
    older: list[Any] = []
    rows: list[Row] = []
    before = slides.of(collection.table)
    for vectors in batch:
        own = {
            "key": row_key(collection.table, vectors.slide_id),
            "slide_id": vectors.slide_id,
            "table": collection.table,
            "space": collection.space,
            "aggregator": collection.aggregator,
            "epoch": vectors.version.epoch,
            "generation": vectors.version.generation,
            "attempt": vectors.attempt,
            "rows": len(vectors.data),
            "left_out": vectors.left_out,
            "commit_patient_id": vectors.patient_id,
        }
        rows.append(slides.row(own))
        if before.get(vectors.slide_id, {"rows": 0})["rows"]:
            of_commit = (col("epoch") == lit(vectors.version.epoch)) & (
                col("generation") == lit(vectors.version.generation)
            )
            older.append((col("slide_id") == lit(vectors.slide_id)) & ~of_commit)
    slides.put(rows)
    if older:
        condition = older[0]
        for other in older[1:]:
            condition = condition | other
        table.delete(condition)
    return rows
