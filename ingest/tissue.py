"""Where the tissue is: a mask on the thumbnail by colour, with pen marks and background set apart.

Tissue under H&E is coloured (a spread between channels) and darker than the glass, whose own tint is taken out
first. The threshold on the spread is Otsu's, held between a floor (so that an empty slide has no tissue) and a
ceiling (so that a slide full of dark tissue keeps its pale parts). Fainter pixels, and areas that are uneven as
the membranes of fat are, count where they hang together with such tissue; so do small holes in it.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from slidelake.store import DEFAULT_TISSUE_RULE

__all__ = ["THUMBNAIL_MPP", "TISSUE_RULE", "TissueMask", "find_tissue", "share_in_cells"]

#: The rule's name and version: what new stores name as theirs, so that their grid ids need not.
TISSUE_RULE = DEFAULT_TISSUE_RULE
#: µm/px of the thumbnail that the mask is made on, and its longest side at most.
THUMBNAIL_MPP = 8.0
THUMBNAIL_LONGEST = 2048
#: Spread between the largest and smallest channel: glass has less than the floor, eosin more than the ceiling.
_FLOOR, _CEILING = 10, 32
#: The glass is at least this bright: below, what looks brightest is tissue.
_GLASS = 200
#: Tissue is at least this much darker than the glass in one channel.
_DARKER = 9
#: Glass is even; a lattice of thin membranes around white (fat) deviates by more than this (grey levels).
_LATTICE = 3.0
#: Specks smaller than this are dust, holes smaller than this belong to the tissue (µm²).
_SPECK_UM2, _HOLE_UM2 = 8_000.0, 60_000.0
#: Gaps up to this are closed (µm): vacuoles of fat, clefts in stroma.
_CLOSE_UM = 80.0


@dataclass(frozen=True)
class TissueMask:
    """(h, w) bool masks over the thumbnail; level-0 px per mask pixel in x and y."""

    tissue: NDArray[np.bool_]
    pen: NDArray[np.bool_]
    background: NDArray[np.bool_]
    scale: tuple[float, float]


def find_tissue(thumbnail: NDArray[np.uint8], *, mpp: float, slide_size: tuple[int, int]) -> TissueMask:
    """Masks of a (h, w, 3) RGB thumbnail at `mpp` µm per thumbnail pixel."""
    height, width = thumbnail.shape[:2]
    scale = (slide_size[0] / width, slide_size[1] / height)
    glass = np.maximum(np.percentile(thumbnail.reshape(-1, 3), 95, axis=0), _GLASS)
    plain = np.clip(thumbnail * (255 / glass), 0, 255).astype(np.int16)
    red, green = plain[..., 0], plain[..., 1]
    spread = plain.max(axis=2) - plain.min(axis=2)
    # Haematoxylin and eosin both take green away most; ink that is greener than red is no stain.
    pen = (green - red > 12) & (spread > 30)
    # Black ink and dust: dark without colour.
    pen |= (plain.max(axis=2) < 70) & (spread < 25)
    pen = _dilate(pen, 2)
    strong = min(max(_otsu(spread[~pen]), _FLOOR), _CEILING)
    weak = max(strong / 2, _FLOOR)
    darker = (255 - plain).max(axis=2) > _DARKER
    sure = (spread > strong) & darker & ~pen
    # An edge makes a band of five uneven pixels along it; a lattice is uneven over an area.
    uneven = (_local_deviation(plain[..., 1]) > _LATTICE) & ~_dilate(pen, 4)
    lattice = cv2.erode(cv2.morphologyEx(uneven.astype(np.uint8), cv2.MORPH_OPEN, _square(7)), _square(2)) > 0
    faint = ((spread > weak) & darker) | lattice
    stained = _touching(faint & ~pen | sure, sure)
    radius = max(1, round(_CLOSE_UM / mpp / 2))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    padded = cv2.copyMakeBorder(stained.astype(np.uint8), *(4 * (radius,)), cv2.BORDER_CONSTANT, value=0)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)[radius:-radius, radius:-radius] > 0
    pixel = mpp * mpp
    solid = ~_without_small_holes(~closed, _HOLE_UM2 / pixel)
    tissue = _small_parts_removed(solid, _SPECK_UM2 / pixel) & ~pen
    background = ~_dilate(stained, 1) & ~pen
    return TissueMask(tissue, pen, background, scale)


def share_in_cells(
    mask: NDArray[np.bool_],
    xs: NDArray[Any],
    ys: NDArray[Any],
    footprint: tuple[float, float],
    scale: tuple[float, float],
) -> NDArray[np.float64]:
    """(ny, nx) share of mask pixels that are set in each cell; xs, ys are left and top edges in level-0 px.

    A mask pixel belongs to the cell that holds its centre; a cell smaller than a mask pixel takes the nearest.
    """
    height, width = mask.shape
    sums = np.zeros((height + 1, width + 1), np.int64)
    sums[1:, 1:] = mask.cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    left, right = _pixel_range(xs, footprint[0], scale[0], width)
    top, bottom = _pixel_range(ys, footprint[1], scale[1], height)
    inside = (
        sums[np.ix_(bottom, right)]
        - sums[np.ix_(top, right)]
        - sums[np.ix_(bottom, left)]
        + sums[np.ix_(top, left)]
    )
    return np.asarray(inside / ((bottom - top)[:, None] * (right - left)[None, :]))


def _pixel_range(
    starts: NDArray[Any], length: float, scale: float, size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    first = np.clip(np.ceil(starts / scale - 0.5), 0, size - 1).astype(np.int64)
    last = np.clip(np.ceil((starts + length) / scale - 0.5), 0, size).astype(np.int64)
    return first, np.maximum(last, first + 1)


def _otsu(values: NDArray[Any]) -> float:
    """Otsu's threshold of values 0…255; above all of them where there are none."""
    if not values.size:
        return 255.0
    threshold, _ = cv2.threshold(np.clip(values, 0, 255).astype(np.uint8), 0, 255, cv2.THRESH_OTSU)
    return float(threshold)


