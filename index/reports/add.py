"""Takes reports into the lake: read, cleaned, divided into sections, tied to patients and slides, put."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from hashlib import file_digest, sha256
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slidelake.errors import ReportError, SlideDeletedError, SlidelakeError, UsageError
from slidelake.index.reports.clean import clean_text
from slidelake.index.reports.draft import Draft
from slidelake.index.reports.options import ReadOptions
from slidelake.index.reports.read import count_reports, find_files, read_file
from slidelake.index.reports.sections import find_sections, title_of
from slidelake.index.reports.whose import Owner, Owners
from slidelake.store import TEXT_LIMIT, Report, ReportHead, slug

if TYPE_CHECKING:
    from slidelake.store import FeatureStore

__all__ = ["Refused", "ReportsAdded", "add_reports"]

Progress = Callable[..., None]
# A put is some syncs or requests that wait; so many reports wait at once, and no more are held.
_AT_ONCE = 8


@dataclass(frozen=True)
class Refused:
    """A report that did not go in: where it stands (file, and line of a table), why, and what to do."""

    source: str
    problem: str
    remedy: str


@dataclass
class ReportsAdded:
    """What came of adding reports.

    `made`, `same` and `changed` count reports, `patients` theirs, `linked` those that are about a slide of the lake,
    `slides` those slides; `sections` counts reports that have a section, by its name, and `without_sections` those
    without any heading; `unknown_patients` and `unknown_slides` are said in reports and not in the lake, `no_patient`
    reports of which nobody said whose they are.
    """

    files: int = 0
    made: int = 0
    same: int = 0
    changed: int = 0
    patients: int = 0
    linked: int = 0
    slides: int = 0
    sections: dict[str, int] = field(default_factory=dict)
    without_sections: int = 0
    ocr_pages: int = 0
    no_patient: int = 0
    unknown_patients: list[str] = field(default_factory=list)
    unknown_slides: list[str] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def taken(self) -> int:
        """How many reports are in the lake now, of those that were given."""
        return self.made + self.same + self.changed

    @property
    def counts(self) -> dict[str, int]:
        """How many were made, the same, changed, refused."""
        return {"made": self.made, "same": self.same, "changed": self.changed, "refused": len(self.refused)}

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {
            **{name: value for name, value in vars(self).items() if name != "refused"},
            "taken": self.taken,
            "refused": [vars(each) for each in self.refused],
        }


def add_reports(
    store: "FeatureStore",
    sources: Sequence[str | PathLike[str]],
    *,
    options: ReadOptions | None = None,
    patient_pattern: str = "",
    strict: bool = False,
    read_again: bool = False,
    progress: Progress | None = None,
) -> ReportsAdded:
    """Takes the reports of files, folders and globs. What cannot go in is in the answer, with its reason.

    A report's id is the one that was given; else its patient's or its file's name, with eight digits of its text
    where another report has that name. Its patient is the one that was given, or that `patient_pattern` finds in its
    id or file's name, or that of the slides it names, or a patient of the lake (or of a TCGA barcode) with which its
    name begins; else it counts as a patient of its own. A patient or slide that the lake does not have is noted; with
    `strict` such a report is refused. A scan that was read before is not read again, but for `read_again`. Nothing is
    indexed here. Raises UsageError for a source that is not there, an encoding or a pattern that is none; StoreError
    where the store cannot be written.
    """
    files = find_files(sources)
    job = _Job(store, options or ReadOptions(), Owners(store.catalog(), patient_pattern), strict, read_again)
    tell = progress or (lambda event, **fields: None)
    tell("start", total=sum(count_reports(path, job.options) for path in files))
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="reports") as pool:
        waiting: deque[tuple[Future[str], _Ready]] = deque()
        for path in files:
            for found in job.read(path):
                ready = job.made_of(found)
                if ready is not None:
                    waiting.append((pool.submit(store.reports.put, ready.report), ready))
                if len(waiting) >= 2 * _AT_ONCE:
                    job.count(*waiting.popleft())
                tell("slide", slide_id=str(path))
        while waiting:
            job.count(*waiting.popleft())
    tell("end")
    return job.finish(len(files))


@dataclass(frozen=True)
class _Taken:
    """What has an id in this call: eight digits of its text's hash, and where it stands."""

    mark: str
    place: str


@dataclass(frozen=True)
class _Ready:
    """A report that is to be put, and what is counted when it is in."""

    report: Report
    owner: Owner
    ocr_pages: int = 0


