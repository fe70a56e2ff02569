"""Which reports have the question's terms: LanceDB proposes by BM25, and the proposed are scored again.

LanceDB's BM25 has fixed constants (k1 1.2, b 0.75), by which a report that says one thing often can pass one that says
all that was asked. A question names facts, and a report has a fact or has it not: scored again with a small k1, a
term counts nearly once however often it stands there, and more in a short report than in a long one (`LENGTH`).
Document frequencies are those of the whole index, lengths are compared among the proposed (Robertson and Zaragoza
2009).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slidelake.index.reports.terms import FIELDS, Terms

if TYPE_CHECKING:
    from slidelake.index.reports.scope import Scope

__all__ = ["WEIGHTS", "Counts", "TextArm", "asked_terms", "counts_of", "search_terms"]

#: How much a class of terms counts. Chosen on the develop half of the questions (`evaluate.py`), in coarse steps: a
#: flat optimum.
WEIGHTS = {"concepts": 1.0, "measures": 1.0, "numbers": 1.0, "words": 0.2}
#: BM25's k1 and b, chosen there too: how much more a term counts that stands there again, and how much less in a
#: report of many terms.
REPEATED, LENGTH = 0.3, 0.9

#: A report's terms by class, each with how often it is there.
Counts = dict[str, Counter[str]]


@dataclass(frozen=True)
class TextArm:
    """`scores` of the reports that have any of the terms; `held` are the counted terms of those."""

    scores: dict[str, float]
    held: dict[str, Counts]


def asked_terms(terms: Terms) -> list[tuple[str, str]]:
    """The (class, term) pairs of a question, each once; words that a concept stands for are left to it."""
    pairs = {(name, term) for name in FIELDS for term in terms.of(name)}
    return sorted(pair for pair in pairs if pair[0] != "words" or pair[1] not in terms.covered)


def search_terms(whole: Any, terms: Terms, scope: Scope, count: int) -> TextArm:
    """The `count` allowed reports that have most of the question's terms, with their scores."""
    asked = asked_terms(terms)
    proposed, found_in = _propose(whole, asked, scope, count)
    held = counts_of(whole, proposed)
    total = whole.count_rows()
    rarity = {pair: math.log1p((total - n + 0.5) / (n + 0.5)) for pair, n in found_in.items() if n}
    scores = dict.fromkeys(proposed, 0.0)
    for name in FIELDS:
        lengths = {report_id: sum(held[report_id][name].values()) for report_id in proposed}
        mean = sum(lengths.values()) / max(1, len(lengths)) or 1.0
        weighed = [(term, WEIGHTS[name] * idf) for (field, term), idf in rarity.items() if field == name]
        for report_id in proposed:
            slack = REPEATED * (1 - LENGTH + LENGTH * lengths[report_id] / mean)
            have = held[report_id][name]
            for term, weight in weighed:
                often = have[term]
                if often:
                    scores[report_id] += weight * often * (REPEATED + 1) / (often + slack)
    return TextArm(scores, held)


def counts_of(whole: Any, report_ids: Sequence[str]) -> dict[str, Counts]:
    """The terms of some reports, counted."""
    from lancedb.expr import col

    if not report_ids:
        return {}
    search = whole.search().where(col("report_id").isin(list(report_ids)))
    rows = search.select(["report_id", *FIELDS]).to_arrow().to_pylist()
    return {row["report_id"]: {name: Counter(row[name].split(" ")) for name in FIELDS} for row in rows}


def _propose(
    whole: Any, asked: Sequence[tuple[str, str]], scope: Scope, count: int
) -> tuple[list[str], dict[tuple[str, str], int]]:
    """The best allowed reports by LanceDB's own scores, and in how many reports of the index each term is."""
    from lancedb import query

    # Through Any: its type hints, made for another checker, call every option required.
    match: Any = query.MatchQuery
    scores: dict[str, float] = {}
    found_in: dict[tuple[str, str], int] = {}
    # Reports are few beside passages: all that match are read, so that no term cuts another's off.
    limit = max(1, whole.count_rows())
    for name, term in asked:
        search = whole.search(match(term, column=name), query_type="fts")
        found = search.select(["report_id", "_score"]).limit(limit).to_arrow()
        found_in[name, term] = found.num_rows
        for report_id, score in zip(found["report_id"].to_pylist(), found["_score"].to_pylist(), strict=True):
            if report_id in scope.allowed:
                scores[report_id] = scores.get(report_id, 0.0) + WEIGHTS[name] * score
    return sorted(scores, key=lambda report_id: (-scores[report_id], report_id))[:count], found_in
