"""An answer and its citations, as people, pages and programs take them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from slidelake.services.answers.passage import Kind, Passage

__all__ = ["NOTICE", "Answer", "Citation", "shortened", "unique"]

#: Said once beside every answer that a person reads.
NOTICE = "For research use only, not for diagnosis."

#: Characters of a quote in a list of sources; the citation itself holds the whole.
_SHOWN = 240


@dataclass(frozen=True)
class Citation:
    """What `[n]` in an answer stands for: an exact span of a report, or a fact of a slide or patch.

    For a report `quote` is `report.text[start:end]`. `link` leads to what is quoted, `slide_link` to the slide
    (empty where the archive has none); both are relative to the server's root.
    """

    n: int
    kind: Kind
    quote: str
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
    link: str = ""
    slide_link: str = ""
    score: float = 0.0

    @property
    def label(self) -> str:
        """What is cited, in a few words."""
        if self.kind == "report":
            return f"report {self.report_id}" + (f", {self.section}" if self.section else "")
        return f"{self.kind} {self.slide_id}" + ("" if self.x is None else f" at {self.x},{self.y}")

    def describe(self, base: str = "") -> str:
        """One line of a list of sources: `[1] report R, DIAGNOSIS: “…” link`; `base` stands before the link."""
        return f"[{self.n}] {self.label}: “{shortened(self.quote)}” {base}{self.link}".rstrip()


@dataclass(frozen=True)
class Answer:
    """The answer to one question. `text` holds `[n]` for each of `citations`, numbered from 1 as they appear."""

    question: str
    text: str
    citations: tuple[Citation, ...] = ()
    #: Nothing in the archive answers the question; `text` says so.
    abstained: bool = False
    #: Citations that the endpoint made up; they are not in `text`.
    removed_citations: int = 0
    #: Who wrote the text: the endpoint's model, or "extractive".
    model: str = "extractive"
    notes: tuple[str, ...] = ()
    #: What was retrieved, best first; more than what is cited.
    passages: tuple[Passage, ...] = ()
    #: Tokens as the endpoint counted them; empty where none was asked, or it did not say.
    usage: dict[str, int] = field(default_factory=dict)

    def sources(self, base: str = "") -> str:
        """The list of sources as text; empty where nothing is cited."""
        if not self.citations:
            return ""
        return "\n".join(["Sources", *(citation.describe(base) for citation in self.citations)])

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "question": self.question,
            "text": self.text,
            "citations": [asdict(citation) for citation in self.citations],
            "abstained": self.abstained,
            "removed_citations": self.removed_citations,
            "model": self.model,
            "notes": list(self.notes),
            "passages": [passage.to_dict() for passage in self.passages],
            "usage": dict(self.usage),
            "notice": NOTICE,
        }


def shortened(text: str, limit: int = _SHOWN) -> str:
    """`text` on one line, cut at a word where it is longer than `limit`."""
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    return line[:limit].rsplit(" ", 1)[0] + " …"


def unique(notes: Sequence[str]) -> tuple[str, ...]:
    """Notes in their order, each once."""
    return tuple(dict.fromkeys(note for note in notes if note))
