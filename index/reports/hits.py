"""What a search over reports gives back: passages in order, and what should be known about them."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, overload

__all__ = ["ReportHit", "ReportHits"]


@dataclass(frozen=True)
class ReportHit:
    """A passage: `text` is `report.text[start:end]`.

    `score` orders the hits of one answer and means nothing beyond it. `scores` can be compared between questions:
    "vector", the cosine of question and passage (none where the index has no vectors); "text", the BM25 score of the
    whole report; "coverage", the share of the question's terms, by weight, that the report has, 0 to 1.
    """

    rank: int
    score: float
    report_id: str
    chunk_id: str
    patient_id: str
    slide_ids: tuple[str, ...]
    section: str
    start: int
    end: int
    text: str
    scores: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The hit as plain JSON values."""
        return asdict(self) | {"slide_ids": list(self.slide_ids)}


class ReportHits(Sequence[ReportHit]):
    """Hits in falling order of score; `notes` say what was left out or assumed, in words."""

    def __init__(
        self, hits: Sequence[ReportHit], *, query: str, mode: str, notes: Sequence[str] = ()
    ) -> None:
        self._hits = tuple(hits)
        self.query = query
        self.mode = mode
        self.notes = tuple(notes)

    @overload
    def __getitem__(self, index: int) -> ReportHit: ...
    @overload
    def __getitem__(self, index: slice) -> ReportHits: ...
    def __getitem__(self, index: int | slice) -> ReportHit | ReportHits:
        if isinstance(index, slice):
            return ReportHits(self._hits[index], query=self.query, mode=self.mode, notes=self.notes)
        return self._hits[index]

    def __len__(self) -> int:
        return len(self._hits)

    def __iter__(self) -> Iterator[ReportHit]:
        return iter(self._hits)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ReportHits) and self._hits == other._hits

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self)} passages of {len(self.by_report())} reports for {self.query[:60]!r}>"

    def to_dicts(self) -> list[dict[str, Any]]:
        """One plain dict a hit, ready for JSON."""
        return [hit.to_dict() for hit in self._hits]

    def by_report(self) -> dict[str, list[ReportHit]]:
        """The hits of each report, reports in the order of their best hit."""
        grouped: dict[str, list[ReportHit]] = {}
        for hit in self._hits:
            grouped.setdefault(hit.report_id, []).append(hit)
        return grouped

    def _repr_html_(self) -> str:
        """A table for notebooks; it reads nothing but itself."""
        names = ("", "score", "report", "patient", "section", "passage")
        head = "".join(f"<th>{name}</th>" for name in names)
        rows = []
        for hit in self._hits:
            cells = (str(hit.rank), f"{hit.score:.3f}", hit.report_id, hit.patient_id, hit.section, hit.text)
            rows.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
        notes = "".join(f"<p><em>{html.escape(note)}</em></p>" for note in self.notes)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>{notes}"
