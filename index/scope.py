"""What one search may find: the tables as they stand, the slides that are current and allowed, and what to say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from slidelake.errors import IndexMissingError, IndexStaleError
from slidelake.index.filters import Condition, Filter
from slidelake.index.hits import Query
from slidelake.index.live import Version
from slidelake.index.recall import UNMEASURED, kept_recall
from slidelake.index.slides_table import version_of
from slidelake.index.tables import SLIDES, Collection, declared_columns, facts, metadata_generation
from slidelake.index.upkeep import has_vector_index

if TYPE_CHECKING:
    from lancedb.expr import Expr

    from slidelake.index.connection import Connection
    from slidelake.index.filters import Column
    from slidelake.store import FeatureStore

__all__ = ["Opened", "Request", "Scope", "open_collection", "scope_of"]


@dataclass(frozen=True)
class Request:
    """What is looked for: unit vectors (m, D) float32, how many hits, and what may not be among them.

    `exclude_rows` are rows of one slide.
    """

    collection: Collection
    vectors: np.ndarray
    query: Query
    where: Filter = field(default_factory=Filter)
    exclude_slide: str | None = None
    exclude_rows: tuple[str, np.ndarray] | None = None


@dataclass(frozen=True)
class Opened:
    """A collection's vector table and the `slides` table, both at one version each, and the latter's rows.

    What is asked of a table for each search stands here: to ask it takes as long as a small search.
    """

    collection: Collection
    table: Any
    slides: Any
    rows: dict[str, dict[str, Any]]
    columns: dict[str, Column]
    approximate: bool
    #: Partitions of the approximate index that a search looks into, as was measured.
    probes: int
    version: int
    dim: int
    #: Of the cohort's metadata that the `slides` table was made from.
    generation: int


@dataclass(frozen=True)
class Scope:
    """The slides (by id, with their rows of `slides`) that may be among the hits, and what else must hold."""

    opened: Opened
    allowed: dict[str, dict[str, Any]]
    patch_conditions: tuple[Condition, ...]
    exclude_rows: tuple[str, np.ndarray] | None
    stale: int
    notes: list[str]

    @property
    def names(self) -> dict[str, str]:
        """The metadata columns' own names, by their names in the table."""
        return {c.physical: c.name for c in self.opened.columns.values() if c.level == "slide"}

    def current(self, slide_id: str, version: Version) -> bool:
        """May vectors of this commit be shown? Others are there while a sync is at work, or after one was killed."""
        return slide_id in self.allowed and version_of(self.allowed[slide_id]) == version

    def condition(self, *, only: set[str] | None = None) -> Expr | None:
        """All of it as one expression for LanceDB; `only` these slides."""
        from lancedb.expr import col, lit

        _, patch = Filter(self.patch_conditions).split(self.opened.columns)
        parts = [] if patch is None else [patch]
        wanted = set(self.allowed) if only is None else set(self.allowed) & only
        left_out = set(self.opened.rows) - wanted
        if left_out:
            if len(left_out) <= len(wanted):
                parts.append(~col("slide_id").isin(sorted(left_out)))
            else:
                parts.append(col("slide_id").isin(sorted(wanted)))
        if self.exclude_rows is not None:
            slide_id, rows = self.exclude_rows
            parts.append(~((col("slide_id") == lit(slide_id)) & col("row").isin([int(row) for row in rows])))
        condition = None
        for part in parts:
            condition = part if condition is None else condition & part
        return condition


def open_collection(store: FeatureStore, connection: Connection, collection: Collection) -> Opened:
    """The tables of a collection as they are now; IndexMissingError where the index does not hold it."""
    store_id = str(store.info.store_id)
    # Slides first: vectors are written before their slide's row, so a row seen here has its vectors there.
    slides = connection.snapshot(SLIDES, facts(store_id))
    if slides is None:
        raise IndexMissingError("the store has no index yet", remedy="Run `slidelake index sync`.")
    table = connection.snapshot(collection.table, facts(store_id, collection))
    if table is None:
        what = (
            f"{collection.space} pooled by {collection.aggregator}"
            if collection.aggregator
            else collection.space
        )
        raise IndexMissingError(f"the index does not hold {what} yet", remedy="Run `slidelake index sync`.")
    approximate, schema = has_vector_index(table), slides.schema
    measured = kept_recall(store.objects, collection.table) if approximate else None
    return Opened(
        collection,
        table,
        slides,
        _slide_rows(slides, collection.table),
        declared_columns(schema, patches=not collection.aggregator),
        approximate,
        measured.probes if measured is not None else UNMEASURED,
        int(table.version),
        int(table.schema.field("vector").type.list_size),
        metadata_generation(schema),
    )


def scope_of(store: FeatureStore, opened: Opened, request: Request, live: dict[str, Version]) -> Scope:
    """What `request` may find of what is open, given what is live. FilterError for a filter on no column,
    IndexStaleError for one on a column that came with metadata newer than the index."""
    labels_changed = opened.generation != store.metadata.generation()
    if labels_changed and {c.column for c in request.where.conditions} - set(opened.columns):
        raise IndexStaleError(
            "the filter names a column that the index does not have, and the metadata is newer than the index",
            remedy="Run `slidelake index sync`.",
        )
    slide_filter, _ = request.where.split(opened.columns)
    rows = opened.rows
    current = {slide: row for slide, row in rows.items() if live.get(slide) == version_of(row)}
    notes = list(_staleness(live, rows, current))
    if labels_changed:
        notes.append("the metadata has changed since the last sync: run `slidelake index sync`")
    allowed = current
    if slide_filter is not None:
        matching = set(_slide_rows(opened.slides, opened.collection.table, slide_filter))
        allowed = {slide: row for slide, row in current.items() if slide in matching}
    without = request.query.exclude_patients
    if without:
        missing = set(without) - {row["patient_id"] for row in rows.values()}
        notes += [f"no slide in the index is of patient {patient}" for patient in sorted(missing)]
        allowed = {s: row for s, row in allowed.items() if row["patient_id"] not in without}
    if request.exclude_slide is not None:
        allowed = {slide: row for slide, row in allowed.items() if slide != request.exclude_slide}
    on_patches = tuple(c for c in request.where.conditions if opened.columns[c.column].level == "patch")
    stale = len(set(live) - set(current)) + len(set(rows) - set(live))
    return Scope(opened, allowed, on_patches, request.exclude_rows, stale, notes)


def _slide_rows(slides: Any, table: str, condition: Expr | None = None) -> dict[str, dict[str, Any]]:
    from lancedb.expr import col, lit

    of_table = col("table") == lit(table)
    found = slides.search().where(of_table if condition is None else of_table & condition).to_arrow()
    return {row["slide_id"]: row for row in found.to_pylist()}


def _staleness(live: dict[str, Version], rows: dict[str, Any], current: dict[str, Any]) -> list[str]:
    """In words, how the index differs from the store; what differs is left out of the hits."""
    counts = {
        "are not in the index yet": len(set(live) - set(rows)),
        "have changed since they were indexed": len(set(live) & set(rows)) - len(current),
        "have gone from the store since they were indexed": len(set(rows) - set(live)),
    }
    return [f"{n} slides {what}: run `slidelake index sync`" for what, n in counts.items() if n]
