"""Which reports a search may show: those whose rows are the store's, and that the request does not leave out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slidelake.errors import IndexMissingError
from slidelake.index.tables import SLIDES, declared_columns, facts

if TYPE_CHECKING:
    from lancedb.expr import Expr

    from slidelake.index.connection import Connection
    from slidelake.index.reports.request import ReportsRequest
    from slidelake.store import FeatureStore

__all__ = ["Scope"]


@dataclass(frozen=True)
class Scope:
    """`allowed` reports with the generation that may be shown; `indexed` all that have rows; `notes` in words."""

    allowed: dict[str, int]
    indexed: frozenset[str]
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        store: FeatureStore,
        connection: Connection,
        whole: Any,
        versions: Mapping[str, int],
        request: ReportsRequest,
    ) -> Scope:
        """The reports of the index that are what the store has now, and that the request asks about.

        Raises FilterError for a filter on no column, IndexMissingError for a filter where no slide is indexed.
        """
        columns = ["report_id", "generation", "patient_id", "slide_ids"]
        rows = {row["report_id"]: row for row in whole.search().select(columns).to_arrow().to_pylist()}
        live = {each: row for each, row in rows.items() if versions.get(each) == row["generation"]}
        notes = _staleness(versions, rows, live)
        wanted = live
        slides_of = _slide_rows(store, connection) if request.patients or request.exclude_patients else []
        if request.patients is not None:
            told = _of_patients(request.patients, slides_of)
            wanted = {each: row for each, row in wanted.items() if _is_of(row, *told)}
        for patient in request.exclude_patients:
            told = _of_patients([patient], slides_of)
            if not any(_is_of(row, *told) for row in rows.values()):
                notes.append(f"no report in the index is of patient {patient}")
            wanted = {each: row for each, row in wanted.items() if not _is_of(row, *told)}
        if request.slides is not None or request.where:
            slides, owners = _slides(store, connection, request)
            wanted = {each: row for each, row in wanted.items() if _is_about(row, slides, owners)}
        return cls({each: row["generation"] for each, row in wanted.items()}, frozenset(rows), tuple(notes))

    def condition(self) -> Expr | None:
        """The allowed reports as a condition on `report_id`, the shorter way round; None where all are allowed."""
        from lancedb.expr import col

        out = self.indexed - set(self.allowed)
        if not out:
            return None
        if len(out) <= len(self.allowed):
            return ~col("report_id").isin(sorted(out))
        return col("report_id").isin(sorted(self.allowed))


def _of_patients(patients: Iterable[str], slides: Sequence[Mapping[str, Any]]) -> tuple[set[str], set[str]]:
    """The patients with the names that were theirs, and their slides in lower case.

    A report keeps the patient that it came with. Where the metadata gave all slides of that one to another patient
    since, it is the other's: no leaving out may miss it.
    """
    asked = set(patients)
    own = [row for row in slides if row["patient_id"] in asked]
    former = {row["commit_patient_id"] for row in own} - {row["patient_id"] for row in slides} - {""}
    return asked | former, {row["slide_id"].casefold() for row in own}


def _is_of(row: Mapping[str, Any], patients: set[str], slides: set[str]) -> bool:
    """Whether a report is of the patients, by its own patient or by a slide that it names."""
    return row["patient_id"] in patients or not slides.isdisjoint(map(str.casefold, row["slide_ids"]))


def _slide_rows(store: FeatureStore, connection: Connection) -> list[dict[str, Any]]:
    """Each indexed slide with its patient, now and as it came in."""
    table = connection.snapshot(SLIDES, facts(str(store.info.store_id)))
    if table is None:
        return []
    columns = ["slide_id", "patient_id", "commit_patient_id"]
    rows: list[dict[str, Any]] = table.search().select(columns).to_arrow().to_pylist()
    return rows


def _is_about(row: dict[str, Any], slides: set[str], owners: set[str]) -> bool:
    """A report that names no slide is about all slides of its patient."""
    named = {slide_id.casefold() for slide_id in row["slide_ids"]}
    return not named.isdisjoint(slides) if named else row["patient_id"] in owners


def _slides(
    store: FeatureStore, connection: Connection, request: ReportsRequest
) -> tuple[set[str], set[str]]:
    """The slides that the request allows, in lower case, and their patients, as the index has them."""
    table = connection.snapshot(SLIDES, facts(str(store.info.store_id)))
    if table is None:
        if request.where:
            raise IndexMissingError(
                "no slide is in the index whose metadata a filter could name",
                remedy="Run `slidelake index sync`.",
            )
        return {slide_id.casefold() for slide_id in request.slides or ()}, set()
    search = table.search()
    if request.where:
        condition, _ = request.where.split(declared_columns(table.schema, patches=False))
        if condition is not None:
            search = search.where(condition)
    rows = search.select(["slide_id", "patient_id"]).to_arrow().to_pylist()
    named = None if request.slides is None else {slide_id.casefold() for slide_id in request.slides}
    kept = [row for row in rows if named is None or row["slide_id"].casefold() in named]
    slides = {row["slide_id"].casefold() for row in kept}
    if named is not None and not request.where:
        slides |= named  # a slide that is not in the index yet can still be named by a report
    return slides, {row["patient_id"] for row in kept}


def _staleness(versions: Mapping[str, int], rows: Mapping[str, Any], live: Mapping[str, Any]) -> list[str]:
    counts = {
        "are not in the index yet": len(set(versions) - set(rows)),
        "have changed since they were indexed": len(set(versions) & set(rows)) - len(live),
        "have gone from the store since they were indexed": len(set(rows) - set(versions)),
    }
    return [f"{n} reports {what}: run `slidelake index sync`" for what, n in counts.items() if n]
