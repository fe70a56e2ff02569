"""The pixels of a patch: a level's own where it fits, else the exact area average of a finer one (FORMAT, Grids).

OpenCV's INTER_AREA takes whole source windows only and Pillow's BOX whole-pixel supports, so a footprint of
506.9 px would be off by up to 10 grey levels; here each source pixel counts by the share of it that is covered.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from slidelake.ingest.slide import SlideReader

__all__ = ["area_average", "read_patch"]


def read_patch(reader: "SlideReader", grid: Mapping[str, Any], x: int, y: int) -> NDArray[np.uint8]:
    """(px, px, 3) RGB of the patch at level-0 (x, y) of a grid with these attributes. Raises DamagedSlideError."""
    px = int(grid["spec"]["patch_px"])
    level = int(grid["level"])
    downsample = reader.level_downsamples[level]
    if grid["native"]:
        # The nearest whole pixel of the level. OpenSlide takes whole level-0 pixels only, and interpolates by what
        # is left: nothing where the downsample is a whole number, half a level-0 pixel at most elsewhere.
        left, top = (round(math.floor(place / downsample + 0.5) * downsample) for place in (x, y))
        return reader.read_region(left, top, level, px, px)
    fx, fy = (float(side) / downsample for side in grid["footprint_level0"])
    width, height = reader.level_dimensions[level]
    left, shift_x, columns = _window(x / downsample, fx, width)
    top, shift_y, rows = _window(y / downsample, fy, height)
    region = reader.read_region(round(left * downsample), round(top * downsample), level, columns, rows)
    return area_average(region, shift_x, shift_y, fx / px, fy / px, (px, px))


def _window(start: float, length: float, size: int) -> tuple[int, float, int]:
    """First whole pixel, offset of the start in it, and number of pixels that cover [start, start + length)."""
    first = math.floor(start)
    last = min(math.ceil(start + length - 1e-9), size)
    return first, start - first, max(1, last - first)


def area_average(
    source: NDArray[np.uint8],
    x0: float,
    y0: float,
    step_x: float,
    step_y: float,
    shape: tuple[int, int],
) -> NDArray[np.uint8]:
    """Average (h, w, 3) over cells of step_x × step_y source pixels from (x0, y0), into (rows, columns, 3).

    Exact to rounding (half a grey level). Cells reaching beyond the source average what is there.
    """
    rows, columns = shape
    result: NDArray[np.uint8] = _average(np.ascontiguousarray(source), x0, y0, step_x, step_y, rows, columns)
    return result


@numba.njit(nogil=True, cache=True)
def _taps(start: float, step: float, count: int, size: int) -> Any:
    longest = math.ceil(step) + 2
    first = np.empty(count, np.int64)
    number = np.empty(count, np.int64)
    weights = np.zeros((count, longest), np.float32)
    for i in range(count):
        low = min(max(start + i * step, 0.0), float(size))
        high = min(max(start + (i + 1) * step, 0.0), float(size))
        begin = min(math.floor(low), size - 1)
        end = max(begin + 1, min(math.ceil(high), size))
        first[i] = begin
        number[i] = min(end - begin, longest)
        total = 0.0
        for k in range(number[i]):
            covered = min(high, begin + k + 1.0) - max(low, float(begin + k))
            weights[i, k] = max(covered, 0.0)
            total += weights[i, k]
        for k in range(number[i]):
            weights[i, k] = weights[i, k] / total if total > 0 else 1.0 / number[i]
    return first, number, weights


@numba.njit(nogil=True, cache=True)
def _average(source: Any, x0: float, y0: float, step_x: float, step_y: float, rows: int, columns: int) -> Any:
    height, width = source.shape[:2]
    first_x, number_x, weights_x = _taps(x0, step_x, columns, width)
    first_y, number_y, weights_y = _taps(y0, step_y, rows, height)
    flat = source.reshape(height, width * 3)
    out = np.empty((rows, columns, 3), np.uint8)
    line = np.empty(width * 3, np.float32)
    for i in range(rows):
        weight = weights_y[i, 0]
        row = flat[first_y[i]]
        for j in range(width * 3):
            line[j] = weight * row[j]
        for k in range(1, number_y[i]):
            weight = weights_y[i, k]
            row = flat[first_y[i] + k]
            for j in range(width * 3):
                line[j] += weight * row[j]
        for j in range(columns):
            red = np.float32(0)
            green = np.float32(0)
            blue = np.float32(0)
            at = first_x[j] * 3
            for k in range(number_x[j]):
                weight = weights_x[j, k]
                red += weight * line[at]
                green += weight * line[at + 1]
                blue += weight * line[at + 2]
                at += 3
            out[i, j, 0] = np.uint8(red + np.float32(0.5))
            out[i, j, 1] = np.uint8(green + np.float32(0.5))
            out[i, j, 2] = np.uint8(blue + np.float32(0.5))
    return out
