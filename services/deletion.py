"""Deletes slides and patients from all parts of a lake: the store, then the index (DESIGN §4.8)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from slidelake.errors import UsageError

if TYPE_CHECKING:
    from slidelake.index import EraseReport
    from slidelake.services.lake import Lake
    from slidelake.store import DeletedReport

__all__ = ["DeletionReport", "allow", "delete", "verify_gone"]


@dataclass
class DeletionReport:
    """What was deleted: slides as the store spelled them, `unknown` ids that are denied all the same, `reports` that
    name them or are their patients' (one that is about a living slide too only loses their names), how many objects
    and index rows went, tags of the index that fell, until when the `closed` marks stay, and notes."""

    slides: list[str] = field(default_factory=list)
    patients: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)
    objects: dict[str, int] = field(default_factory=dict)
    index_rows: int = 0
    tags: list[str] = field(default_factory=list)
    marks_until: datetime | None = None
    notes: list[str] = field(default_factory=list)
    dry_run: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        until = self.marks_until.isoformat(timespec="seconds") if self.marks_until else None
        return {**asdict(self), "marks_until": until}


def delete(
    lake: "Lake", *, slides: Sequence[str] = (), patients: Sequence[str] = (), dry_run: bool = False
) -> DeletionReport:
    """Deletes slides, and all slides of patients, from every part of the lake, and keeps them out from now on.

    Interrupted, the same call goes on. An id that the lake does not know is denied all the same. Raises UsageError
    where nothing is named, StoreError and IndexStateError where a part cannot be written.
    """
    from slidelake.store import delete_slides, slides_of_patient

    if not slides and not patients:
        raise UsageError("nothing to delete was named", remedy="Name slides or patients.")
    report = DeletionReport(patients=list(patients), dry_run=dry_run)
    orders = [("", list(slides))] if slides else []
    orders += [(patient, slides_of_patient(lake.store, patient)) for patient in patients]
    named = {each.casefold() for _, ids in orders for each in ids}
    emptied = _left_without_slides(lake, named)
    report.reports = [
        each.report_id
        for each in lake.store.reports.heads()
        if each.patient_id in patients
        or (each.patient_id in emptied and not each.slide_ids)
        or not named.isdisjoint(map(str.casefold, each.slide_ids))
    ]
    for patient, ids in orders:
        if patient and not ids:
            report.notes.append(f"the lake has no slide of the patient {patient}; it {_denied(dry_run)}")
        if dry_run:
            known = {each.casefold(): each for each in lake.store.states()}
            report.slides += [known[each.casefold()] for each in ids if each.casefold() in known]
            report.unknown += [each for each in ids if each.casefold() not in known]
            continue
        done = delete_slides(lake.store, ids, patient_id=patient)
        report.slides += done.slides
        report.unknown += done.unknown
        for part, count in done.objects.items():
            report.objects[part] = report.objects.get(part, 0) + count
        if done.marks_until is not None:
            report.marks_until = max(done.marks_until, report.marks_until or done.marks_until)
    if not dry_run:
        erased: EraseReport = lake.index.erase_denied()
        report.index_rows, report.tags = erased.rows, list(erased.tags)
        if erased.tags:
            report.notes.append(f"tags of the index fell with their versions: {', '.join(erased.tags)}")
    for slide_id in report.unknown:
        report.notes.append(f"the lake holds nothing of {slide_id}; it {_denied(dry_run)}")
    return report


def _left_without_slides(lake: "Lake", gone: set[str]) -> set[str]:
    """The patients all of whose slides (in lower case) are to go: what names no slide goes with the last."""
    catalog = lake.store.catalog()
    going = catalog["slide_id"].astype("str").str.casefold().isin(gone)
    patients = catalog["patient_id"].astype("str")
    return set(patients[going]) - set(patients[~going])


def _denied(dry_run: bool) -> str:
    return "would be denied all the same" if dry_run else "is denied from now on"


def allow(lake: "Lake", *, slides: Sequence[str] = (), patients: Sequence[str] = ()) -> int:
    """Takes slides and patients off the deny-list; how many entries went. Raises UsageError where none is named."""
    if not slides and not patients:
        raise UsageError("nobody to allow was named", remedy="Name slides or patients.")
    denied = lake.store.denied
    return sum(denied.allow(slide_id=each) for each in slides) + sum(
        denied.allow(patient_id=each) for each in patients
    )


def verify_gone(lake: "Lake", *, grace: timedelta | None = None) -> "DeletedReport":
    """Looks through the store and the index for anything of deleted slides."""
    from slidelake.store import Remainder, verify_deleted

    report = verify_deleted(lake.store) if grace is None else verify_deleted(lake.store, grace=grace)
    for table, rows in lake.index.denied_rows().items():
        remedy = "Run the same slidelake delete again: it goes on where it was cut off."
        report.remains.append(Remainder(f"index/{table}", f"{rows} rows of deleted slides", None, remedy))
    return report
