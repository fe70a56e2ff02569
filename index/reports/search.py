"""Which reports answer a question: BM25 over their terms and cosines of their passages, fused by ranks.

Text: the question and the reports are read as terms (`terms.py`). Each class of terms has a full-text index of its own
over whole reports, since the facts of a question often stand pages apart; BM25 scores are added by class, and the
best reports scored again (`rank.py`). Vector: a report is as near as its nearest passage. Both lists are fused
by reciprocal ranks (Cormack et al. 2009), the vector's with the smaller weight (`VECTOR_WEIGHT`): a small sentence
encoder knows less of pathology than its vocabulary does. The passage shown of a report is the one that holds most of
the question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from slidelake.errors import IndexMissingError, MissingDependencyError
from slidelake.index.reports.follow import sentence_encoder
from slidelake.index.reports.hits import ReportHit, ReportHits
from slidelake.index.reports.passages import Passages
from slidelake.index.reports.rank import WEIGHTS, Counts, TextArm, asked_terms, counts_of, search_terms
from slidelake.index.reports.request import Mode, ReportsRequest
from slidelake.index.reports.scope import Scope
from slidelake.index.reports.tables import PASSAGES, WHOLE, report_facts
from slidelake.index.reports.terms import Terms, read_terms
from slidelake.index.search import query_vector

if TYPE_CHECKING:
    from slidelake.index.connection import Connection
    from slidelake.store import FeatureStore

__all__ = ["find_reports"]

#: The weight of the vector's ranks beside 1 for the text's, and the constant of the fusion.
VECTOR_WEIGHT, RANK_CONSTANT = 0.05, 10
#: Reports that each arm proposes.
_CANDIDATES = 100


def find_reports(store: FeatureStore, connection: Connection, request: ReportsRequest) -> ReportHits:
    """The passages that answer the request best; see `SlideIndex.search_reports`."""
    store_id = str(store.info.store_id)
    versions = store.reports.versions()
    whole = connection.snapshot(WHOLE, _facts(store_id))
    passages = connection.snapshot(PASSAGES, _facts(store_id))
    if whole is None or passages is None:
        if not versions:
            return ReportHits((), query=request.text, mode=request.mode, notes=("the store has no reports",))
        raise IndexMissingError(
            "the index does not hold the reports yet", remedy="Run `slidelake index sync`."
        )
    scope = Scope.of(store, connection, whole, versions, request)
    notes = list(scope.notes)
    vector = _question_vector(request, passages, notes)
    if not scope.allowed:
        return ReportHits((), query=request.text, mode=request.mode, notes=notes)
    terms = read_terms(request.text, question=True)
    count = max(_CANDIDATES, 2 * request.k)
    text = search_terms(whole, terms, scope, count) if request.mode != "vector" else TextArm({}, {})
    by_vector = _by_vector(passages, vector, scope, count) if vector is not None else {}
    fused = _fuse(text.scores, by_vector, request.mode)
    chosen = sorted(fused, key=lambda report_id: (-fused[report_id], report_id))[: request.k]
    shown = Passages.read(passages, scope, chosen, terms, vector)
    have = text.held | counts_of(whole, [each for each in chosen if each not in text.held])
    hits: list[ReportHit] = []
    for report_id in chosen:
        scores = {"text": text.scores.get(report_id, 0.0), "coverage": _coverage(terms, have[report_id])}
        for row, cosine in shown.best(report_id, request.per_report):
            if len(hits) < request.k:
                own = scores if cosine is None else scores | {"vector": cosine}
                hits.append(_hit(row, len(hits) + 1, fused[report_id], own))
    return ReportHits(hits, query=request.text, mode=request.mode, notes=notes)


def _facts(store_id: str) -> dict[str, str]:
    """The facts that a search relies on: the store, and how texts were read. The encoder is checked by its vectors."""
    return {
        name: value for name, value in report_facts(store_id, "").items() if name != "slidelake.text_encoder"
    }


def _question_vector(request: ReportsRequest, passages: Any, notes: list[str]) -> np.ndarray | None:
    """The question as the index holds passages: (dim,) float32. None in text mode, or with a note in hybrid."""
    if request.mode == "text":
        return None
    made_by = (passages.schema.metadata or {}).get(b"slidelake.text_encoder", b"").decode()
    encoder = sentence_encoder() if made_by else None
    if not made_by:
        why = (
            "the index holds no vectors of reports: install slidelake[reports] and run `slidelake index sync`"
        )
    elif encoder is None:
        why = "the sentence encoder is not installed: pip install 'slidelake[reports]'"
    elif encoder.id != made_by:
        why = f"the vectors are by {made_by}, not by {encoder.id}: run `slidelake index sync`"
    else:
        why = ""
    if encoder is None or why:
        if request.mode == "vector":
            raise MissingDependencyError(
                f"reports cannot be searched by vectors: {why}", remedy="Or search by text: --mode text."
            )
        notes.append(f"searched by text alone: {why}")
        return None
    # With the names that its abbreviations stand for, which the encoder knows better.
    names = read_terms(request.text, question=True).names
    asked = f"{request.text} ({', '.join(names)})" if names else request.text
    return query_vector(encoder.encode([asked])[0])


def _by_vector(passages: Any, vector: np.ndarray, scope: Scope, count: int) -> dict[str, float]:
    """The best cosine of each of the nearest reports, by their nearest passages."""
    from slidelake.index.upkeep import has_vector_index

    fetch = 4 * count
    while True:
        search = passages.search(vector, vector_column_name="vector").distance_type("cosine")
        # The refinement gives true distances back, which a quantised index does not.
        search = search.refine_factor(10).nprobes(50) if has_vector_index(passages) else search
        condition = scope.condition()
        if condition is not None:
            search = search.where(condition)
        columns = ["report_id", "generation", "_distance"]
        found = search.select(columns).limit(fetch).to_arrow()
        scores: dict[str, float] = {}
        for row in found.to_pylist():
            if scope.allowed.get(row["report_id"]) == row["generation"]:
                scores.setdefault(row["report_id"], 1.0 - row["_distance"])
        if found.num_rows < fetch or len(scores) >= count:
            return dict(sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:count])
        fetch *= 4


def _fuse(by_text: dict[str, float], by_vector: dict[str, float], mode: Mode) -> dict[str, float]:
    """Reciprocal-rank fusion; one arm alone keeps its own scores."""
    if mode == "text":
        return by_text
    if mode == "vector":
        return by_vector
    fused: dict[str, float] = {}
    for scores, weight in ((by_text, 1.0), (by_vector, VECTOR_WEIGHT)):
        for rank, report_id in enumerate(sorted(scores, key=lambda each: (-scores[each], each))):
            fused[report_id] = fused.get(report_id, 0.0) + weight / (RANK_CONSTANT + rank + 1)
    return fused


def _coverage(terms: Terms, have: Counts) -> float:
    asked = found = 0.0
    for name, term in asked_terms(terms):
        asked += WEIGHTS[name]
        found += WEIGHTS[name] * (term in have[name])
    return found / asked if asked else 0.0


def _hit(row: dict[str, Any], rank: int, score: float, scores: dict[str, float]) -> ReportHit:
    return ReportHit(
        rank=rank,
        score=float(score),
        report_id=row["report_id"],
        chunk_id=row["chunk_id"],
        patient_id=row["patient_id"],
        slide_ids=tuple(row["slide_ids"]),
        section=row["section"],
        start=row["start"],
        end=row["end"],
        text=row["text"],
        scores={name: float(value) for name, value in sorted(scores.items())},
    )