class _Job:
    """One call: what is known of the store, and what was counted."""

    def __init__(
        self, store: "FeatureStore", options: ReadOptions, owners: Owners, strict: bool, read_again: bool
    ) -> None:
        self.options = options
        self._store, self._owners, self._strict = store, owners, strict
        self._there: dict[str, ReportHead] = {each.report_id: each for each in store.reports.heads()}
        self._scans = {
            each.source.sha256: each.report_id
            for each in self._there.values()
            if each.source.kind == "scan" and not read_again
        }
        self._taken: dict[str, _Taken] = {}
        self._done = ReportsAdded()
        self._patients: set[str] = set()
        self._slides: set[str] = set()
        self._sections: Counter[str] = Counter()

    def read(self, path: Path) -> Iterator[Draft | SlidelakeError]:
        """The reports of a file; a scan that was read before is taken from the store."""
        if self._scans and path.suffix.lower() == ".pdf":
            try:
                with path.open("rb") as file:
                    known = self._scans.get(file_digest(file, "sha256").hexdigest())
            except OSError:
                known = None  # the reader says what is wrong
            if known is not None:
                report = self._store.reports.get(known)
                yield Draft(report.text, replace(report.source, uri=str(path)), path.stem, str(path))
                return
        yield from read_file(path, self.options)

    def made_of(self, found: Draft | SlidelakeError) -> _Ready | None:
        """The report that a draft becomes; None where it is refused, or stands in the files twice."""
        if isinstance(found, SlidelakeError):
            self._refuse(found)
            return None
        try:
            return self._ready(found)
        except (ReportError, UsageError) as error:
            self._refuse(error, found.place)
            return None

    def count(self, put: "Future[str]", ready: _Ready) -> None:
        """Counts what became of a put."""
        done, report, owner = self._done, ready.report, ready.owner
        try:
            became = put.result()
        except SlideDeletedError as error:
            self._refuse(error, report.source.uri)
            return
        setattr(done, became, getattr(done, became) + 1)
        done.linked += bool(owner.linked)
        done.no_patient += owner.own
        done.ocr_pages += ready.ocr_pages
        done.without_sections += not report.section_names
        self._sections.update(report.section_names)
        self._patients.add(report.patient_id)
        self._slides.update(owner.linked)
        done.unknown_slides += owner.unknown_slides
        if not owner.own and not owner.linked and not self._owners.knows(report.patient_id):
            done.unknown_patients.append(report.patient_id)

    def finish(self, files: int) -> ReportsAdded:
        """What is told at the end."""
        done = self._done
        done.files, done.patients, done.slides = files, len(self._patients), len(self._slides)
        done.sections = dict(self._sections.most_common())
        done.unknown_slides = sorted(set(done.unknown_slides))
        done.unknown_patients = sorted(set(done.unknown_patients))
        if self._owners.empty and done.taken:
            done.notes.append(
                "the lake has no slides yet: reports are tied to them by patient when they come"
            )
        elif done.unknown_patients:
            done.notes.append(
                f"{_several(done.unknown_patients, 'patient')}: not in the lake, kept all the same"
            )
        if done.unknown_slides:
            done.notes.append(f"{_several(done.unknown_slides, 'slide')}: not in the lake, kept all the same")
        if done.no_patient:
            done.notes.append(
                f"{done.no_patient} reports have no patient given: each counts as its own patient "
                "(--patient-pattern, --patient-column)"
            )
        return done

    def _ready(self, draft: Draft) -> _Ready | None:
        if len(draft.text) > TEXT_LIMIT:
            raise ReportError(
                f"{len(draft.text):,} characters; a report may have {TEXT_LIMIT:,}", remedy="Divide it."
            )
        text = clean_text(draft.text)
        if not text:
            raise ReportError("the report is empty", remedy="Leave it out, or give its text.")
        owner = self._owners.of(draft)
        if self._strict:
            self._be_strict(owner)
        sections = find_sections(text)
        report_id = self._id_of(draft, text)
        if report_id is None:
            self._done.same += 1
            return None
        self._done.notes += [f"{draft.place}: {note}" for note in draft.notes]
        report = Report(
            report_id=report_id,
            patient_id=owner.patient_id,
            text=text,
            slide_ids=owner.slide_ids,
            title=draft.title or title_of(text, sections),
            sections=sections,
            source=draft.source,
            metadata=draft.metadata,
        )
        return _Ready(report, owner, draft.ocr_pages)

    def _id_of(self, draft: Draft, text: str) -> str | None:
        """What a report is called; None for one that these files hold twice. Raises ReportError for an id that they
        give to two texts."""
        wanted, mark = slug(draft.report_id or draft.name), _mark(text)
        marked = slug(f"{wanted}-{mark}")
        if not draft.report_id and (marked in self._there or not self._free(wanted, draft, text)):
            wanted = marked
        before = self._taken.setdefault(wanted, _Taken(mark, draft.place))
        if before.mark != mark:
            raise ReportError(
                f"the id {wanted} stands in {before.place} too, with another text",
                remedy="Give each report its own id.",
            )
        return wanted if before.place == draft.place else None

    def _free(self, name: str, draft: Draft, text: str) -> bool:
        """Whether a report that has no id may have a name: the report of another file stays as it is, the same file's
        is brought up to date."""
        taken, there = self._taken.get(name), self._there.get(name)
        if taken is not None:
            return taken.mark == _mark(text)
        return there is None or there.source.uri == draft.source.uri or self._same(name, text)

    def _same(self, report_id: str, text: str) -> bool:
        return any(each.text == text for each in self._store.reports.iterate([report_id]))

    def _be_strict(self, owner: Owner) -> None:
        if owner.unknown_slides:
            raise ReportError(
                f"the lake has no {_several(owner.unknown_slides, 'slide')}",
                remedy="Ingest it first, or leave --strict.",
            )
        if owner.own or not self._owners.knows(owner.patient_id):
            said = "nobody said its patient" if owner.own else f"the lake has no patient {owner.patient_id}"
            raise ReportError(
                said, remedy="Ingest the patient's slides first, say the patient, or leave out --strict."
            )

    def _refuse(self, error: SlidelakeError, place: str = "") -> None:
        self._done.refused.append(Refused(place or error.slide, error.problem, error.remedy))


def _mark(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:8]


def _several(names: Sequence[str], what: str) -> str:
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")
    return f"{what}{'s' if len(names) > 1 else ''} {shown}"
