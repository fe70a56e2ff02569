"""Nearest vectors under a filter: LanceDB proposes candidates, the scores are computed again from the
vectors.

LanceDB's `_distance` is no score: with a quantised index it is twice the cosine distance, or a rough guess at
it, and it changes as rows are added. So the candidates' vectors are fetched, and each score is the cosine in
float64, rounded to float32: it depends on the two vectors alone, whatever the index, the batch or the
machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from slidelake.errors import QueryError
from slidelake.index.blocks import matrix
from slidelake.index.candidates import Candidates, ordered
from slidelake.index.hits import Hit, Hits
from slidelake.index.live import LiveView, Version
from slidelake.index.product import SCAN_ERROR, best_patches, paired_cosines
from slidelake.index.recall import REFINE
from slidelake.index.scope import Opened, Request, Scope, scope_of
from slidelake.index.tables import METRIC, OWN_COLUMNS, normalise

if TYPE_CHECKING:
    from slidelake.index.opener import Opener
    from slidelake.store import FeatureStore

__all__ = [
    "Search",
    "as_hits",
    "check_dim",
    "check_k",
    "find",
    "lance_candidates",
    "query_vector",
    "searched",
]

Search = Callable[["FeatureStore", "Opener", Opened, Request, dict[str, Version]], Hits]

_SPARE = 16


def check_k(k: int) -> int:
    """`k` as a number of hits: a whole number from 1 on."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise QueryError(f"cannot return {k!r} hits", remedy="Ask for a whole number of hits, 1 or more.")
    return int(k)


