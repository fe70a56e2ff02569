"""Deep Zoom: the .dzi document and its tiles, from the slide itself or, where that is away, from its thumbnail."""

import asyncio
from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Path, Query, Request, Response

from slidelake.errors import UnknownNameError
from slidelake.services.api.auth import Reader
from slidelake.services.api.conditional import not_modified, tagged
from slidelake.services.api.context import Context, Picture, SharedContext
from slidelake.services.api.deep_zoom import DeepZoom
from slidelake.services.api.pixels import draw_thumbnail, draw_tile
from slidelake.services.api.sources import SourceBook

__all__ = ["deep_zoom_of", "painted", "router", "send_picture"]

router = APIRouter(tags=["pixels"])
T = TypeVar("T")

#: A browser may show a picture this long without asking; then it asks, and mostly gets a 304.
_KEEP = "private, max-age=300"
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
    "/api/slides/{slide_id}_files/{level}/{column}_{row}.jpeg",
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
    book = context.sources.peek(slide_id) or await painted(context, lambda: context.source(slide_id))
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
    book = context.sources.peek(slide_id) or await painted(context, lambda: context.source(slide_id))
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


async def send_picture(
    context: Context, request: Request, book: SourceBook, name: str, draw: Callable[[], Picture]
) -> Response:
    """A picture of a slide: as kept, or drawn by a thread and kept; a 304 where the caller has it.

    What had to come from the thumbnail although the file is there (a damaged region) is neither kept nor tagged: the
    file may be whole again a moment later.
    """
    etag = f"{book.version}-{name}"
    headers = {"cache-control": _KEEP, "x-slidelake-pixels": book.pixels}
    if (same := not_modified(request, etag, headers)) is not None:
        return same
    key = (book.slide.slide_id, etag)
    picture = context.pictures.get(key)
    if picture is None:
        picture = await painted(context, draw)
        if picture.pixels == book.pixels or name.startswith("w"):
            context.pictures.put(key, picture)
        else:
            away = {"cache-control": "no-store", "x-slidelake-pixels": picture.pixels}
            return Response(picture.data, media_type="image/jpeg", headers=away)
    headers["x-slidelake-pixels"] = picture.pixels
    return Response(picture.data, media_type="image/jpeg", headers=tagged(etag, headers))


async def painted(context: Context, make: Callable[[], T]) -> T:
    """What `make` gives, in one of the threads that draw."""
    return await asyncio.get_running_loop().run_in_executor(context.painters, make)
