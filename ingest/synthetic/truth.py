"""The truth about a synthetic slide: labelled grid cells, the class map as PNG, polygons as GeoJSON."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slidelake.ingest.synthetic.layout import CELL, MAP_PX, SlidePlan, cell_shares
from slidelake.ingest.synthetic.tissues import CLASS_NAMES, CLASSES

__all__ = ["Label", "label_cells", "write_class_map", "write_geojson", "write_legend"]

_PURE = 0.85


@dataclass(frozen=True)
class Label:
    """One grid cell: its upper left corner (level-0 px), its class and that class's share, what spoils it."""

    slide: str
    x: int
    y: int
    name: str
    share: float
    artefact: str  # "pen", "blur" or ""


def _artefact(plan: SlidePlan, x: float, y: float) -> str:
    optics = plan.optics
    if optics.pen.size:
        start, step = optics.pen[:-1], np.diff(optics.pen, axis=0)
        t = np.clip(((np.array([x, y]) - start) * step).sum(axis=1) / (step * step).sum(axis=1), 0.0, 1.0)
        distance = np.sqrt(((start + t[:, None] * step - [x, y]) ** 2).sum(axis=1)).min()
        if distance < optics.pen_width + 0.5 * CELL:
            return "pen"
    if optics.blurred.size:
        cx, cy, rx, ry = optics.blurred
        if math.hypot((x - cx) / rx, (y - cy) / ry) < 1.0:
            return "blur"
    return ""


def label_cells(plan: SlidePlan) -> list[Label]:
    """The cells of which one tissue covers at least 0.85, in grid order (y, then x)."""
    shares = cell_shares(plan.classes, plan.width, plan.height)
    labels = []
    for row in range(shares.shape[0]):
        for column in range(shares.shape[1]):
            best = int(shares[row, column].argmax())
            share = float(shares[row, column, best])
            if best == 0 or share < _PURE:
                continue
            x, y = column * CELL, row * CELL
            artefact = _artefact(plan, x + 0.5 * CELL, y + 0.5 * CELL)
            labels.append(Label(plan.slide_id, x, y, CLASS_NAMES[best - 1], round(share, 4), artefact))
    return labels


def write_class_map(path: Path, classes: NDArray[np.uint8]) -> None:
    """Indexed PNG of a class map (h, w): one pixel for MAP_PX × MAP_PX of level 0, index 0 background."""
    image = Image.fromarray(classes)
    image.putpalette([255, 255, 255, *(channel for tissue in CLASSES for channel in tissue.colour)])
    image.save(path, optimize=False)


def write_legend(path: Path) -> None:
    """What the class maps' indices mean, and how many level-0 pixels one of their pixels spans."""
    entries = [{"index": 0, "name": "background", "colour": [255, 255, 255]}]
    for index, tissue in enumerate(CLASSES, start=1):
        entries.append({"index": index, "name": tissue.name, "colour": list(tissue.colour)})
    path.write_text(json.dumps({"downsample": MAP_PX, "classes": entries}, indent=1) + "\n")


def _ring(contour: NDArray[Any]) -> list[list[int]]:
    # Contours run through the outermost pixels' centres.
    points = [[int(MAP_PX * x + MAP_PX // 2), int(MAP_PX * y + MAP_PX // 2)] for x, y in contour[:, 0]]
    return [*points, points[0]]


def _polygons(mask: NDArray[np.uint8]) -> list[list[list[list[int]]]]:
    found, hierarchy = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    contours: list[NDArray[Any]] = [np.asarray(contour) for contour in found]
    polygons = []
    for index, contour in enumerate(contours):
        if hierarchy[0][index][3] >= 0 or len(contour) < 3:
            continue
        rings = [_ring(contour)]
        child = int(hierarchy[0][index][2])
        while child >= 0:
            if len(contours[child]) >= 3:
                rings.append(_ring(contours[child]))
            child = int(hierarchy[0][child][0])
        polygons.append(rings)
    return polygons


def write_geojson(path: Path, classes: NDArray[np.uint8]) -> None:
    """The regions as QuPath reads them: one feature a polygon, level-0 pixels, classification with colour."""
    features: list[dict[str, Any]] = []
    for index, tissue in enumerate(CLASSES, start=1):
        for rings in _polygons((classes == index).astype(np.uint8)):
            features.append(
                {
                    "type": "Feature",
                    "geometry": {"type": "Polygon", "coordinates": rings},
                    "properties": {
                        "objectType": "annotation",
                        "classification": {"name": tissue.name, "color": list(tissue.colour)},
                    },
                }
            )
    path.write_text(
        json.dumps({"type": "FeatureCollection", "features": features}, separators=(",", ":")) + "\n"
    )
