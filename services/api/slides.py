"""The slides: a list to search, filter and page through, and one with all that was made of it."""

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

from fastapi import APIRouter, Query

from slidelake.errors import DamagedStoreError, UnknownSlideError
from slidelake.services.api.auth import Reader
from slidelake.services.api.catalog_view import Row
from slidelake.services.api.context import Context, SharedContext
from slidelake.services.api.deep_zoom import OVERLAP, TILE_SIZE, DeepZoom
from slidelake.services.api.models import (
    AggregatorOfSlide,
    DeepZoomInfo,
    GridInfo,
    ReportLine,
    SlideDetails,
    SlidePage,
    SlideSummary,
)
from slidelake.services.api.reports_view import reports_of_slide
from slidelake.services.api.sources import Slide, SourceBook
from slidelake.services.links import quoted

__all__ = ["router"]

router = APIRouter(tags=["slides"])
log = logging.getLogger(__name__)


@router.get("/api/slides")
def slides(
    context: SharedContext,
    caller: Reader,
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
    limit: Annotated[int, Query(ge=0, le=500)] = 50,
    query: Annotated[
        str,
        Query(max_length=500, description="Words that all stand in ids or metadata.", examples=["larynx"]),
    ] = "",
    where: Annotated[
        list[str],
        Query(
            max_length=50,
            description="site=lung, age>=50, 'stage in I,II'; repeatable.",
            examples=[["age>=50"]],
        ),
    ] = [],  # noqa: B006 - FastAPI copies it
    sort: Annotated[str, Query(max_length=200, description="A column; -column turns it round.")] = "slide_id",
) -> SlidePage:
    """Slides that fit, a page of them."""
    chosen = context.catalog.get().choose(query, where, sort)
    page = chosen[offset : offset + limit]
    return SlidePage(total=len(chosen), offset=offset, slides=_summaries(context, page))


@router.get("/api/slides/{slide_id}")
def slide(slide_id: str, context: SharedContext, caller: Reader) -> SlideDetails:
    """One slide: its facts, grids, embeddings, and how to show it."""
    book = context.source(slide_id)
    row = context.row(slide_id)
    known = book.slide
    summary = _summary(context, row, book)
    return SlideDetails(
        **summary.model_dump(),
        grids=[
            GridInfo(
                grid_id=grid.grid_id,
                patch_px=grid.patch_px,
                mpp=grid.mpp,
                footprint=grid.pair("footprint_level0"),
                stride=grid.pair("stride_level0"),
                patches=grid.patches,
                columns=list(grid.columns),
            )
            for _, grid in sorted(known.grids.items())
        ],
        aggregators=_aggregators(context, known),
        reports=_reports(context, row),
        deep_zoom=_deep_zoom(context, book),
        pixels_note=book.note,
    )


def _summaries(context: Context, rows: list[Row]) -> list[SlideSummary]:
    """The rows with where their pixels are. What is not remembered is looked up by several threads."""
    found = {row.slide_id: context.sources.peek(row.slide_id) for row in rows}
    lacking = [row for row in rows if found[row.slide_id] is None]
    if len(lacking) > 1:
        with ThreadPoolExecutor(min(8, len(lacking))) as pool:
            looked_up = list(pool.map(lambda row: _book(context, row), lacking))
    else:
        looked_up = [_book(context, row) for row in lacking]
    found.update(zip((row.slide_id for row in lacking), looked_up, strict=True))
    # One that was deleted a moment ago is left out.
    return [_summary(context, row, book) for row in rows if (book := found[row.slide_id]) is not None]


def _book(context: Context, row: Row) -> SourceBook | None:
    """What is known of a slide of the list; None for one that is gone. One that is damaged must not cost the others
    their places."""
    try:
        return context.sources.get(row.slide_id)
    except UnknownSlideError:
        return None
    except DamagedStoreError as exc:
        log.warning("a slide of the list is damaged", extra={"slide_id": row.slide_id, "error": str(exc)})
        size = (row.width, row.height) if row.width and row.height else None
        slide = Slide(row.slide_id, "", None, size, "", {}, row.spaces, (), None, "")
        return SourceBook(slide, "none", str(exc), "")


def _summary(context: Context, row: Row, book: SourceBook) -> SlideSummary:
    size = book.slide.size or (row.width, row.height)
    return SlideSummary(
        slide_id=row.slide_id,
        patient_id=row.patient_id,
        width=size[0],
        height=size[1],
        mpp=row.mpp,
        objective_power=book.slide.objective_power,
        spaces=list(row.spaces),
        patches=row.patches,
        metadata=dict(row.metadata),
        pixels=book.pixels,
        thumbnail=context.url(f"/api/slides/{quoted(row.slide_id)}/thumbnail.jpeg"),
    )


def _deep_zoom(context: Context, book: SourceBook) -> DeepZoomInfo | None:
    size = book.slide.size
    if size is None or book.pixels == "none":
        return None
    return DeepZoomInfo(
        url=context.url(f"/api/slides/{quoted(book.slide.slide_id)}.dzi"),
        tile_size=TILE_SIZE,
        overlap=OVERLAP,
        max_level=DeepZoom(*size).max_level,
        width=size[0],
        height=size[1],
    )


def _aggregators(context: Context, known: Slide) -> list[AggregatorOfSlide]:
    found = []
    for space, aggregator_id in known.pooled:
        grid_id, _, encoder_id = space.partition("/")
        commit = context.lake.store.commit(known.slide_id, "pooled", grid_id, encoder_id, aggregator_id)
        if commit is not None:
            branches = int(commit.arrays["embedding"]["shape"][0])
            found.append(
                AggregatorOfSlide(
                    space=space,
                    aggregator_id=aggregator_id,
                    branches=branches,
                    attention="scores" in commit.arrays,
                )
            )
    return found


def _reports(context: Context, row: Row) -> list[ReportLine]:
    """The slide's reports, and those of its patient that name no slide."""
    heads = reports_of_slide(context.reports.get().values(), row.slide_id, row.patient_id)
    return [ReportLine(report_id=head.report_id, title=head.title) for head in heads]
