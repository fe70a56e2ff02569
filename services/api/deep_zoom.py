"""Deep Zoom's arithmetic (as OpenSlide has it, with the whole level-0 frame), and the pixels of a region.

Level `max_level` is level 0 of the slide; each level below halves both sides, rounding up, down to one pixel. A tile
is 254 px and shares one pixel with each neighbour, so that a viewer may interpolate without seams.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from slidelake.errors import DamagedSlideError, UnknownNameError

if TYPE_CHECKING:
    from slidelake.ingest import SlideReader

__all__ = ["OVERLAP", "TILE_SIZE", "Box", "DeepZoom", "Place", "from_picture", "from_slide"]

#: Left, top, right, bottom in level-0 pixels.
Box = tuple[float, float, float, float]

TILE_SIZE = 254
OVERLAP = 1
#: Pixels of a slide's level that one region may read: a slide without coarse levels would be read as a whole.
_MOST_PIXELS = 16_000_000


@dataclass(frozen=True)
class Place:
    """One tile: its rectangle in pixels of its Deep Zoom level, and how many level-0 pixels one of those spans."""

    left: int
    top: int
    width: int
    height: int
    scale: int

    @property
    def box(self) -> Box:
        """The rectangle in level-0 pixels; the last ones may lie up to `scale` beyond the slide."""
        left, top = self.left * self.scale, self.top * self.scale
        return left, top, left + self.width * self.scale, top + self.height * self.scale


@dataclass(frozen=True)
class DeepZoom:
    """The pyramid over a slide of (width, height) level-0 pixels."""

    width: int
    height: int

    @property
    def max_level(self) -> int:
        """The number of the finest level."""
        return max(0, math.ceil(math.log2(max(self.width, self.height, 1))))

    def place(self, level: int, column: int, row: int) -> Place:
        """Where a tile lies. Raises UnknownNameError for one that there is not."""
        if not 0 <= level <= self.max_level:
            raise UnknownNameError(
                f"there is no level {_short(level)}", remedy=f"Levels are 0 to {self.max_level}."
            )
        scale = 2 ** (self.max_level - level)
        width, height = -(-self.width // scale), -(-self.height // scale)
        columns, rows = -(-width // TILE_SIZE), -(-height // TILE_SIZE)
        if not (0 <= column < columns and 0 <= row < rows):
            raise UnknownNameError(
                f"level {level} has no tile {_short(column)}_{_short(row)}",
                remedy=f"It has {columns} columns and {rows} rows.",
            )
        left, top = max(0, column * TILE_SIZE - OVERLAP), max(0, row * TILE_SIZE - OVERLAP)
        right = min(width, (column + 1) * TILE_SIZE + OVERLAP)
        bottom = min(height, (row + 1) * TILE_SIZE + OVERLAP)
        return Place(left, top, right - left, bottom - top, scale)

    def document(self) -> str:
        """The .dzi document."""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" '
            f'Format="jpeg" Overlap="{OVERLAP}" TileSize="{TILE_SIZE}">'
            f'<Size Width="{self.width}" Height="{self.height}"/></Image>\n'
        )


def from_slide(reader: "SlideReader", box: Box, width: int, height: int) -> NDArray[np.uint8]:
    """(height, width, 3) RGB of a box from the level that is just fine enough.

    Raises DamagedSlideError where it cannot be decoded, or where so much would have to be read that only the
    thumbnail can answer.
    """
    level = _level_for(reader.level_downsamples, (box[2] - box[0]) / width)
    downsample = reader.level_downsamples[level]
    level_width, level_height = reader.level_dimensions[level]
    left, columns = _window(box[0] / downsample, box[2] / downsample, level_width)
    top, rows = _window(box[1] / downsample, box[3] / downsample, level_height)
    if columns * rows > _MOST_PIXELS:
        raise DamagedSlideError(
            f"{columns} x {rows} px would be read for {width} x {height} px",
            remedy="Give the slide coarser levels.",
            slide=reader.uri,
        )
    pixels = reader.read_region(round(left * downsample), round(top * downsample), level, columns, rows)
    return resized(pixels, width, height)


def from_picture(
    picture: NDArray[np.uint8], size: tuple[int, int], box: Box, width: int, height: int
) -> NDArray[np.uint8]:
    """(height, width, 3) of a box from a picture of a whole slide of `size`; beyond the slide it is white.

    Enlarged it is smooth, made smaller it is the area's average.
    """
    sx, sy = picture.shape[1] / size[0], picture.shape[0] / size[1]
    left, top, right, bottom = box[0] * sx, box[1] * sy, box[2] * sx, box[3] * sy
    step_x, step_y = (right - left) / width, (bottom - top) / height
    within = left >= 0 and top >= 0 and left < picture.shape[1] and top < picture.shape[0]
    if (
        within
        and step_x >= 1
        and step_y >= 1
        and box[2] < size[0] + step_x / sx
        and box[3] < size[1] + step_y / sy
    ):
        x, columns = _window(left, right, picture.shape[1])
        y, rows = _window(top, bottom, picture.shape[0])
        return resized(picture[y : y + rows, x : x + columns], width, height)
    # Centres of pixels: place in the picture = left + (place in the result + ½)·step − ½.
    matrix = np.array([[step_x, 0, left + step_x / 2 - 0.5], [0, step_y, top + step_y / 2 - 0.5]])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    drawn = np.asarray(
        cv2.warpAffine(picture, matrix, (width, height), flags=how, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )
    xs = left + (np.arange(width) + 0.5) * step_x
    ys = top + (np.arange(height) + 0.5) * step_y
    drawn[:, (xs < 0) | (xs >= picture.shape[1] + step_x)] = 255
    drawn[(ys < 0) | (ys >= picture.shape[0] + step_y)] = 255
    return drawn


def resized(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """(height, width, 3): averaged where that is smaller, smooth where it is larger."""
    if pixels.shape[:2] == (height, width):
        return pixels
    smaller = pixels.shape[1] >= width and pixels.shape[0] >= height
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=how), np.uint8)


def _level_for(downsamples: tuple[float, ...], scale: float) -> int:
    """The coarsest level that is not coarser than asked for; a hundredth may be lacking where sides were rounded."""
    fitting = [level for level, each in enumerate(downsamples) if each <= scale * 1.01]
    return max(fitting, key=lambda level: downsamples[level], default=0)


def _window(start: float, end: float, size: int) -> tuple[int, int]:
    """First pixel and number of those that cover [start, end) as far as there are any; one at least."""
    first = min(max(0, math.floor(start + 1e-6)), size - 1)
    return first, max(1, min(size, math.ceil(end - 1e-6)) - first)


def _short(number: int) -> str:
    return str(number) if abs(number) < 10**9 else "of that number"