def _local_deviation(channel: NDArray[Any]) -> NDArray[np.float32]:
    """Standard deviation of a (h, w) channel over squares of 5 pixels."""
    values = channel.astype(np.float32)
    mean = cv2.blur(values, (5, 5))
    return np.asarray(np.sqrt(np.maximum(cv2.blur(values * values, (5, 5)) - mean * mean, 0)))


def _touching(weak: NDArray[np.bool_], strong: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The connected parts of `weak` that hold a pixel of `strong`."""
    count, labels = cv2.connectedComponents(weak.astype(np.uint8), connectivity=8)
    keep = np.zeros(count, bool)
    keep[np.unique(labels[strong & weak])] = True
    keep[0] = False
    return np.asarray(keep[labels])


def _dilate(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    return np.asarray(cv2.dilate(mask.astype(np.uint8), _square(radius)) > 0)


def _square(radius: int) -> NDArray[np.uint8]:
    return np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)


def _without_small_holes(outside: NDArray[np.bool_], least: float) -> NDArray[np.bool_]:
    """What is not tissue, without its parts of fewer than `least` pixels that tissue encloses: the glass beyond
    the tissue reaches the picture's edge, however small it is."""
    large = _small_parts_removed(outside, least)
    _, labels = cv2.connectedComponents(outside.astype(np.uint8), connectivity=8)
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return large | (outside & np.isin(labels, np.unique(border)))


def _small_parts_removed(mask: NDArray[np.bool_], least: float) -> NDArray[np.bool_]:
    """The mask without its connected parts of fewer than `least` pixels."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= least
    keep[0] = False
    return np.asarray(keep[labels]) if count > 1 else np.zeros_like(mask)
