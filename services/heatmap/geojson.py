"""Patches as GeoJSON that QuPath imports: a square a patch, its measurements beside it.

What QuPath reads (0.4 and newer, File > Import objects): a FeatureCollection whose features have an `id` (UUID), a
Polygon in full-resolution pixels, and `properties` with `objectType`, `name`, `color`, `classification`, and
`measurements` as names and numbers. Where a format says that tissue begins somewhere on the canvas
(openslide.bounds-x, -y: MIRAX, some Leica), QuPath counts from there, OpenSlide and the store from the canvas' corner.
"""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import UsageError
from slidelake.services.heatmap.colours import coloured
from slidelake.services.heatmap.values import PatchValues

__all__ = ["OBJECT_TYPES", "chosen_patches", "write_geojson"]

OBJECT_TYPES = ("detection", "annotation", "tile")
#: Of the ids: the same patch of the same slide is the same object, whoever exports it again.
_IDS = uuid.uuid5(uuid.NAMESPACE_URL, "slidelake/heatmap")


def chosen_patches(patches: PatchValues, *, top: int | None, least: float | None = None) -> NDArray[np.int64]:
    """Rows of the patches to export, the highest value first: at most `top`, none whose attention is below `least`.

    Where there is no attention, `least` is of the values. Of equal values the lower row comes first.
    """
    rows = np.flatnonzero(patches.shown)
    if least is not None:
        measure = patches.measures.get("attention", patches.values)
        rows = rows[measure[rows] >= least]
    rows = rows[np.argsort(-patches.values[rows], kind="stable")]
    return rows if top is None else rows[:top]


def write_geojson(
    patches: PatchValues,
    rows: NDArray[np.int64],
    path: Path,
    *,
    objects: str = "detection",
    colours: str = "viridis",
    origin: tuple[int, int] = (0, 0),
) -> Path:
    """Write the patches of these rows; `origin` is the level-0 pixel that QuPath calls (0, 0)."""
    if objects not in OBJECT_TYPES:
        raise UsageError(
            f"QuPath knows no object {objects!r}", remedy=f"Choose one of {', '.join(OBJECT_TYPES)}."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for number, feature in enumerate(_features(patches, rows, objects, colours, origin)):
            file.write((",\n" if number else "\n") + json.dumps(feature, allow_nan=False))
        file.write("\n]}\n")
    return path


def _features(
    patches: PatchValues, rows: NDArray[np.int64], objects: str, colours: str, origin: tuple[int, int]
) -> Iterator[dict[str, Any]]:
    shown = patches.values[patches.shown]
    low, high = (float(shown.min()), float(shown.max())) if len(shown) else (0.0, 0.0)
    colour = coloured(patches.values[rows], low, high, colours)
    width, height = patches.footprint
    for place, row in enumerate(rows.tolist()):
        x, y = (int(each) - start for each, start in zip(patches.coords[row], origin, strict=True))
        right, bottom = _short(x + width), _short(y + height)
        corners = [[x, y], [right, y], [right, bottom], [x, bottom], [x, y]]
        measures = {name: float(values[row]) for name, values in patches.measures.items()}
        rgb = [int(each) for each in colour[place]]
        yield {
            "type": "Feature",
            "id": str(uuid.uuid5(_IDS, f"{patches.slide_id}/{patches.grid_id}/{patches.tag}/{row}")),
            "geometry": {"type": "Polygon", "coordinates": [corners]},
            "properties": {
                "objectType": objects,
                "name": f"patch {row}",
                "color": rgb,
                "classification": {"name": patches.tag, "color": [int(each) for each in _CLASS]},
                "measurements": {
                    **{name: value for name, value in measures.items() if np.isfinite(value)},
                    "row": float(row),
                    "place": float(place + 1),
                },
            },
        }


#: The colour of the class in QuPath's list; each object has its own.
_CLASS = (33, 145, 140)


def _short(value: float) -> float | int:
    """A whole number as one; footprints of other mpp than the scan's are real."""
    return int(value) if value == int(value) else round(value, 3)
