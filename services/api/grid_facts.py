"""How large the patches of a slide are: asked for each hit, so remembered."""

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from slidelake.errors import UnknownNameError
from slidelake.store import Subject

if TYPE_CHECKING:
    from slidelake.store import FeatureStore

__all__ = ["GridFacts"]

_MOST = 20_000

Facts = tuple[tuple[float, float] | None, float | None]


class GridFacts:
    """Footprint (width, height) in level-0 px, and µm a pixel of the patch, of a slide's grid.

    A grid is never made again within an epoch, so what was read holds until the slide's source changes.
    """

    def __init__(self, store: "FeatureStore") -> None:
        self._store = store
        self._known: OrderedDict[tuple[str, int, str], Facts] = OrderedDict()
        self._lock = threading.Lock()

    def facts(self, slide_id: str, grid_id: str) -> Facts:
        """Both; None where the grid (of imported features) does not say, or the slide has just gone."""
        state = self._store.state(slide_id)
        if Subject("grid", grid_id) not in state.keys:
            return None, None
        key = (slide_id, state.epoch, grid_id)
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return known
        try:
            attributes = self._store.grid(slide_id, grid_id).attributes
        except UnknownNameError:
            return None, None
        sides, mpp = attributes.get("footprint_level0"), attributes.get("effective_mpp")
        found: Facts = (
            (float(sides[0]), float(sides[1])) if sides else None,
            float(mpp[0]) if mpp else None,
        )
        with self._lock:
            self._known[key] = found
            while len(self._known) > _MOST:
                self._known.popitem(last=False)
        return found
