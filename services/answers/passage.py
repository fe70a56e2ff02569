"""What an answer is made of: passages of reports, and facts of slides and patches."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["Kind", "Passage"]

Kind = Literal["report", "patch", "slide"]


@dataclass(frozen=True)
class Passage:
    """One text that an answer may rest on, and where it is from.

    Of a report: `text` is `report.text[start:end]`. Of a patch or slide: a sentence of what the archive knows of it.
    `x`, `y`, `width`, `height` are a place on `slide_id` in level-0 px, None where a passage has none.
    """

    kind: Kind
    text: str
    patient_id: str = ""
    report_id: str = ""
    chunk_id: str = ""
    title: str = ""
    section: str = ""
    start: int = 0
    end: int = 0
    slide_id: str = ""
    x: int | None = None
    y: int | None = None
    width: int | None = None
    height: int | None = None
    #: How well it fits the question, in 0…1; comparable within one answer.
    score: float = 0.0
    #: What the arms of the search gave: text, vector (a true cosine).
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """What it is a passage of: passages of one report are one source."""
        return self.report_id or f"{self.slide_id}@{self.x},{self.y}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self) | {"scores": dict(self.scores)}
