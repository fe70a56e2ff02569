"""What tissue a patch is known to be: from a table, from what people drew, or from labelled patches that look alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import UsageError

if TYPE_CHECKING:
    from slidelake.services.lake import Lake
    from slidelake.store import Bag, FeatureStore

__all__ = ["LabelledPatches", "Neighbours", "class_name", "drawn_classes", "read_labels"]

Place = tuple[str, int, int]
#: Labelled patches that vote, and the share of them that must agree.
_VOTERS, _AGREE = 10, 0.8


def class_name(name: str, names: Mapping[str, str] | None = None) -> str:
    """A class as people say it: what `names` has for it, else the name without its number, in lower case words."""
    if names and name in names:
        return names[name]
    words = name.replace("_", " ").replace("-", " ").split()
    while len(words) > 1 and words[0].isdigit():
        words.pop(0)
    return " ".join(words).lower()


def read_labels(path: Path, names: Mapping[str, str] | None = None) -> dict[Place, str]:
    """(slide, x, y) to class, of a CSV with the columns slide or slide_id, x, y (level-0 px), class or label.

    Raises UsageError for a file that lacks one, for a place that is no number, for one class only, and
    where a place has two classes.
    """
    import pandas as pd

    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, UnicodeDecodeError, ValueError) as exc:
        raise UsageError(f"{path} cannot be read as CSV ({exc})", remedy="Give a table of labels.") from exc
    columns = {}
    for wanted, known in (
        ("slide", ("slide_id", "slide")),
        ("x", ("x",)),
        ("y", ("y",)),
        ("class", ("class", "label")),
    ):
        columns[wanted] = next((name for name in known if name in table.columns), "")
    missing = [wanted for wanted, name in columns.items() if not name]
    if missing:
        raise UsageError(
            f"{path} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)};"
            f" it has {', '.join(table.columns)}",
            remedy="Give slide, x, y (level-0 px of the patch's corner) and class.",
        )
    labels: dict[Place, str] = {}
    for number, row in enumerate(table.to_dict("records"), start=2):
        if not row[columns["class"]].strip():
            continue
        try:
            place = row[columns["slide"]], int(float(row[columns["x"]])), int(float(row[columns["y"]]))
        except (ValueError, OverflowError) as exc:
            raise UsageError(
                f"line {number} of {path} has no place ({exc})", remedy="Give x and y as numbers."
            ) from exc
        name = class_name(row[columns["class"]].strip(), names)
        if labels.setdefault(place, name) != name:
            raise UsageError(
                f"line {number} of {path}: the patch of {place[0]} at {place[1]}, {place[2]}"
                f" is {labels[place]} and {name}",
                remedy="Give each patch one class.",
            )
    if len(set(labels.values())) < 2:
        raise UsageError(
            f"{path} has {len(set(labels.values()))} class", remedy="Give patches of two classes at least."
        )
    return labels


def drawn_classes(
    store: FeatureStore, slide_id: str, centres: NDArray[Any], names: Mapping[str, str] | None = None
) -> list[frozenset[str]]:
    """For each of (n, 2) level-0 points the classes of the annotations that hold it."""
    import cv2

    rings: list[tuple[str, list[NDArray[np.float32]]]] = []
    for name in store.annotations.names(slide_id):
        for feature in store.annotations.read(slide_id, name).features:
            kind = ((feature.get("properties") or {}).get("classification") or {}).get("name")
            shape = feature.get("geometry") or {}
            if not kind or shape.get("type") not in ("Polygon", "MultiPolygon"):
                continue
            parts = [shape["coordinates"]] if shape["type"] == "Polygon" else shape["coordinates"]
            for part in parts:
                rings.append(
                    (class_name(str(kind), names), [np.asarray(ring, np.float32)[:, :2] for ring in part])
                )
    found = []
    for x, y in centres:
        inside = set()
        for kind, (outer, *holes) in rings:
            at = (float(x), float(y))
            if cv2.pointPolygonTest(outer, at, False) > 0 and all(
                cv2.pointPolygonTest(hole, at, False) < 0 for hole in holes
            ):
                inside.add(kind)
        found.append(frozenset(inside))
    return found


@dataclass(frozen=True)
class LabelledPatches:
    """Unit features (n, D) float32 of the patches that have a label, with their places, classes and patients."""

    features: NDArray[np.float32]
    places: list[Place]
    classes: NDArray[Any]
    patients: NDArray[Any]

    @classmethod
    def of(
        cls, lake: Lake, space: str, labels: Mapping[Place, str], *, most: int = 20_000
    ) -> LabelledPatches:
        """Those of the slides in the lake, at most `most` (spread evenly over them)."""
        by_slide: dict[str, dict[tuple[int, int], str]] = {}
        for (slide_id, x, y), name in labels.items():
            by_slide.setdefault(slide_id, {})[x, y] = name
        features: list[NDArray[np.float32]] = []
        places: list[Place] = []
        classes: list[str] = []
        patients: list[str] = []
        catalog = lake.store.catalog()
        spaces = zip(catalog["slide_id"], catalog["spaces"], strict=True)
        here = {slide_id for slide_id, held in spaces if space in held}
        each = max(1, most // max(1, len(by_slide)))
        for slide_id in sorted(here & set(by_slide)):
            bag = lake.bag(slide_id, space)
            coords, valid = np.asarray(bag.coords[:]).tolist(), np.asarray(bag.valid[:])
            rows = [row for row, (x, y) in enumerate(coords) if (x, y) in by_slide[slide_id] and valid[row]]
            if not rows:
                continue
            rows = rows[:: -(-len(rows) // each)]
            features.append(_units(np.asarray(bag.features[:], np.float32)[rows]))
            for row in rows:
                x, y = coords[row]
                places.append((slide_id, x, y))
                classes.append(by_slide[slide_id][x, y])
                patients.append(_patient_of(bag))
        flat = np.concatenate(features) if features else np.zeros((0, 1), np.float32)
        return cls(flat, places, np.array(classes, object), np.array(patients, object))


@dataclass(frozen=True)
class Neighbours:
    """What the labelled patches of other patients that look most like one are: a class, where most agree."""

    labelled: LabelledPatches

    def vote(self, feature: NDArray[Any], patient_id: str) -> tuple[str, list[Place]] | None:
        """The class of 8 of 10 nearest neighbours of other patients, with the places of the nearest three of it."""
        known = self.labelled
        others = known.patients != patient_id
        if others.sum() < _VOTERS:
            return None
        scores = np.where(others, known.features @ _units(feature[None])[0], -2.0)
        nearest = np.argsort(-scores, kind="stable")[:_VOTERS]
        name, votes = Counter(known.classes[nearest].tolist()).most_common(1)[0]
        if votes < _AGREE * _VOTERS:
            return None
        return str(name), [known.places[at] for at in nearest if known.classes[at] == name][:3]


def _units(rows: Sequence[Any] | NDArray[Any]) -> NDArray[np.float32]:
    values = np.asarray(rows, np.float32)
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    units: NDArray[np.float32] = (values / np.where(norms > 0, norms, 1.0)).astype(np.float32)
    return units


def _patient_of(bag: Bag) -> str:
    return str(bag.provenance.get("patient_id") or bag.slide_id)
