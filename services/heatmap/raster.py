"""Patch values as images of numbers: one pixel a patch, or the pixels of a thumbnail; overlaps are averaged."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slidelake.services.heatmap.values import PatchValues

__all__ = ["Raster", "coarse_raster", "thumbnail_raster"]


class Raster(NamedTuple):
    """`values` (h, w) float64, NaN where no patch is; pixel (row i, column j) starts at level-0
    (origin[0] + j · step[0], origin[1] + i · step[1])."""

    values: NDArray[np.float64]
    origin: tuple[float, float]
    step: tuple[float, float]


def coarse_raster(patches: PatchValues) -> Raster:
    """One pixel a step of the grid, over the whole slide; where patches overlap, the mean of those over it."""
    phases, firsts, lasts, counts = [], [], [], []
    for axis in (0, 1):
        starts, side, step = patches.coords[:, axis], patches.footprint[axis], patches.stride[axis]
        phase = _phase(starts, step)
        first = np.floor((starts - phase) / step + 0.5).astype(np.int64)
        # A patch covers as many steps as it is long, one at least; a part of a step counts from its half on.
        span = max(1, int(np.floor(side / step + 0.5)))
        phases.append(phase)
        firsts.append(first)
        lasts.append(first + span)
        whole = int(np.ceil((patches.size[axis] - phase) / step - 1e-6))
        counts.append(max(whole, int((first + span).max(initial=1))))
    shown = patches.shown
    boxes = [each[shown] for each in (firsts[0], firsts[1], lasts[0], lasts[1])]
    values = _mean_of_boxes(boxes, patches.values[shown], (counts[1], counts[0]))
    return Raster(values, (phases[0], phases[1]), patches.stride)


def thumbnail_raster(patches: PatchValues, width: int, height: int) -> NDArray[np.float64]:
    """(height, width) over the whole slide: each pixel the mean of the patches that its centre lies in, NaN outside."""
    shown = patches.shown
    edges = []
    for axis, pixels in ((0, width), (1, height)):
        scale = pixels / patches.size[axis]
        starts = patches.coords[shown, axis].astype(np.float64)
        for ends in (starts, starts + patches.footprint[axis]):
            # The first pixel whose centre lies at or beyond it.
            edges.append(np.clip(np.ceil(ends * scale - 0.5 - 1e-9), 0, pixels).astype(np.int64))
    left, right, top, bottom = edges
    return _mean_of_boxes([left, top, right, bottom], patches.values[shown], (height, width))


def _phase(starts: NDArray[np.int32], step: float) -> float:
    """Where the lattice begins: 0 for our own grids, whose corners are rounded to whole pixels."""
    if not len(starts):
        return 0.0
    first = float(starts.min())
    phase = first - step * np.floor(first / step + 0.5)
    return 0.0 if abs(phase) <= 1.0 else float(phase)


def _mean_of_boxes(
    boxes: list[NDArray[np.int64]], values: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """(h, w) mean of the values whose box [left, right) × [top, bottom) holds the pixel; NaN where none does."""
    left, top, right, bottom = boxes
    height, width = shape
    if len(values) and (right - left == 1).all() and (bottom - top == 1).all():
        place = top * width + left
        total = np.bincount(place, values, minlength=height * width).reshape(shape)
        number = np.bincount(place, minlength=height * width).reshape(shape)
    else:
        # Each box adds its value at its first corner and takes it away past its last; running sums fill it.
        # Whole numbers of 2⁻⁴⁰ of the range, so that what was added is gone exactly, however many boxes there are.
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
        unit = (high - low) / (1 << 40) or 1.0
        whole = np.round((values - low) / unit).astype(np.int64)
        number = _filled(left, top, right, bottom, np.ones(len(values), np.int64), shape)
        total = _filled(left, top, right, bottom, whole, shape) * unit + low * number
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: NDArray[np.float64] = np.where(number > 0, total / number, np.nan)
    return mean


def _filled(
    left: NDArray[np.int64],
    top: NDArray[np.int64],
    right: NDArray[np.int64],
    bottom: NDArray[np.int64],
    amount: NDArray[np.int64],
    shape: tuple[int, int],
) -> NDArray[np.int64]:
    """(h, w) sums of the amounts of the boxes over each pixel."""
    corners = np.zeros((shape[0] + 1, shape[1] + 1), np.int64)
    for rows, columns, sign in ((top, left, 1), (top, right, -1), (bottom, left, -1), (bottom, right, 1)):
        np.add.at(corners, (rows, columns), sign * amount)
    filled: NDArray[np.int64] = corners.cumsum(0).cumsum(1)[:-1, :-1]
    return filled
