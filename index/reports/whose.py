"""Whose a report is: its patient and slides, from what the file says, its name, and the slides of the lake."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slidelake.errors import ReportError, UsageError
from slidelake.index.reports.draft import Draft
from slidelake.store import slide_id_of, slug

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Owner", "Owners"]

# The first three parts of a TCGA barcode are its patient: TCGA-2F-A9KW-01A-01-TS1.
_TCGA = re.compile(r"TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}(?![A-Z0-9])", re.IGNORECASE)
_SEPARATORS = re.compile(r"(?<=[^\W_])(?=[\W_])")


@dataclass(frozen=True)
class Owner:
    """A report's patient and the slides it names; `linked` are the slides of the lake that it is about."""

    patient_id: str
    slide_ids: tuple[str, ...] = ()
    linked: tuple[str, ...] = ()
    unknown_slides: tuple[str, ...] = ()
    #: Nobody said a patient: the report counts as a patient of its own.
    own: bool = False


@dataclass
class Owners:
    """The lake's slides and patients, and how a report's name tells its patient.

    `pattern` is a regular expression for the report's id or its file's name; its first group is the patient, or the
    whole match. Raises UsageError for one that is none.
    """

    catalog: "pd.DataFrame"
    pattern: str = ""
    _slides: dict[str, tuple[str, str]] = field(init=False)
    _patients: dict[str, str] = field(init=False)
    _of_patient: dict[str, list[str]] = field(init=False)
    _alone: dict[str, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        try:
            self._pattern = re.compile(self.pattern) if self.pattern else None
        except re.error as exc:
            raise UsageError(
                f"--patient-pattern {self.pattern!r} is no regular expression: {exc}",
                remedy="Write e.g. '^TCGA-..-....'.",
            ) from exc
        pairs = list(zip(self.catalog["slide_id"], self.catalog["patient_id"].astype("str"), strict=True))
        self._slides = {slide_id.casefold(): (slide_id, patient_id) for slide_id, patient_id in pairs}
        self._patients, self._of_patient, self._alone = {}, {}, {}
        for slide_id, patient_id in pairs:
            self._of_patient.setdefault(patient_id, []).append(slide_id)
            if patient_id == slide_id:
                # Ingested without a patient: the slide stands for its own.
                for start in _beginnings(slide_id):
                    self._alone.setdefault(start, []).append(slide_id)
            else:
                self._patients.setdefault(patient_id.casefold(), patient_id)

    @property
    def empty(self) -> bool:
        """Whether the lake has no slides: then nothing can be known, and nothing is unknown either."""
        return not self._slides

    def of(self, draft: Draft) -> Owner:
        """Raises ReportError where slides and patient contradict one another."""
        named, unknown = self._named(draft)
        name = draft.report_id or draft.name
        if not draft.slide_ids:
            named += self._by_name(name)
        known = {
            patient
            for slide_id, patient in (self._slides[each.casefold()] for each in named)
            if patient != slide_id
        }
        patient = self._spelled(draft.patient_id) or self._from_pattern(name)
        if len(known | ({patient} if patient else set())) > 1:
            told = f"it is said to be of {patient}, and " if patient else ""
            raise ReportError(
                f"{told}its slides ({', '.join(named)}) belong to {', '.join(sorted(known))}",
                remedy="Correct the slides or the patient; slidelake metadata update moves slides to another patient.",
                slide=draft.source.uri,
            )
        patient = patient or next(iter(known), "") or self._from_name(name)
        own = not patient
        patient = patient or (named[0] if len(named) == 1 else name)
        if not named and not unknown:
            # Slides without a patient are known by their name alone: the report must name them.
            named = list(self._alone.get(patient.casefold(), ()))
        linked = named or ([] if unknown else self._of_patient.get(patient, []))
        return Owner(patient, (*named, *unknown), tuple(linked), tuple(unknown), own and not named)

    def knows(self, patient_id: str) -> bool:
        """Whether the lake has a slide of the patient."""
        return patient_id in self._of_patient or patient_id.casefold() in self._alone

    def _named(self, draft: Draft) -> tuple[list[str], list[str]]:
        named: dict[str, None] = {}
        unknown: dict[str, None] = {}
        for said in draft.slide_ids:
            found = self._slides.get(said.casefold()) or self._slides.get(slide_id_of(said).casefold())
            if found:
                named.setdefault(found[0])
            else:
                unknown.setdefault(slug(said))
        return list(named), list(unknown)

    def _by_name(self, name: str) -> list[str]:
        """The slide whose id a report's name begins with, the longest: S1.txt and S1-report.pdf are of S1."""
        found = next((self._slides[each] for each in _beginnings(name) if each in self._slides), None)
        return [found[0]] if found else []

    def _spelled(self, patient_id: str) -> str:
        return self._patients.get(patient_id.casefold(), patient_id)

    def _from_pattern(self, name: str) -> str:
        found = self._pattern.search(name) if self._pattern else None
        if found is None:
            return ""
        return self._spelled((found[1] if found.groups() else found[0]) or "")

    def _from_name(self, name: str) -> str:
        """A patient of the lake whose id the name begins with, the longest; else a TCGA barcode's patient."""
        known = next((self._patients[each] for each in _beginnings(name) if each in self._patients), "")
        barcode = _TCGA.match(name)
        return known or (barcode[0] if barcode else "")


def _beginnings(name: str) -> Iterator[str]:
    """The name and its beginnings that end before a separator, the longest first."""
    folded = name.casefold()
    yield folded
    for cut in reversed(list(_cuts(folded))):
        yield folded[:cut]


def _cuts(name: str) -> Iterable[int]:
    return (found.start() for found in _SEPARATORS.finditer(name) if found.start())