def query_vector(vector: Any) -> np.ndarray:
    """A query (D,) as the index holds vectors (unit length, float16 precision), float32; QueryError if it is
    none.

    LanceDB itself answers a NaN query with arbitrary rows and a zero query with none, neither with an error.
    """
    try:
        with np.errstate(over="ignore"):  # what float32 cannot hold is inf, and refused below
            array = np.asarray(vector, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as exc:
        raise QueryError("the query is not a vector of numbers", remedy="Pass (D,) numbers.") from exc
    if array.ndim != 1 or not array.size:
        raise QueryError(f"the query has shape {array.shape}", remedy="Pass one vector of shape (D,).")
    if not np.isfinite(array).all():
        raise QueryError("the query vector holds NaN or inf", remedy="Pass finite numbers.")
    unit, usable = normalise(array[None])
    if not usable[0]:
        raise QueryError(
            "the query vector is all zeros, which has no direction", remedy="Pass another vector."
        )
    return np.asarray(unit[0], dtype=np.float32)


def find(store: FeatureStore, opener: Opener, request: Request, view: LiveView) -> Hits:
    """The `k` nearest live vectors to the request's one vector, as `Hits`.

    IndexMissingError when the index or this table of it is not there, QueryError for a vector of another
    dimension, FilterError for a filter on no column.
    """
    return searched(store, opener, request, view, _find)


def searched(store: FeatureStore, opener: Opener, request: Request, view: LiveView, search: Search) -> Hits:
    """`search` over what is remembered of the store; over a new listing where its hits are not live any more."""
    remembered = view.remembered()
    if remembered is not None:
        opened = opener.open(store, request.collection, remembered=True)
        hits = search(store, opener, opened, request, remembered.get(request.collection, {}))
        if not hits.stale and view.holds(request.collection, {hit.slide_id for hit in hits}):
            return hits
    listed = view.listed().get(request.collection, {})
    return search(store, opener, opener.open(store, request.collection), request, listed)


def _find(
    store: FeatureStore, opener: Opener, opened: Opened, request: Request, live: dict[str, Version]
) -> Hits:
    check_dim(opened, request.vectors)
    scope = scope_of(store, opened, request, live)
    resident = opener.resident(opened) if scope.allowed else None
    exact = request.query.exact or resident is not None or not opened.approximate
    request = replace(request, query=replace(request.query, exact=exact))
    if not scope.allowed:
        found = Candidates.none()
    elif resident is not None:
        found = best_patches([resident.within(scope)], request.vectors, request.query.k)
    else:
        found = _nearest(scope, request, opened.probes)
    return as_hits(found, request, scope)


def check_dim(opened: Opened, vectors: np.ndarray) -> None:
    """QueryError for vectors (m, D) of another dimension than the table's."""
    if vectors.shape[1] != opened.dim:
        raise QueryError(
            f"the query has {vectors.shape[1]} dimensions, the space {opened.collection.space} has {opened.dim}",
            remedy="Encode the query with the encoder of the space.",
        )


def as_hits(found: Candidates, request: Request, scope: Scope, *, patches: bool | None = None) -> Hits:
    """The best of the candidates, with what their slides' rows say; `patches` where they have a place."""
    patches = not request.collection.aggregator if patches is None else patches
    names = scope.names
    hits = []
    for rank, i in enumerate(found.order[: request.query.k], start=1):
        row = scope.allowed[found.slides[i]]
        hits.append(
            Hit(
                rank=rank,
                score=float(found.scores[i]),
                slide_id=found.slides[i],
                patient_id=row["patient_id"],
                row=int(found.rows[i]) if patches else None,
                x=int(found.x[i]) if patches else None,
                y=int(found.y[i]) if patches else None,
                space=request.collection.space,
                metadata={name: row[own] for own, name in names.items() if own not in OWN_COLUMNS},
            )
        )
    return Hits(
        hits, query=request.query, space=request.collection.space, stale=scope.stale, notes=scope.notes
    )


def _nearest(scope: Scope, request: Request, probes: int) -> Candidates:
    """Candidates that surely hold the k nearest (exact), or probably (approximate), with true scores."""
    k = request.query.k
    exact = request.query.exact
    fetch = k + _SPARE
    while True:
        found = lance_candidates(scope, request.vectors, fetch, probes=None if exact else probes)
        enough = len(found.order) >= k
        if not exact:
            if enough:
                return found
            exact = True  # a narrow filter left the probed partitions short of hits: look at all of them
            continue
        if found.exhausted:
            return found
        # Ties at the edge (blank patches are alike to the bit) must all be seen before the order can choose
        # among them.
        if enough and found.farthest > 1 - float(found.scores[found.order[k - 1]]) + SCAN_ERROR:
            return found
        fetch *= 2


def lance_candidates(scope: Scope, vectors: np.ndarray, fetch: int, *, probes: int | None) -> Candidates:
    """LanceDB's `fetch` nearest to each of (m, D) vectors, all asked at once; exact where `probes` is None."""
    table = scope.opened.table
    patches = not scope.opened.collection.aggregator
    one = len(vectors) == 1
    columns = [
        "slide_id",
        "epoch",
        "generation",
        "row",
        *(["x", "y"] if patches else []),
        "vector",
        "_distance",
    ]
    # The vector column is named: without it a wrong dimension is reported as a missing column.
    search = table.search(vectors[0] if one else vectors, vector_column_name="vector").distance_type(METRIC)
    search = search.bypass_vector_index() if probes is None else search.nprobes(probes).refine_factor(REFINE)
    condition = scope.condition()
    if condition is not None:
        search = search.where(condition)
    found = search.select(columns).limit(fetch).to_arrow()
    which = np.zeros(found.num_rows, np.intp) if one else np.asarray(found["query_index"], np.intp)
    slides = found["slide_id"].to_pylist()
    versions = zip(found["epoch"].to_pylist(), found["generation"].to_pylist(), strict=True)
    keep = np.array(
        [scope.current(slide, Version(*version)) for slide, version in zip(slides, versions, strict=True)],
        dtype=bool,
    )
    scores = paired_cosines(matrix(found["vector"]), vectors, which)
    rows = np.asarray(found["row"], dtype=np.int64)
    order = ordered(scores, slides, rows)
    order = order[keep[order]]
    if not one:  # a row that several of the vectors found counts once, by its best
        first: dict[tuple[str, int], int] = {}
        for i in order:
            first.setdefault((slides[i], int(rows[i])), i)
        order = np.array(list(first.values()), np.intp)
    return Candidates(
        slides=slides,
        rows=rows,
        x=np.asarray(found["x"]) if patches else rows,
        y=np.asarray(found["y"]) if patches else rows,
        scores=scores,
        order=order,
        farthest=float(np.asarray(found["_distance"], np.float64).max(initial=-np.inf)),
        exhausted=found.num_rows < fetch,
    )
