"""Searches: patches by place, image, vector, region or text; slides by slide, region or vector."""

import base64
import binascii
import time
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter

from slidelake.errors import QueryError, UnknownSlideError
from slidelake.services.api.auth import Reader
from slidelake.services.api.context import Context, SharedContext
from slidelake.services.api.search_models import (
    PatchAnswer,
    PatchHit,
    PatchQuery,
    PatchSearch,
    SearchedFor,
    SlideAnswer,
    SlideHit,
    SlideSearch,
)
from slidelake.services.links import quoted, slide_link

if TYPE_CHECKING:
    from slidelake.index import Hit, Hits

__all__ = ["check_k", "patch_hits", "router"]

router = APIRouter(tags=["search"])


@router.post("/api/search/patches")
def search_patches(asked: PatchSearch, context: SharedContext, caller: Reader) -> PatchAnswer:
    """Patches like a patch, an image, a vector, a region of a slide, or words where the encoder reads them."""
    began = time.perf_counter()
    hits = patch_hits(context, asked)
    context.audit(
        caller, "search", kind=hits.query.kind, space=hits.space, slide=hits.query.slide_id, hits=len(hits)
    )
    found = [made for hit in hits if (made := _patch_hit(context, hit)) is not None]
    return PatchAnswer(**_told(hits, began), hits=found)


@router.post("/api/search/slides")
def search_slides(asked: SlideSearch, context: SharedContext, caller: Reader) -> SlideAnswer:
    """Slides like a slide or a vector, by their embeddings; or like a region of a slide, by their patches."""
    began = time.perf_counter()
    common = _common(context, asked)
    index, query = context.lake.index, asked.query
    if query.slide is not None:
        hits = index.search_slide(query.slide, aggregator=asked.aggregator, **common)
    elif query.region is not None:
        region = query.region
        hits = index.search_region(
            region.slide, box=region.box, polygon=region.polygon, find="slides", **common
        )
    else:
        assert query.vector is not None
        hits = index.search_vector(query.vector, aggregator=asked.aggregator, **common)
    context.audit(
        caller, "search", kind=hits.query.kind, space=hits.space, slide=hits.query.slide_id, hits=len(hits)
    )
    found = [
        SlideHit(
            rank=hit.rank,
            score=hit.score,
            slide_id=hit.slide_id,
            patient_id=hit.patient_id,
            metadata=hit.metadata,
            thumbnail=context.url(f"/api/slides/{quoted(hit.slide_id)}/thumbnail.jpeg"),
            link=slide_link(hit.slide_id),
        )
        for hit in hits
    ]
    return SlideAnswer(**_told(hits, began), hits=found)


def patch_hits(context: Context, asked: PatchSearch) -> "Hits":
    """The hits of a search for patches."""
    common = _common(context, asked)
    index, query = context.lake.index, asked.query
    if query.slide is not None:
        return index.search_patch(query.slide, query.x or 0.0, query.y or 0.0, **common)
    if query.region is not None:
        return index.search_region(
            query.region.slide, box=query.region.box, polygon=query.region.polygon, **common
        )
    if query.image is not None:
        return index.search_image(image_bytes(query), mpp=query.mpp, **common)
    if query.text is not None:
        return index.search_text(query.text, **common)
    assert query.vector is not None
    return index.search_vector(query.vector, **common)


def image_bytes(query: PatchQuery) -> bytes:
    """The image file of a query."""
    try:
        # A data URL is what a page has of a file; its head says nothing that is believed.
        body = (
            (query.image or "").partition(";base64,")[2]
            if (query.image or "").startswith("data:")
            else query.image
        )
        return base64.b64decode(body or "", validate=True)
    except (binascii.Error, ValueError) as exc:
        raise QueryError("the image is not base64", remedy="Send the file's bytes as base64.") from exc


def check_k(context: Context, k: int) -> None:
    """QueryError for more hits than the server gives."""
    if k > context.settings.max_k:
        raise QueryError(
            f"{k} hits are more than this server gives", remedy=f"Ask for {context.settings.max_k} at most."
        )


def _common(context: Context, asked: PatchSearch | SlideSearch) -> dict[str, Any]:
    check_k(context, asked.k)
    return {
        "space": asked.space,
        "k": asked.k,
        "where": asked.where,
        "exclude_same_patient": asked.exclude_same_patient,
        "exclude_patient": asked.exclude_patient,
        "exact": asked.exact,
    }


def _told(hits: "Hits", began: float) -> dict[str, Any]:
    query = hits.query
    names = ("kind", "slide_id", "patient_id", "row", "x", "y", "width", "height", "patches")
    return {
        "space": hits.space,
        "kind": query.kind,
        "exact": query.exact,
        "notes": list(hits.notes),
        "took_ms": round((time.perf_counter() - began) * 1000, 3),
        "query": SearchedFor(**{name: getattr(query, name) for name in names}),
    }


def _patch_hit(context: Context, hit: "Hit") -> PatchHit | None:
    """The hit with its size and links; None for a slide that was deleted since it was found."""
    try:
        grid = context.source(hit.slide_id).slide.grids.get(hit.space.partition("/")[0])
    except UnknownSlideError:
        return None
    assert hit.row is not None
    assert hit.x is not None
    assert hit.y is not None
    footprint = grid.pair("footprint_level0") if grid is not None else None
    width, height = footprint or (0, 0)
    return PatchHit(
        rank=hit.rank,
        score=hit.score,
        slide_id=hit.slide_id,
        patient_id=hit.patient_id,
        row=hit.row,
        x=hit.x,
        y=hit.y,
        footprint=footprint,
        mpp=grid.mpp if grid is not None else None,
        metadata=hit.metadata,
        patch=context.url(
            f"/api/slides/{quoted(hit.slide_id)}/patch.jpeg?x={hit.x}&y={hit.y}&space={quoted(hit.space)}"
        ),
        link=slide_link(hit.slide_id, hit.x, hit.y, width or None, height or None),
    )
