"""Where there is tissue: a colour rule on the thumbnail, with pen marks and background told apart.

The rule is `default`, version 1. Its numbers are part of what a grid is: another rule, or other numbers, is
another version, and so another grid id.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slidelake.errors import FluorescenceError, NoTissueError
from slidelake.ingest.grid import DEFAULT_TISSUE_RULE, GridPlan

__all__ = ["TissueMask", "cell_shares", "check_brightfield", "find_tissue", "thumbnail_px"]

#: µm per pixel that the mask is made at, and the most pixels a side.
MASK_MPP, MASK_MAX_PX = 8.0, 2048
#: Colour beyond the background's (largest minus smallest channel, 0…255) that tissue has: Otsu's threshold
#: kept between these. Below 12 is the noise of JPEG and sensors, above 25 pale stroma would be lost.
_FLOOR, _CEILING = 12.0, 25.0
#: Specks of fewer mask pixels than this are dust.
_SPECK = 16


@dataclass(frozen=True)
class TissueMask:
    """(h, w) bool maps over the whole slide: tissue, pen marks, background (all else)."""

    tissue: NDArray[np.bool_]
    pen: NDArray[np.bool_]

    @property
    def background(self) -> NDArray[np.bool_]:
        return ~(self.tissue | self.pen)


def thumbnail_px(dimensions: tuple[int, int], mpp: float | None) -> int:
    """The longer side of the thumbnail that the mask is made on: 8 µm/px, at least 512 px where the slide has
    them and at most 2,048; without an mpp as for 0.5 µm/px."""
    longer = max(dimensions)
    wanted = round(longer * (mpp or 0.5) / MASK_MPP)
    return max(1, min(longer, MASK_MAX_PX, max(512, wanted)))


def check_brightfield(thumbnail: NDArray[np.uint8], *, slide: str) -> None:
    """Raises FluorescenceError for a slide that shines on black: no light passes through it."""
    dark = float((thumbnail.max(axis=2) < 40).mean())
    bright = float((thumbnail.min(axis=2) > 180).mean())
    if dark > 0.5 and bright < 0.01:
        raise FluorescenceError(
            f"{dark:.0%} of the slide is black and none of it bright: it looks like a fluorescence scan",
            remedy="Leave it out: the encoders here are made for brightfield slides in RGB.",
            slide=slide,
        )


def find_tissue(thumbnail: NDArray[np.uint8], *, rule: str = DEFAULT_TISSUE_RULE) -> TissueMask:
    """(h, w, 3) uint8 RGB → the maps, of the same size. Nothing of it is tissue where a slide is blank."""
    rgb = cv2.GaussianBlur(_balanced(thumbnail), (0, 0), 1.0).astype(np.int16)
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    chroma = rgb.max(axis=2) - rgb.min(axis=2)
    # Stains of histology absorb green at least as much as red: what is greener, or blue without red, is ink.
    ink = (chroma > 30) & (green > red + 12) & (green + 10 > blue)
    ink |= (chroma > 80) & (blue > green) & (green > red)
    ink |= (chroma > 170) & (red > 200) & (green < 60) & (blue < 60)
    ink |= (rgb.max(axis=2) < 70) & (chroma < 20)
    pen = _without_specks(ink, _SPECK)
    around = cv2.dilate(pen.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    threshold = np.clip(_otsu(chroma[~around]), _FLOOR, _CEILING)
    tissue = (chroma > threshold) & ~around
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    tissue = cv2.morphologyEx(tissue.astype(np.uint8), cv2.MORPH_CLOSE, kernel).astype(bool) & ~around
    tissue = _without_specks(tissue, _SPECK)
    tissue = ~_without_specks(~tissue, _SPECK) & ~around
    return TissueMask(tissue, around & ~tissue)


def cell_shares(mask: NDArray[np.bool_], coords: NDArray[np.int32], plan: GridPlan) -> NDArray[np.float64]:
    """(N,) share of the mask's pixels inside each cell that are set; a pixel is inside where its centre is.

    A cell smaller than a mask pixel takes the one that holds the cell's centre.
    """
    height, width = mask.shape
    total = np.zeros((height + 1, width + 1), np.int64)
    total[1:, 1:] = mask.cumsum(0, dtype=np.int64).cumsum(1)
    left, right = _span(coords[:, 0], plan.footprint[0], plan.slide_size[0], width)
    top, bottom = _span(coords[:, 1], plan.footprint[1], plan.slide_size[1], height)
    inside = total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]
    return np.asarray(inside / ((right - left) * (bottom - top)), np.float64)


def require_tissue(mask: TissueMask, kept: int, *, slide: str, min_tissue: float) -> None:
    """Raises NoTissueError where no cell was kept, saying which of the two it is."""
    if kept:
        return
    share = float(mask.tissue.mean())
    if share == 0:
        raise NoTissueError(
            "no tissue was found: the slide is blank, or paler than any stain",
            remedy="Look at its thumbnail; leave it out if it is blank.",
            slide=slide,
        )
    raise NoTissueError(
        f"{share:.2%} of the slide is tissue, but no cell of the grid holds {min_tissue:.0%} of it",
        remedy="Use smaller patches, or a grid with a smaller share, such as 256px@0.5mpp-min5.",
        slide=slide,
    )


def _span(
    start: NDArray[np.int32], side: float, size: int, pixels: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices [first, last) of the mask pixels whose centres lie in [start, start + side)."""
    scale = size / pixels
    first = np.ceil(start / scale - 0.5 - 1e-9).astype(np.int64)
    last = np.ceil((start + side) / scale - 0.5 - 1e-9).astype(np.int64)
    middle = np.minimum(((start + side / 2) / scale).astype(np.int64), pixels - 1)
    empty = last <= first
    return np.where(empty, middle, first), np.where(empty, middle + 1, np.minimum(last, pixels))


def _balanced(thumbnail: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The thumbnail with its background made white, so that a tinted lamp is not taken for stain."""
    luminance = thumbnail.mean(axis=2)
    bright = luminance >= max(170.0, float(np.percentile(luminance, 90)) - 10)
    if bright.mean() < 0.02:
        return thumbnail
    paper = np.median(thumbnail[bright], axis=0)
    # A slide that is all tissue has no background; its palest stain must not become white.
    if paper.max() - paper.min() > 20:
        return thumbnail
    return np.clip(thumbnail * (255.0 / np.maximum(paper, 1.0)), 0, 255).astype(np.uint8)


def _otsu(values: NDArray[np.int16]) -> float:
    if not values.size:
        return _CEILING
    threshold, _ = cv2.threshold(values.clip(0, 255).astype(np.uint8), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return float(threshold)


def _without_specks(mask: NDArray[np.bool_], smallest: int) -> NDArray[np.bool_]:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= smallest
    keep[0] = False
    return np.asarray(keep[labels] if count > 1 else np.zeros_like(mask))
