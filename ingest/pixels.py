"""A patch's pixels, exactly as FORMAT.md says: a level's own pixels, or their area average."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import DamagedSlideError
from slidelake.ingest.resample import box_average
from slidelake.ingest.slide import SlideReader

__all__ = ["PatchSource", "read_patch"]


class PatchSource:
    """Reads the patches of one grid from one slide; safe from several threads."""

    def __init__(self, reader: SlideReader, attributes: Mapping[str, Any]) -> None:
        self._reader = reader
        self.px = int(attributes["spec"]["patch_px"])
        self._level = int(attributes["level"])
        self._native = bool(attributes["native"])
        down = float(attributes["level_downsample"])
        side_x, side_y = (float(each) / down for each in attributes["footprint_level0"])
        if self._native:
            self._width = self._height = self.px
        else:
            self._width, self._height = (math.ceil(side - 1e-6) for side in (side_x, side_y))
        self._step_x, self._step_y = side_x / self.px, side_y / self.px

    def read(self, x: int, y: int) -> NDArray[np.uint8]:
        """(px, px, 3) uint8 RGB of the cell at level-0 (x, y); raises DamagedSlideError."""
        fault = self._reader.fault(x, y, self._level, self._width, self._height)
        if fault:
            raise DamagedSlideError(
                f"the patch at ({x}, {y}) cannot be read: {fault}",
                remedy="Copy the file again from where it came from, and compare the sizes.",
                slide=self._reader.uri,
            )
        pixels = self._reader.read_region(x, y, self._level, self._width, self._height)
        if self._native:
            return pixels
        return box_average(pixels, self.px, self.px, step_x=self._step_x, step_y=self._step_y)


def read_patch(
    reader: SlideReader, grid_attributes: Mapping[str, Any], x: int, y: int
) -> NDArray[np.uint8]:
    """(px, px, 3) uint8 RGB: the patch of a stored grid at level-0 (x, y), as ingest saw it.

    Raises DamagedSlideError where its pixels cannot be read.
    """
    return PatchSource(reader, grid_attributes).read(x, y)
