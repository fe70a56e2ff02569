"""Pictures to callers: from what is kept, or drawn by a thread; a 304 where the caller has it already."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from fastapi import Request, Response

from slidelake.services.api.conditional import not_modified, tagged
from slidelake.services.api.context import Context, Picture
from slidelake.services.api.sources import SourceBook

__all__ = ["looked_up", "send_picture"]

T = TypeVar("T")

#: A browser may show a picture this long without asking; then it asks, and mostly gets a 304.
_KEEP = "private, max-age=60"


async def looked_up(context: Context, slide_id: str) -> SourceBook:
    """What is known of a slide, without a thread where that was looked up a moment ago. Raises UnknownSlideError."""
    book = context.sources.peek(slide_id)
    return book if book is not None else await _painted(context, lambda: context.source(slide_id))


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
        picture = await _painted(context, draw)
        if picture.pixels == book.pixels or name.startswith("w"):
            context.pictures.put(key, picture)
        else:
            context.metrics.pictures.labels(picture.pixels).inc()
            away = {"cache-control": "no-store", "x-slidelake-pixels": picture.pixels}
            return Response(picture.data, media_type="image/jpeg", headers=away)
    context.metrics.pictures.labels(picture.pixels).inc()
    headers["x-slidelake-pixels"] = picture.pixels
    return Response(picture.data, media_type="image/jpeg", headers=tagged(etag, headers))


async def _painted(context: Context, make: Callable[[], T]) -> T:
    """What `make` gives, in one of the threads that draw."""
    return await asyncio.get_running_loop().run_in_executor(context.painters, make)
