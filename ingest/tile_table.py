"""Which tiles of a TIFF were never written: OpenSlide reads them as background, without an error.

Scanners leave out tiles of glass, so a missing tile is no fault by itself; a patch of tissue that lies mostly on
missing tiles is.
"""

from dataclasses import dataclass

import numpy as np
import tifffile
from numpy.typing import NDArray

__all__ = ["TileTable"]


@dataclass(frozen=True)
class _Level:
    tile_width: int
    tile_height: int
    #: (rows, columns) of tiles; True where a tile has no bytes.
    missing: NDArray[np.bool_]


class TileTable:
    """The missing tiles of each pyramid level, by the level's size in pixels; empty for what is no tiled TIFF."""

    def __init__(self) -> None:
        self._levels: dict[tuple[int, int], _Level] = {}

    def add(self, page: tifffile.TiffPage) -> None:
        """Take in one page of the file."""
        lengths = np.asarray(page.databytecounts, dtype=np.int64)
        if not page.is_tiled or not (lengths == 0).any():
            return
        columns = -(-page.imagewidth // page.tilewidth)
        rows = -(-page.imagelength // page.tilelength)
        if len(lengths) == rows * columns:
            missing = (lengths == 0).reshape(rows, columns)
            size = (int(page.imagewidth), int(page.imagelength))
            self._levels[size] = _Level(int(page.tilewidth), int(page.tilelength), missing)

    def missing_share(
        self, level_size: tuple[int, int], x: float, y: float, width: int, height: int
    ) -> float:
        """Share of a region (pixels of a level of this size) that lies on tiles without bytes."""
        level = self._levels.get(level_size)
        if level is None:
            return 0.0
        columns = _covered(x, width, level.tile_width, level.missing.shape[1])
        rows = _covered(y, height, level.tile_height, level.missing.shape[0])
        return float(rows @ level.missing @ columns) / (width * height)


def _covered(start: float, length: int, tile: int, count: int) -> NDArray[np.float64]:
    """(count,) how many pixels of [start, start + length) each tile holds."""
    edges = np.arange(count + 1, dtype=np.float64) * tile
    inside = np.minimum(edges[1:], start + length) - np.maximum(edges[:-1], start)
    return np.asarray(np.maximum(inside, 0.0))
