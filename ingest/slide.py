"""What a slide reader is, and what can be said of any slide through one.

Coordinates are level-0 pixels of OpenSlide's frame: x to the right, y down, (0, 0) at the top left, bounds
offsets kept.
"""

import math
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from slidelake.ingest.resample import box_average

__all__ = ["SlideReader", "render_thumbnail"]

#: Pixels that one read of the thumbnail may ask for: 16 Mi pixels are 64 MiB as RGBA.
_READ_PIXELS = 1 << 24


@runtime_checkable
class SlideReader(Protocol):
    """One open slide. Reads may come from several threads at once."""

    uri: str
    name: str
    version: str
    dimensions: tuple[int, int]
    level_dimensions: tuple[tuple[int, int], ...]
    level_downsamples: tuple[float, ...]
    properties: Mapping[str, str]

    def read_region(self, x: int, y: int, level: int, width: int, height: int) -> NDArray[np.uint8]:
        """(height, width, 3) uint8 RGB of a level, from level-0 position (x, y); white where there is nothing.

        Raises DamagedSlideError where pixels are stored but cannot be decoded.
        """
        ...

    def fault(self, x: int, y: int, level: int, width: int, height: int) -> str:
        """What is known to be wrong with a region without decoding it ("" where nothing is).

        Some damage reads without an error, as plain white: tiles beyond the end of a file that was cut
        off, tiles that were never written.
        """
        ...

    def thumbnail(self, max_px: int) -> NDArray[np.uint8]:
        """(h, w, 3) uint8 RGB of the whole slide, the longer side at most `max_px`."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def render_thumbnail(reader: SlideReader, max_px: int) -> NDArray[np.uint8]:
    """The whole slide as (h, w, 3) uint8, area-averaged from the coarsest level that is not coarser.

    Strips bound the memory: a slide of a single level is never held whole.
    """
    width, height = reader.dimensions
    scale = max(1.0, max(width, height) / max_px)
    out_width, out_height = max(1, round(width / scale)), max(1, round(height / scale))
    fitting = [level for level, down in enumerate(reader.level_downsamples) if down <= scale * (1 + 1e-9)]
    level = max(fitting, key=lambda each: reader.level_downsamples[each], default=0)
    level_width, level_height = reader.level_dimensions[level]
    down_x, down_y = level_width / out_width, level_height / out_height
    rows_at_once = max(1, int(_READ_PIXELS / (level_width * max(1.0, down_y))))
    strips = []
    for top in range(0, out_height, rows_at_once):
        bottom = min(out_height, top + rows_at_once)
        first = math.floor(top * down_y + 1e-6)
        last = min(level_height, math.ceil(bottom * down_y - 1e-6))
        pixels = reader.read_region(
            0, round(first * reader.level_downsamples[level]), level, level_width, max(1, last - first)
        )
        strips.append(
            box_average(
                pixels,
                out_width,
                bottom - top,
                step_x=down_x,
                step_y=down_y,
                start_y=top * down_y - first,
            )
        )
    return np.concatenate(strips)
