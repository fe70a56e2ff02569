"""Does every row's evidence resolve: is the quote in the report where the row says, is the patch in the lake?"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slidelake.errors import SlidelakeError, UnknownNameError
from slidelake.services.tuning.data.row import Evidence, TuningRow
from slidelake.services.tuning.data.split import check_splits

if TYPE_CHECKING:
    from slidelake.services.lake import Lake

__all__ = ["Resolver", "Verified", "verify_rows"]

#: Looks a piece of evidence up; returns what is wrong with it, or "".
Resolver = Callable[[Evidence], str]
_NAMED = 20


@dataclass
class Verified:
    """`resolved` of `rows` have evidence that all resolves; `problems` name the others, `reasons` count them."""

    rows: int = 0
    resolved: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        """The share of rows whose evidence resolves; 1 where there are no rows."""
        return self.resolved / self.rows if self.rows else 1.0

    def to_dict(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "resolved": self.resolved,
            "share": self.share,
            "reasons": dict(sorted(self.reasons.items())),
            "problems": self.problems,
        }


def verify_rows(
    lake: Lake,
    rows: Iterable[TuningRow],
    *,
    folder: Path | None = None,
    resolvers: Mapping[str, Resolver] | None = None,
) -> Verified:
    """Looks up all evidence of all rows, and that nobody denied is among them.

    Evidence of reports, slides and patches is looked up in the lake, answers of a generator in `folder`'s
    answers.jsonl. `resolvers` add the other kinds, by kind. A kind that nobody looks up does not resolve. Raises
    UsageError for a leak between splits.
    """
    known = {**_of_lake(lake), **({"answer": _of_answers(folder)} if folder else {}), **(resolvers or {})}
    found = Verified()
    denied = lru_cache(4096)(lambda kind, name: bool(name) and bool(lake.store.denied.among(kind, [name])))

    def looked_up() -> Iterable[TuningRow]:
        for row in rows:
            found.rows += 1
            wrong = [] if not _is_denied(row, denied) else ["deleted from the lake"]
            for each in row.evidence:
                resolver = known.get(each.kind)
                problem = resolver(each) if resolver else f"nobody looks up evidence of the kind {each.kind}"
                wrong += [problem] if problem else []
            found.resolved += not wrong
            found.reasons.update(wrong)
            if wrong and len(found.problems) < _NAMED:
                found.problems.append(f"{row.id} ({row.patient_id}): {wrong[0]}")
            yield row

    check_splits(looked_up())
    return found


def _is_denied(row: TuningRow, denied: Callable[[str, str], bool]) -> bool:
    slides = {row.slide_id, *(each.slide_id for each in row.images)}
    return denied("patient", row.patient_id) or any(denied("slide", slide) for slide in slides)


def _of_lake(lake: Lake) -> dict[str, Resolver]:
    store = lake.store
    catalog = store.catalog()
    grids_of = {
        slide_id.casefold(): sorted({space.partition("/")[0] for space in spaces})
        for slide_id, spaces in zip(catalog["slide_id"], catalog["spaces"], strict=True)
    }

    @lru_cache(64)
    def text_of(report_id: str) -> tuple[str, str] | None:
        try:
            text = store.reports.get(report_id).text
        except UnknownNameError:
            return None
        return text, hashlib.sha256(text.encode()).hexdigest()

    @lru_cache(64)
    def grid_of(slide_id: str, grid_id: str) -> Any:
        return store.grid(slide_id, grid_id)

    def report(evidence: Evidence) -> str:
        found = text_of(evidence.source)
        if found is None:
            return "its report is not in the lake"
        if found[1] != evidence.sha256:
            return "its report has another text by now"
        same = evidence.quote and found[0][evidence.start : evidence.end] == evidence.quote
        return "" if same else "its report does not say the quote there"

    def slide(evidence: Evidence) -> str:
        return "" if evidence.source.casefold() in grids_of else "its slide is not in the lake"

    def patch(evidence: Evidence) -> str:
        place = evidence.place
        if place is None:
            return "it names no place"
        if place.slide_id.casefold() not in grids_of:
            return "its slide is not in the lake"
        try:
            for grid in grids_of[place.slide_id.casefold()]:
                coords = grid_of(place.slide_id, grid).coords
                at = (coords == (place.x, place.y)).all(axis=1).nonzero()[0]
                if len(at) and place.row in (None, *at.tolist()):
                    return ""
        except SlidelakeError as error:
            return f"its slide's grid cannot be read ({type(error).__name__})"
        return "its patch is in no grid of the slide"

    return {"report": report, "slide": slide, "patch": patch}


def _of_answers(folder: Path) -> Resolver:
    """Answers by the digest of their prompt, as the run recorded them."""
    digests: set[tuple[str, str]] = set()
    path = folder / "answers.jsonl"
    if path.is_file():
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                body = json.loads(line)
                digests.add((body["digest"], hashlib.sha256(body["text"].encode()).hexdigest()))

    def answer(evidence: Evidence) -> str:
        return (
            "" if (evidence.source, evidence.sha256) in digests else "its answer is not among those recorded"
        )

    return answer
