"""Searches by many vectors at once: the patches, or the slides, that are most like a region.

Patches: a patch counts by the region's patch that it is nearest to (its best cosine), so that each tissue of the
region finds its like, and each place comes once. Slides: the mean over the region's patches of the best cosine that
any patch of the slide has with it. That is the late interaction of ColBERT (a mean, so that regions of any size have
scores in -1…1), and the one-sided form of the distances between bags of patches by which Yottixel (median of least
distances) and its followers rank slides; a mean keeps the share of each tissue, where a median would forget what makes
up less than half of the region.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from slidelake.index.blocks import Block, stream
from slidelake.index.candidates import Candidates, ordered
from slidelake.index.hits import Hits
from slidelake.index.live import LiveView, Version
from slidelake.index.product import SCAN_ERROR, best_patches, best_slides, paired_cosines
from slidelake.index.scope import Opened, Request, Scope, scope_of
from slidelake.index.search import as_hits, check_dim, lance_candidates, searched

if TYPE_CHECKING:
    from slidelake.index.opener import Opener
    from slidelake.index.resident import Resident
    from slidelake.store import FeatureStore

__all__ = ["MOST_VECTORS", "find_patches", "find_slides"]

#: Patches of a region that are asked with; of a larger one as many, spread over it.
MOST_VECTORS = 128
#: Slides whose scores are made in full, where an approximate index proposes them.
_SLIDES_RANKED = 200
_SPARE = 16


def find_patches(store: FeatureStore, opener: Opener, request: Request, view: LiveView) -> Hits:
    """The `k` live patches that are nearest to any of the request's vectors (m, D)."""
    return searched(store, opener, request, view, _patches)


def find_slides(store: FeatureStore, opener: Opener, request: Request, view: LiveView) -> Hits:
    """The `k` live slides with the highest mean, over the request's vectors (m, D), of a slide's best cosines."""
    return searched(store, opener, request, view, _slides)


def _patches(
    store: FeatureStore, opener: Opener, opened: Opened, request: Request, live: dict[str, Version]
) -> Hits:
    check_dim(opened, request.vectors)
    scope = scope_of(store, opened, request, live)
    resident = opener.resident(opened) if scope.allowed else None
    exact = request.query.exact or resident is not None or not opened.approximate
    request = replace(request, query=replace(request.query, exact=exact))
    k = request.query.k
    if not scope.allowed:
        found = Candidates.none()
    elif exact:
        found = best_patches(_blocks(scope, resident), request.vectors, k)
    else:
        # Whatever is among the k best is among the k best of the vector that it is nearest to.
        found = lance_candidates(scope, request.vectors, k, probes=opened.probes)
        if len(found.order) < k:  # a narrow filter left the probed partitions short of hits
            request = replace(request, query=replace(request.query, exact=True))
            found = best_patches(_blocks(scope, None), request.vectors, k)
    return as_hits(found, request, scope)


def _slides(
    store: FeatureStore, opener: Opener, opened: Opened, request: Request, live: dict[str, Version]
) -> Hits:
    check_dim(opened, request.vectors)
    scope = scope_of(store, opened, request, live)
    resident = opener.resident(opened) if scope.allowed else None
    exact = request.query.exact or resident is not None or not opened.approximate
    request = replace(request, query=replace(request.query, exact=exact))
    if not scope.allowed:
        return as_hits(Candidates.none(), request, scope, patches=False)
    if exact:
        best = best_slides(_blocks(scope, resident), request.vectors)
        wanted = max(request.query.k + _SPARE, 2 * request.query.k)
        means = sorted(((float(each.mean()), slide) for slide, each in best.items()), reverse=True)
        cut = means[min(request.query.k, len(means)) - 1][0] - 2 * SCAN_ERROR if means else 0.0
        ranked = {slide for mean, slide in means if mean >= cut} | {slide for _, slide in means[:wanted]}
    else:
        near = lance_candidates(scope, request.vectors, 50, probes=opened.probes)
        ranked = set(list(dict.fromkeys(near.slides[i] for i in near.order))[:_SLIDES_RANKED])
    scores = _scores(_blocks(scope, resident, only=ranked), request.vectors)
    slides = sorted(scores)
    values = np.array([scores[slide] for slide in slides], np.float32)
    rows = np.zeros(len(slides), np.int64)
    found = Candidates(slides, rows, rows, rows, values, ordered(values, slides, rows))
    return as_hits(found, request, scope, patches=False)


def _blocks(scope: Scope, resident: Resident | None, *, only: set[str] | None = None) -> Iterable[Block]:
    if resident is not None:
        return [resident.within(scope, only=only)]
    return stream(scope, only=only)


def _scores(blocks: Iterable[Block], vectors: np.ndarray) -> dict[str, float]:
    """Each slide's mean, over (m, D) vectors, of the true cosine with the row that is nearest to the vector."""
    best: dict[str, np.ndarray] = {}
    near: dict[str, np.ndarray] = {}
    for block in blocks:
        kept = np.flatnonzero(block.keep)
        for code in np.unique(block.codes[kept]):
            slide = block.keys[code][0]
            own = kept[block.codes[kept] == code]
            products = (block.vectors[own].astype(np.float32, copy=False) @ vectors.T) * block.inverse[
                own, None
            ]
            places = products.argmax(axis=0)
            nearness = products[places, np.arange(len(vectors))]
            values = np.array(
                [
                    paired_cosines(block.vectors[own[[place]]], vectors[[number]], np.zeros(1, np.intp))[0]
                    for number, place in enumerate(places)
                ]
            )
            if slide not in best:
                best[slide], near[slide] = values, nearness
            else:
                nearer = nearness > near[slide]
                best[slide] = np.where(nearer, values, best[slide])
                near[slide] = np.maximum(nearness, near[slide])
    return {slide: float(np.mean(values, dtype=np.float64)) for slide, values in best.items()}
