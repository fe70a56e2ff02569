"""One report: whose it is, its text, and which part of the text is which section."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from slidelake.errors import UsageError
from slidelake.store.ids import require_slug

__all__ = ["TEXT_LIMIT", "Report", "ReportHead", "Section", "Source", "denied_name"]

#: The longest text of one report, in characters; the longest of 400 real ones has 26,355.
TEXT_LIMIT = 2_000_000
KINDS = ("csv", "jsonl", "text", "pdf", "scan")
_METADATA_LIMIT = 1_000_000
# JSON keeps them, but terminals, pages and Arrow strings do not all bear them.
_UNFIT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def denied_name(patient_id: str, report_id: str) -> str:
    """What the deny-list knows a report by; another patient's may have the same id."""
    return f"report:{patient_id}/{report_id}"


@dataclass(frozen=True)
class Section:
    """A named part of a report's text: `text[start:end]`, heading included. The name is "" before any heading."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Source:
    """Where a report came from.

    `kind` is csv, jsonl, text, pdf (its own text) or scan (text by OCR); `sha256` is that of the file, or of the row
    of a table (hex); `pages` 0 where there are none; `ocr_confidence` the mean confidence of the words read by OCR,
    0 to 100, None without OCR.
    """

    uri: str = ""
    kind: str = "text"
    sha256: str = ""
    pages: int = 0
    ocr_confidence: float | None = None


@dataclass(frozen=True)
class ReportHead:
    """A report without its text: what lists show. `sections` are names in the order of the text."""

    report_id: str
    patient_id: str
    slide_ids: tuple[str, ...]
    title: str
    sections: tuple[str, ...]
    characters: int
    source: Source
    added: str
    generation: int

    def to_dict(self) -> dict[str, Any]:
        """The head as plain JSON values."""
        return {**asdict(self), "slide_ids": list(self.slide_ids), "sections": list(self.sections)}


@dataclass(frozen=True)
class Report:
    """A report as the store keeps it.

    `slide_ids` are the slides that it names; where it names none it is about all slides of its patient. `sections`
    are spans of `text`, in order, without overlap. `added` (ISO 8601, UTC) is when the store took this text. Raises
    UsageError for a report that cannot be one: no id, patient or text, a text beyond TEXT_LIMIT, spans outside it,
    control characters.
    """

    report_id: str
    patient_id: str
    text: str
    slide_ids: tuple[str, ...] = ()
    title: str = ""
    sections: tuple[Section, ...] = ()
    source: Source = field(default_factory=Source)
    metadata: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    added: str = ""

    def __post_init__(self) -> None:
        require_slug(self.report_id, "report_id")
        for slide_id in self.slide_ids:
            require_slug(slide_id, "slide_id")
        if not self.patient_id or len(self.patient_id) > 200:
            raise self._bad("no patient", "Give the patient's id, of 200 characters at most.")
        if not self.text.strip():
            raise self._bad("no text", "Give a report that says something.")
        if len(self.text) > TEXT_LIMIT:
            raise self._bad(
                f"{len(self.text):,} characters of text; at most {TEXT_LIMIT:,} are taken", "Divide it."
            )
        if len(self.title) > 1000:
            raise self._bad(f"a title of {len(self.title):,} characters", "Shorten it to 1,000.")
        for name, text in (("text", self.text), ("patient_id", self.patient_id), ("title", self.title)):
            if found := _UNFIT.search(text):
                raise self._bad(
                    f"the character U+{ord(found[0]):04X} in its {name}", "Leave out control characters."
                )
        end = 0
        for each in self.sections:
            if not end <= each.start <= each.end <= len(self.text):
                raise self._bad(
                    f"a section {each.name!r} at {each.start}–{each.end}, which overlaps another or leaves the text",
                    "Give spans of the text, in order.",
                )
            end = each.end
        if self.source.kind not in KINDS:
            raise self._bad(f"the kind {self.source.kind!r}", f"Use one of {', '.join(KINDS)}.")
        self._check_metadata()

    @property
    def section_names(self) -> tuple[str, ...]:
        """The names of its sections in the order of the text, each once, without the unnamed one."""
        return tuple(dict.fromkeys(each.name for each in self.sections if each.name))

    @property
    def content_hash(self) -> str:
        """sha256 (hex) of all that makes two reports the same: everything but where and when they came from."""
        body = {name: value for name, value in self.to_dict().items() if name not in ("source", "added")}
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()

    def head(self, generation: int = 0) -> ReportHead:
        """The report without its text."""
        return ReportHead(
            self.report_id, self.patient_id, self.slide_ids, self.title, self.section_names, len(self.text),
            self.source, self.added, generation,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {
            "report_id": self.report_id,
            "patient_id": self.patient_id,
            "slide_ids": list(self.slide_ids),
            "title": self.title,
            "text": self.text,
            "sections": [asdict(each) for each in self.sections],
            "source": asdict(self.source),
            "metadata": dict(self.metadata),
            "added": self.added,
        }

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> "Report":
        """The report that `to_dict` gave; raises KeyError, TypeError, ValueError for anything else."""
        return cls(
            report_id=str(body["report_id"]),
            patient_id=str(body["patient_id"]),
            text=str(body["text"]),
            slide_ids=tuple(map(str, body["slide_ids"])),
            title=str(body["title"]),
            sections=tuple(
                Section(str(each["name"]), int(each["start"]), int(each["end"])) for each in body["sections"]
            ),
            source=Source(**body["source"]),
            metadata=dict(body["metadata"]),
            added=str(body["added"]),
        )

    def _check_metadata(self) -> None:
        for name, value in self.metadata.items():
            plain = isinstance(value, str | int | bool) or (isinstance(value, float) and math.isfinite(value))
            if not isinstance(name, str) or not name or not plain:
                raise self._bad(
                    f"metadata {name!r} = {value!r}", "Keep texts, numbers and yes or no, each under a name."
                )
        if sum(len(name) + len(str(value)) for name, value in self.metadata.items()) > _METADATA_LIMIT:
            raise self._bad(
                f"more than {_METADATA_LIMIT:,} characters of metadata", "Keep it to what is searched for."
            )

    def _bad(self, problem: str, remedy: str) -> UsageError:
        return UsageError(f"the report {self.report_id} has {problem}", remedy=remedy)
