"""Pixels of a slide as pictures: from its file where that can be read, else from the stored thumbnail."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import SlideError, UnknownNameError
from slidelake.services.api.context import Context, Picture
from slidelake.services.api.deep_zoom import Box, Place, from_picture, from_slide, resized
from slidelake.services.api.jpeg import jpeg
from slidelake.services.api.sources import GridFacts, SourceBook

if TYPE_CHECKING:
    from slidelake.ingest import SlideReader

__all__ = ["draw_patch", "draw_thumbnail", "draw_tile"]

log = logging.getLogger(__name__)

#: Thumbnail pixels shown at least around a patch: fewer are a blot of colour.
_AROUND = 24


def draw_tile(context: Context, book: SourceBook, place: Place) -> Picture:
    """A Deep Zoom tile. Raises UnknownNameError where there is neither slide nor thumbnail."""
    read = _from_file(context, book, lambda reader: from_slide(reader, place.box, place.width, place.height))
    if read is not None:
        return Picture(jpeg(read), "slide")
    return _from_thumbnail(context, book, place.box, place.width, place.height)


def draw_patch(context: Context, book: SourceBook, grid: GridFacts, x: int, y: int, size: int) -> Picture:
    """The patch at level-0 (x, y) as (size, size), as its encoder saw it where the slide's file can be read.

    From a thumbnail it is what lies around it, at least 24 thumbnail pixels. The grid has to have a footprint.
    """
    read = _from_file(context, book, lambda reader: _patch(reader, grid, x, y))
    if read is not None:
        return Picture(jpeg(resized(read, size, size)), "slide")
    footprint = grid.pair("footprint_level0")
    assert footprint is not None
    width, height = footprint
    if book.slide.size is not None and (picture := context.thumbnail(book.slide)) is not None:
        least = _AROUND * book.slide.size[0] / picture.shape[1]
        half_x, half_y = max(width, least) / 2, max(height, least) / 2
        cx, cy = x + width / 2, y + height / 2
        box = (cx - half_x, cy - half_y, cx + half_x, cy + half_y)
        return _from_thumbnail(context, book, box, size, size)
    raise _nothing(book)


def draw_thumbnail(context: Context, book: SourceBook, longest: int) -> Picture:
    """The whole slide, no side longer than `longest`: the stored thumbnail, or, without one, from the slide."""
    picture = context.thumbnail(book.slide)
    if picture is not None:
        return Picture(jpeg(_fitted(picture, longest)), "thumbnail")
    read = _from_file(context, book, lambda reader: reader.thumbnail(longest))
    if read is None:
        raise _nothing(book)
    return Picture(jpeg(_fitted(read, longest)), "slide")


def _from_file(
    context: Context, book: SourceBook, read: "Callable[[SlideReader], NDArray[np.uint8]]"
) -> NDArray[np.uint8] | None:
    """What `read` makes of the open slide; None where its file cannot be read, here or at all."""
    if book.pixels != "slide":
        return None
    try:
        with context.pool.borrow(book.slide.uri, book.version) as reader:
            return read(reader)
    except (SlideError, OSError) as exc:
        # One bad file, or one bad region of it, costs itself only.
        log.info("pixels not read", extra={"slide_id": book.slide.slide_id, "why": str(exc)})
        return None


def _from_thumbnail(context: Context, book: SourceBook, box: Box, width: int, height: int) -> Picture:
    picture = context.thumbnail(book.slide)
    if picture is None or book.slide.size is None:
        raise _nothing(book)
    return Picture(jpeg(from_picture(picture, book.slide.size, box, width, height)), "thumbnail")


def _patch(reader: "SlideReader", grid: GridFacts, x: int, y: int) -> NDArray[np.uint8]:
    from slidelake.ingest import read_patch

    if {"level", "native", "spec", "footprint_level0"} <= grid.attributes.keys() and grid.patch_px:
        return read_patch(reader, grid.attributes, x, y)
    # Imported features do not say which level they were cut from: the one that is just fine enough.
    fx, fy = grid.pair("footprint_level0") or (256.0, 256.0)
    side = grid.patch_px or 256
    return from_slide(reader, (x, y, x + fx, y + fy), side, side)


def _fitted(picture: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    scale = min(1.0, longest / max(height, width))
    return resized(picture, max(1, round(width * scale)), max(1, round(height * scale)))


def _nothing(book: SourceBook) -> UnknownNameError:
    return UnknownNameError(
        book.note or "the slide's file cannot be read, and the lake has no thumbnail of it",
        remedy="Bring the slide's file back to where it was, or ingest the slide again.",
        slide=book.slide.slide_id,
    )
