"""Patches of a slide: one as a picture, and where all of them lie."""

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from slidelake.errors import QueryError, UnknownNameError, UnknownSpaceError, UsageError
from slidelake.services.api.auth import Reader
from slidelake.services.api.conditional import not_modified, tagged
from slidelake.services.api.context import SharedContext
from slidelake.services.api.pixels import draw_patch
from slidelake.services.api.send_picture import looked_up, send_picture
from slidelake.services.api.sources import GridFacts, SourceBook

__all__ = ["grid_of", "router"]

router = APIRouter(tags=["pixels"])

Place = Annotated[int, Query(ge=-(2**31), lt=2**31, description="Level-0 pixel of the top-left corner.")]
Space = Annotated[
    str | None,
    Query(max_length=200, description="Grid and encoder, or a grid; needed where there are several."),
]


@router.get(
    "/api/slides/{slide_id}/patch.jpeg",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}, "description": "A square JPEG."}},
)
async def patch(
    slide_id: str,
    x: Place,
    y: Place,
    request: Request,
    context: SharedContext,
    caller: Reader,
    space: Space = None,
    size: Annotated[int | None, Query(ge=16, le=1024, description="Pixels a side; else the grid's.")] = None,
) -> Response:
    """The patch whose top-left corner is level-0 (x, y), as its encoder saw it where the slide can be read."""
    book = await looked_up(context, slide_id)
    grid = grid_of(book, space)
    _check_place(book, grid, x, y)
    side = size or grid.patch_px or 256
    name = f"p{grid.grid_id}-{x}-{y}-{side}"
    return await send_picture(
        context, request, book, name, lambda: draw_patch(context, book, grid, x, y, side)
    )


@router.get(
    "/api/slides/{slide_id}/coords",
    response_class=Response,
    responses={
        200: {
            "content": {"application/octet-stream": {}},
            "description": "int32, little-endian, (N, 2): level-0 x and y of each patch's top-left corner, in the "
            "order of the rows; X-Slidelake-Rows has N, X-Slidelake-Footprint the patch's width,height.",
        }
    },
)
def coords(
    slide_id: str, request: Request, context: SharedContext, caller: Reader, space: Space = None
) -> Response:
    """Where all patches of a slide lie."""
    book = context.source(slide_id)
    grid = grid_of(book, space)
    footprint = grid.pair("footprint_level0") or (0.0, 0.0)
    headers = {
        "cache-control": "private, no-cache",
        "x-slidelake-rows": str(grid.patches),
        "x-slidelake-footprint": ",".join(f"{side:g}" for side in footprint),
    }
    etag = f"{book.slide.stamp}-{grid.grid_id}"
    if (same := not_modified(request, etag, headers)) is not None:
        return same
    places = context.lake.store.grid(slide_id, grid.grid_id).coords
    data = np.ascontiguousarray(places, dtype="<i4").tobytes()
    return Response(data, media_type="application/octet-stream", headers=tagged(etag, headers))


def grid_of(book: SourceBook, space: str | None) -> GridFacts:
    """The slide's grid that a space, a grid's id, or nothing (where there is one) means.

    Raises UnknownSpaceError.
    """
    slide = book.slide
    grids = set(slide.grids)
    if space is not None:
        wanted = space.partition("/")[0]
        fitting = {wanted} & grids if wanted in grids else _by_encoder(slide.spaces, space)
    else:
        fitting = grids
    if len(fitting) == 1:
        return slide.grids[fitting.pop()]
    raise UnknownSpaceError(
        f"the slide has no grid for {space[:120]!r}" if space else f"the slide has {len(grids)} grids",
        remedy=f"Pass space=, one of: {', '.join([*slide.spaces, *sorted(grids)]) or 'none there is'}.",
        slide=slide.slide_id,
    )


def _by_encoder(spaces: tuple[str, ...], name: str) -> set[str]:
    """The grids of the spaces that an encoder's id, or its name alone, means."""
    encoders = [(each.partition("/")[0], each.partition("/")[2]) for each in spaces]
    return {grid for grid, encoder in encoders if name in (encoder, encoder.rpartition(".")[0])}


def _check_place(book: SourceBook, grid: GridFacts, x: int, y: int) -> None:
    """Raises QueryError for a patch that has no pixel on the slide."""
    footprint = grid.pair("footprint_level0")
    if footprint is None:
        raise UsageError(
            "the grid does not say how large its patches are",
            remedy="Import the features again with --mpp and the slides.",
            slide=book.slide.slide_id,
        )
    width, height = footprint
    size = book.slide.size
    if size is None:
        raise UnknownNameError(
            "nothing says how large the slide is", remedy="Ingest the slide.", slide=book.slide.slide_id
        )
    if not (-width < x < size[0] and -height < y < size[1]):
        raise QueryError(
            f"{x}, {y} lies beyond the slide",
            remedy=f"It has {size[0]} x {size[1]} level-0 pixels.",
            slide=book.slide.slide_id,
        )
