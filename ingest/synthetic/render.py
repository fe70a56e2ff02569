"""Blocks of a slide: painted, focused, developed, averaged down, and compressed; each on its own.

A block holds the whole tiles of every level that lie in it, so a slide of any size is made in a few blocks'
memory. Neighbouring blocks overlap by the blur's reach only in what they compute, not in what they return.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import MissingDependencyError
from slidelake.ingest.synthetic.ground import paint_ground
from slidelake.ingest.synthetic.layout import MAP_PX, SlidePlan
from slidelake.ingest.synthetic.nuclei import paint_nuclei
from slidelake.ingest.synthetic.optics import HALO, develop, focus

try:
    import imagecodecs
except ImportError as exc:  # an extra: only who makes slides needs an encoder
    raise MissingDependencyError(
        "imagecodecs, which compresses synthetic slides, is not installed",
        remedy="Install it with `pip install 'slidelake[synth]'`.",
    ) from exc

__all__ = ["BLOCK", "QUALITY", "TILE", "Block", "encode_tile", "render_block", "render_pixels", "shrink"]

TILE = 256
#: Level-0 pixels of a block's side: one tile of level 1 (a quarter of the size).
BLOCK = 4 * TILE
QUALITY = 87

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Block:
    """What one block adds to the slide: JPEG tiles and small pixels for the coarse levels."""

    tiles: list[list[bytes]]  # level 0, rows of tiles
    quarter_tile: bytes  # level 1, padded
    sixteenth: Pixels  # level 2
    thumbnail: Pixels


def shrink(pixels: Pixels, factor: int) -> Pixels:
    """Average factor × factor pixels (a power of two); what does not fill a whole pixel is left off."""
    rows, columns = pixels.shape[0] // factor, pixels.shape[1] // factor
    whole = pixels[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor, 3)
    total = whole.sum(axis=(1, 3), dtype=np.uint32)
    area = factor * factor
    out: Pixels = ((total + area // 2) // area).astype(np.uint8)
    return out


def encode_tile(pixels: Pixels) -> bytes:
    """JPEG of one tile, its missing right and lower part filled with the last column and row."""
    short = (TILE - pixels.shape[0], TILE - pixels.shape[1])
    if any(short):
        pixels = np.pad(pixels, ((0, short[0]), (0, short[1]), (0, 0)), mode="edge")
    encoded = imagecodecs.jpeg8_encode(
        np.ascontiguousarray(pixels),
        level=QUALITY,
        colorspace="RGB",
        outcolorspace="YCBCR",
        subsampling="422",
    )
    return bytes(encoded)


def render_pixels(plan: SlidePlan, x0: int, y0: int, width: int, height: int) -> Pixels:
    """Level-0 pixels (height, width, 3) of any part of the slide, before compression."""
    haematoxylin = np.empty((height + 2 * HALO, width + 2 * HALO), np.float32)
    eosin = np.empty_like(haematoxylin)
    left, top = x0 - HALO, y0 - HALO
    paint_ground(left, top, plan.regions, float(MAP_PX), plan.params, plan.table, haematoxylin, eosin)
    paint_nuclei(
        left, top, plan.regions, float(MAP_PX), plan.params, plan.boxes, plan.table, haematoxylin, eosin
    )
    haematoxylin = focus(haematoxylin, plan.optics, plan.table, x0, y0)
    eosin = focus(eosin, plan.optics, plan.table, x0, y0)
    return develop(haematoxylin, eosin, plan.optics, plan.table, x0, y0)


def render_block(plan: SlidePlan, column: int, row: int, thumbnail_factor: int) -> Block:
    """Render block (column, row) of the slide; `thumbnail_factor` a power of two from 4 to BLOCK."""
    x0, y0 = column * BLOCK, row * BLOCK
    width, height = min(BLOCK, plan.width - x0), min(BLOCK, plan.height - y0)
    pixels = render_pixels(plan, x0, y0, width, height)
    tiles = [
        [encode_tile(pixels[y : y + TILE, x : x + TILE]) for x in range(0, width, TILE)]
        for y in range(0, height, TILE)
    ]
    quarter = shrink(pixels, 4)
    return Block(
        tiles=tiles,
        quarter_tile=encode_tile(quarter) if quarter.size else b"",
        sixteenth=shrink(quarter, 4),
        thumbnail=shrink(quarter, thumbnail_factor // 4),
    )
