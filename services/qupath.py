"""Where QuPath counts from: formats that say where the tissue begins (MIRAX, some Leica) begin there for it."""

import logging
from typing import TYPE_CHECKING

from slidelake.errors import UnknownSlideError

if TYPE_CHECKING:
    from slidelake.store import FeatureStore

__all__ = ["qupath_origin"]

log = logging.getLogger(__name__)


def qupath_origin(store: "FeatureStore", slide_id: str) -> tuple[tuple[int, int], str]:
    """The level-0 pixel that QuPath calls (0, 0), by the slide's file where it can be read, and a note where it is
    not the corner, or the file cannot be read. Raises UnknownSlideError."""
    from slidelake.services.gallery.pixels import Pixels

    state = store.state(slide_id)
    bag = next((subject for subject in state.keys if subject.kind == "bag"), None)
    if not state.keys:
        raise UnknownSlideError(
            "the lake has no such slide", remedy="slidelake status lists them.", slide=slide_id
        )
    properties = {}
    if bag is not None:
        with Pixels(store, f"{bag.grid_id}/{bag.encoder_id}") as pixels:
            properties = dict(pixels.properties(state.slide_id))
    if not properties:
        return (0, 0), "the slide's file cannot be read: coordinates were taken to count from its corner"
    try:
        x, y = (round(float(properties.get(f"openslide.bounds-{axis}", 0))) for axis in "xy")
    except ValueError:
        x, y = 0, 0
    note = f"QuPath counts from level-0 {x}, {y} in this slide" if x or y else ""
    return (x, y), note
