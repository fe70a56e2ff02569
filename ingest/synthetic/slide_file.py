"""Slides as Aperio writes them: a pyramidal, tiled, JPEG-compressed TIFF that OpenSlide opens.

Pages: level 0 (tiled), thumbnail (one strip, which is how OpenSlide's aperio driver tells it from a level),
then the levels at 1/4 and 1/16 (tiled). https://openslide.org/formats/aperio/
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from slidelake.ingest.synthetic.layout import SlidePlan
from slidelake.ingest.synthetic.render import BLOCK, QUALITY, TILE, Block, encode_tile, render_block

__all__ = ["MPP", "write_slide"]

#: µm per pixel of level 0: what Aperio's scanners record at 20×, and within 2 % of half a µm.
MPP = "0.4990"

_LIBRARY = "Aperio Image Library v11.2.1 \r\n"


def _describe(plan: SlidePlan, what: str) -> str:
    facts = f"AppMag = 20|MPP = {MPP}|ScanScope ID = SYNTHETIC|Filename = {plan.slide_id}|Title = synthetic"
    return f"{_LIBRARY}{what}|{facts}"


def _blocks(
    plan: SlidePlan, pool: Executor, ahead: int, thumbnail_factor: int
) -> Iterator[tuple[int, int, Block]]:
    """Blocks in row order, `ahead` of them in the making: memory stays bounded whatever the slide's size."""
    columns, rows = -(-plan.width // BLOCK), -(-plan.height // BLOCK)
    waiting: deque[tuple[int, int, Future[Block]]] = deque()
    places = ((column, row) for row in range(rows) for column in range(columns))
    try:
        for column, row in places:
            waiting.append((column, row, pool.submit(render_block, plan, column, row, thumbnail_factor)))
            if len(waiting) > ahead:
                column, row, made = waiting.popleft()
                yield column, row, made.result()
        while waiting:
            column, row, made = waiting.popleft()
            yield column, row, made.result()
    finally:
        for _, _, made in waiting:
            made.cancel()


class _Coarse:
    """What the coarse levels gather while level 0 is written."""

    def __init__(self, plan: SlidePlan, thumbnail_factor: int) -> None:
        self.factor = thumbnail_factor
        self.quarter: list[bytes] = []
        self.sixteenth = np.empty((plan.height // 16, plan.width // 16, 3), np.uint8)
        self.thumbnail = np.empty(
            (plan.height // thumbnail_factor, plan.width // thumbnail_factor, 3), np.uint8
        )

    def add(self, column: int, row: int, block: Block) -> None:
        if block.quarter_tile:
            self.quarter.append(block.quarter_tile)
        for target, pixels, factor in (
            (self.sixteenth, block.sixteenth, 16),
            (self.thumbnail, block.thumbnail, self.factor),
        ):
            y, x = row * BLOCK // factor, column * BLOCK // factor
            target[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels


def _level_0(blocks: Iterator[tuple[int, int, Block]], columns: int, coarse: _Coarse) -> Iterator[bytes]:
    """Encoded tiles in TIFF's order: a row of blocks is held until it is complete."""
    row_of_blocks: list[Block] = []
    for column, row, block in blocks:
        coarse.add(column, row, block)
        row_of_blocks.append(block)
        if len(row_of_blocks) == columns:
            for line in range(len(block.tiles)):
                for ready in row_of_blocks:
                    yield from ready.tiles[line]
            row_of_blocks.clear()


def _tiles(pixels: NDArray[np.uint8]) -> Iterator[bytes]:
    for y in range(0, pixels.shape[0], TILE):
        for x in range(0, pixels.shape[1], TILE):
            yield encode_tile(pixels[y : y + TILE, x : x + TILE])


def write_slide(path: Path, plan: SlidePlan, pool: Executor, *, ahead: int) -> None:
    """Render the plan and write it to `path`, which appears only when it is whole."""
    width, height = plan.width, plan.height
    factor = 4
    while max(width, height) // factor > 1024:
        factor *= 2
    coarse = _Coarse(plan, factor)
    blocks = _blocks(plan, pool, ahead, factor)
    whole = f"{width}x{height} [0,0 {width}x{height}] ({TILE}x{TILE})"
    part = path.with_name(path.name + ".part")

    def level(data: Iterator[bytes], w: int, h: int, what: str, sub: int) -> None:
        tif.write(
            data, shape=(h, w, 3), dtype=np.uint8, tile=(TILE, TILE), photometric="ycbcr", subsampling=(2, 1),
            compression="jpeg", subfiletype=sub, description=_describe(plan, what), metadata=None,
            software=False,
        )  # fmt: skip

    # JPEG takes about a fifth of a byte per pixel of this tissue; classic TIFF ends at 4 GiB.
    with tifffile.TiffWriter(part, bigtiff=width * height > 2**32) as tif:
        tiles = _level_0(blocks, -(-width // BLOCK), coarse)
        level(tiles, width, height, f"{whole} JPEG/YCC Q={QUALITY}", 0)
        h, w = coarse.thumbnail.shape[:2]
        tif.write(
            coarse.thumbnail, photometric="rgb", compression="jpeg", compressionargs={"level": QUALITY},
            rowsperstrip=h, description=_describe(plan, f"{width}x{height} -> {w}x{h} - "), metadata=None,
            software=False,
        )  # fmt: skip
        for factor_, encoded in ((4, iter(coarse.quarter)), (16, _tiles(coarse.sixteenth))):
            w, h = width // factor_, height // factor_
            level(encoded, w, h, f"{whole} -> {w}x{h} JPEG/YCC Q={QUALITY}", 1)
    part.replace(path)
