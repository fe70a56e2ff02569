"""Deep Zoom: the .dzi document and its tiles, from the slide itself or, where that is away, from its thumbnail."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from slidelake.errors import UnknownNameError
from slidelake.services.api.auth import Reader
from slidelake.services.api.context import SharedContext
from slidelake.services.api.deep_zoom import DeepZoom
from slidelake.services.api.pixels import draw_thumbnail, draw_tile
from slidelake.services.api.send_picture import looked_up, send_picture
from slidelake.services.api.sources import SourceBook

__all__ = ["deep_zoom_of", "router"]

router = APIRouter(tags=["pixels"])

_JPEG = {"content": {"image/jpeg": {}}, "description": "A JPEG; X-Slidelake-Pixels says where it comes from."}


@router.get(
    "/api/slides/{slide_id}.dzi",
    response_class=Response,
    responses={200: {"content": {"application/xml": {}}, "description": "A Deep Zoom document."}},
)
def deep_zoom_document(slide_id: str, context: SharedContext, caller: Reader) -> Response:
    """The slide as Deep Zoom has it: its whole level-0 frame."""
    book = context.source(slide_id)
    headers = {"cache-control": "private, no-cache", "x-slidelake-pixels": book.pixels}
    return Response(deep_zoom_of(book).document(), media_type="application/xml", headers=headers)


@router.get(
    "/api/slides/{slide_id}_files/{level:int}/{column:int}_{row:int}.jpeg",
    response_class=Response,
    responses={200: _JPEG},
)
async def tile(
    slide_id: str,
    level: Annotated[int, Path(ge=0, le=64, description="0: one pixel; the last: level 0 of the slide.")],
    column: Annotated[int, Path(ge=0, le=2**31)],
    row: Annotated[int, Path(ge=0, le=2**31)],
    request: Request,
    context: SharedContext,
    caller: Reader,
) -> Response:
    """One Deep Zoom tile."""
    # A coroutine, so that a tile which is kept costs no thread.
    book = await looked_up(context, slide_id)
    place = deep_zoom_of(book).place(level, column, row)
    return await send_picture(
        context, request, book, f"{level}-{column}-{row}", lambda: draw_tile(context, book, place)
    )


@router.get("/api/slides/{slide_id}/thumbnail.jpeg", response_class=Response, responses={200: _JPEG})
async def thumbnail(
    slide_id: str,
    request: Request,
    context: SharedContext,
    caller: Reader,
    size: Annotated[int, Query(ge=16, le=2048, description="Pixels of the longer side at most.")] = 256,
) -> Response:
    """The whole slide as one small picture."""
    book = await looked_up(context, slide_id)
    return await send_picture(context, request, book, f"w{size}", lambda: draw_thumbnail(context, book, size))


def deep_zoom_of(book: SourceBook) -> DeepZoom:
    """The slide's pyramid. Raises UnknownNameError where there are no pixels to show."""
    if book.slide.size is None or book.pixels == "none":
        raise UnknownNameError(
            book.note or "nothing says how large the slide is",
            remedy="Bring the slide's file back to where it was, or ingest the slide again.",
            slide=book.slide.slide_id,
        )
    return DeepZoom(*book.slide.size)
