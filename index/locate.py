"""From a level-0 pixel of a slide to the patch that holds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from slidelake.errors import QueryError

if TYPE_CHECKING:
    from slidelake.store import FeatureStore

__all__ = ["Patch", "patch_at"]


@dataclass(frozen=True)
class Patch:
    """Slide, row of the bag, top-left corner in level-0 pixels, and the feature (D,)."""

    slide_id: str
    row: int
    x: int
    y: int
    feature: np.ndarray


def patch_at(store: FeatureStore, slide_id: str, space: str, x: float, y: float) -> Patch:
    """The patch of `slide_id` whose footprint holds (x, y); of several that overlap, the one centred nearest.

    QueryError names the nearest patch when none holds the point, and refuses a patch whose pixels were
    unreadable.
    """
    if not (np.isfinite(x) and np.isfinite(y)):
        raise QueryError(f"({x}, {y}) is no place on a slide", remedy="Give level-0 pixels.", slide=slide_id)
    bag = store.bag(slide_id, space)
    width, height = store.grid(slide_id, space.partition("/")[0]).attributes["footprint_level0"]
    coords = np.asarray(bag.coords, dtype=np.float64)
    if not len(coords):
        raise QueryError("the slide has no patches", remedy="Search from another slide.", slide=slide_id)
    distance = np.hypot(coords[:, 0] + width / 2 - x, coords[:, 1] + height / 2 - y)
    inside = (
        (coords[:, 0] <= x) & (x < coords[:, 0] + width) & (coords[:, 1] <= y) & (y < coords[:, 1] + height)
    )
    if not inside.any():
        near = int(np.argmin(distance))
        raise QueryError(
            f"no patch holds level-0 pixel ({x:g}, {y:g}): it is off the tissue, or off the slide",
            remedy=f"The nearest patch holds ({int(coords[near, 0] + width / 2)}, "
            f"{int(coords[near, 1] + height / 2)}).",
            slide=slide_id,
        )
    row = int(np.argmin(np.where(inside, distance, np.inf)))
    left, top = (int(value) for value in coords[row])
    if not np.asarray(bag.valid)[row]:
        raise QueryError(
            f"the pixels of the patch at ({left}, {top}) could not be read when the slide went in",
            remedy="Search from another patch.",
            slide=slide_id,
        )
    return Patch(bag.slide_id, row, left, top, bag.rows([row])[0])  # this row alone: a bag may be gigabytes
