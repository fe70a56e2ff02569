"""A judge without a language model: reads both texts by rules, and compares what they say value by value.

For tests, and where no endpoint is. It knows English reports, the lexicon's organs, the kinds of tumour, grades,
categories and markers of its tables (`statements_*.py`); what they miss it takes for not said. The same texts have the
same verdict, whatever the length of the answer, the order of the criteria or which text comes first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import lru_cache

from slidelake.services.tuning.evaluation.criteria import CRITERIA
from slidelake.services.tuning.evaluation.statements import Said
from slidelake.services.tuning.evaluation.statements_place import (
    read_extent,
    read_margins,
    read_nodes,
    read_site,
)
from slidelake.services.tuning.evaluation.statements_tumour import read_grade, read_histology, read_markers
from slidelake.services.tuning.evaluation.verdict import PLAIN, Case, Finding, Span, Verdict, Way

__all__ = ["RulesJudge"]

_READERS: dict[str, Callable[[str], list[Said]]] = {
    "site": read_site,
    "histology": read_histology,
    "grade": read_grade,
    "extent": read_extent,
    "margins": read_margins,
    "nodes": read_nodes,
    "markers": read_markers,
}


class RulesJudge:
    """The deterministic judge. `malformed` stays empty: it has no replies to be read."""

    name = "rules"

    def __init__(self) -> None:
        self.malformed: Counter[str] = Counter()

    def judge(self, case: Case, way: Way = PLAIN) -> Verdict:
        """One finding a criterion; the `way` of asking changes nothing."""
        return Verdict(tuple(self._finding(criterion.name, case) for criterion in CRITERIA))

    def _finding(self, criterion: str, case: Case) -> Finding:
        told, said = _read(criterion, case.report), _read(criterion, case.answer)
        if not told:
            # Nothing to check a statement against; the statement is shown all the same.
            return Finding(
                criterion, "not assessable", answer=_span(said[0], case.answer) if said else Span()
            )
        if not said:
            return Finding(criterion, "not stated", report=_span(told[0], case.report))
        agreed: tuple[Said, Said] | None = None
        for mine in said:
            theirs = [each for each in told if each.key == mine.key]
            match = next((each for each in theirs if each.values & mine.values), None)
            if theirs and match is None and not _aside(mine, said, told):
                return Finding(
                    criterion, "contradicts", _span(theirs[0], case.report), _span(mine, case.answer)
                )
            if match is not None and agreed is None:
                agreed = match, mine
        if agreed is None:
            return Finding(criterion, "not assessable", answer=_span(said[0], case.answer))
        return Finding(criterion, "agrees", _span(agreed[0], case.report), _span(agreed[1], case.answer))


@lru_cache(maxsize=512)
def _read(criterion: str, text: str) -> tuple[Said, ...]:
    """Kept for a while: many answers are judged against one report, and each again in other ways."""
    return tuple(_READERS[criterion](text))


def _aside(mine: Said, said: tuple[Said, ...], told: tuple[Said, ...]) -> bool:
    """Whether a site that the report is not about is one that it names too, and the answer has the main one besides."""
    main = any(
        each.values & other.values
        for each in said
        for other in told
        if each.key == other.key == "site" and each is not mine
    )
    return (
        mine.key == "site"
        and main
        and any(mine.values & other.values for other in told if other.key == "other site")
    )


def _span(said: Said, text: str) -> Span:
    return Span(said.start, said.end, text[said.start : said.end])
