"""From a box or a polygon on a slide to its patches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slidelake.errors import QueryError

if TYPE_CHECKING:
    from slidelake.store import FeatureStore

__all__ = ["MOST_POINTS", "Region", "as_polygon", "patches_in", "spread"]

#: Corners of a polygon at most: a hand draws hundreds.
MOST_POINTS = 10_000

Box = Sequence[float]
Points = Sequence[Sequence[float]] | np.ndarray


@dataclass(frozen=True)
class Region:
    """A region's patches that have features: rows (n,) of the bag, in the grid's order, and corners (n, 2)."""

    slide_id: str
    rows: np.ndarray
    coords: np.ndarray
    polygon: np.ndarray


def as_polygon(box: Box | None, polygon: Points | None, *, slide: str = "") -> np.ndarray:
    """(n, 2) float64 corners, level-0 px, of a box (x, y, width, height) or of a polygon; QueryError for neither."""
    if (box is None) == (polygon is None):
        raise QueryError("a region is a box or a polygon", remedy="Give one of the two.", slide=slide)
    try:
        given = np.asarray(box if box is not None else polygon, np.float64)
    except (TypeError, ValueError) as exc:
        raise QueryError(
            "the region is not made of numbers", remedy="Give level-0 pixels.", slide=slide
        ) from exc
    if not np.isfinite(given).all():
        raise QueryError("the region holds NaN or inf", remedy="Give level-0 pixels.", slide=slide)
    if box is not None:
        if given.shape != (4,) or given[2] <= 0 or given[3] <= 0:
            raise QueryError(
                "a box is x, y, width, height, with a width and a height above 0",
                remedy="Give four numbers in level-0 pixels.",
                slide=slide,
            )
        x, y, width, height = given
        return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])
    if given.ndim != 2 or given.shape[1:] != (2,) or not 3 <= len(given) <= MOST_POINTS:
        raise QueryError(
            f"a polygon has 3 to {MOST_POINTS:,} corners of two numbers each",
            remedy="Give [[x, y], …] in level-0 pixels.",
            slide=slide,
        )
    return given


def patches_in(store: FeatureStore, slide_id: str, space: str, polygon: np.ndarray) -> Region:
    """The patches whose centres lie in the polygon (n, 2); where none does, those that hold one of its corners.

    A polygon that crosses itself is filled by the even-odd rule. Patches whose pixels could not be read are left
    out. QueryError names the nearest patch where no patch is in the region.
    """
    bag = store.bag(slide_id, space)
    width, height = store.grid(slide_id, space.partition("/")[0]).attributes["footprint_level0"]
    coords = np.asarray(bag.coords, np.float64)
    valid = np.asarray(bag.valid).astype(bool)
    if not len(coords):
        raise QueryError("the slide has no patches", remedy="Search from another slide.", slide=slide_id)
    centres = coords + np.array([width / 2, height / 2])
    rows = np.flatnonzero(_inside(centres, polygon))
    if not len(rows):  # drawn within one patch, or along several
        rows = _holding(coords, (width, height), polygon)
    if not len(rows):
        middle = polygon.mean(axis=0)
        near = centres[np.argmin(np.hypot(*(centres - middle).T))]
        raise QueryError(
            "no patch lies in the region: it is off the tissue, or off the slide",
            remedy=f"The nearest patch holds level-0 pixel ({int(near[0])}, {int(near[1])}).",
            slide=slide_id,
        )
    readable = rows[valid[rows]]
    if not len(readable):
        raise QueryError(
            "the pixels of the region's patches could not be read when the slide went in",
            remedy="Search from another region.",
            slide=slide_id,
        )
    return Region(bag.slide_id, readable, np.asarray(bag.coords)[readable], polygon)


def spread(region: Region, most: int) -> np.ndarray:
    """At most `most` of the region's places (n,), spread evenly over it: every tissue keeps about its share.

    Systematic sampling along a curve (Morton's) that keeps neighbours together; the same ones each time.
    """
    count = len(region.rows)
    if count <= most:
        return np.arange(count)
    cells = region.coords.astype(np.int64) - region.coords.min(axis=0)
    steps = np.maximum(1, [_step(cells[:, axis]) for axis in (0, 1)])
    along = np.argsort(_interleaved(cells // steps), kind="stable")
    return np.sort(along[((np.arange(most) + 0.5) * count / most).astype(np.int64)])


def _inside(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """(n,) bool by the even-odd rule: a ray to the right crosses the outline an odd number of times."""
    low, high = polygon.min(axis=0), polygon.max(axis=0)
    near = np.flatnonzero(((points >= low) & (points <= high)).all(axis=1))
    near = near[np.argsort(points[near, 1], kind="stable")]
    x, y = points[near].T
    odd = np.zeros(len(near), bool)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        # Only points at the edge's height are looked at; one at the very end of two edges counts for one of them.
        first, last = np.searchsorted(y, (min(y0, y1), max(y0, y1)))
        beside = slice(first, last)
        if y0 != y1:
            odd[beside] ^= x[beside] < x0 + (y[beside] - y0) * ((x1 - x0) / (y1 - y0))
    inside = np.zeros(len(points), bool)
    inside[near[odd]] = True
    return inside


def _holding(coords: np.ndarray, footprint: tuple[float, float], points: np.ndarray) -> np.ndarray:
    """Rows of the patches that hold one of these points; of very many points some hundreds are looked at."""
    points = points[:: -(-len(points) // 512)]
    held = np.zeros(len(coords), bool)
    low, high = points.min(axis=0) - footprint, points.max(axis=0)
    near = np.flatnonzero(((coords >= low) & (coords <= high)).all(axis=1))
    for point in points:
        offset = point - coords[near]
        held[near] |= ((offset >= 0) & (offset < footprint)).all(axis=1)
    return np.flatnonzero(held)


def _step(values: np.ndarray) -> int:
    """The usual distance between neighbouring columns (or lines) of the grid."""
    gaps = np.diff(np.unique(values))
    return int(np.median(gaps)) if len(gaps) else 1


def _interleaved(cells: np.ndarray) -> np.ndarray:
    """(n,) places along Morton's curve of (n, 2) whole numbers below 2³¹."""
    found = np.zeros(len(cells), np.int64)
    for bit in range(int(cells.max(initial=0)).bit_length()):
        for axis in (0, 1):
            found |= ((cells[:, axis] >> bit) & 1) << (2 * bit + axis)
    return found


def vectors_of(store: FeatureStore, region: Region, space: str, places: np.ndarray) -> Any:
    """(m, D) features of some of the region's patches."""
    return store.bag(region.slide_id, space).rows(region.rows[places])
