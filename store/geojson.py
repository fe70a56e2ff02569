"""GeoJSON from outside, made plain: what QuPath and others write goes in, strictly checked; one form comes out.

Taken: a FeatureCollection, a bare list of features (older QuPath), or one feature; `measurements` as names and numbers
or as a list of {name, value}; classes by name, with `color` [r, g, b] or `colorRGB` (a whole number); rings that are
not closed. What comes out is what QuPath 0.4 and newer reads, in level-0 pixels from the slide's corner.
"""

import json
import math
import uuid
from collections.abc import Mapping
from typing import Any, NoReturn

from slidelake.errors import AnnotationError

__all__ = ["MOST_FEATURES", "MOST_POINTS", "features_of", "moved", "parse_geojson"]

MOST_FEATURES = 100_000
#: Corners of all shapes together; QuPath's finest contours of a whole slide stay below it.
MOST_POINTS = 500_000
_MOST_RINGS = 200_000
_FARTHEST = float(2**31)
_OBJECTS = ("annotation", "detection", "tile", "cell", "tma_core")
_LONGEST, _MOST_VALUES = 2_000, 200
#: How deep lists of coordinates lie, and the least number of positions in the innermost.
_SHAPES = {
    "Point": (0, 1),
    "MultiPoint": (1, 1),
    "LineString": (1, 2),
    "MultiLineString": (2, 2),
    "Polygon": (2, 3),
    "MultiPolygon": (3, 3),
}
#: Of ids for features that have none of their own: the same content gets the same.
_IDS = uuid.uuid5(uuid.NAMESPACE_URL, "slidelake/annotation")


def parse_geojson(data: bytes) -> Any:
    """JSON values from bytes; AnnotationError for what is no JSON, or holds NaN or inf, or is nested too deep."""
    # Parsed, these lists take twenty times the memory: what has too many of them is not parsed.
    if data.count(b"[") > MOST_POINTS + 2 * _MOST_RINGS + 4 * MOST_FEATURES:
        raise AnnotationError(
            f"there are more than {MOST_POINTS:,} corners", remedy="Simplify the shapes, or divide them."
        )
    if data.count(b"{") > 8 * MOST_FEATURES:
        raise AnnotationError(
            f"there are more than {MOST_FEATURES:,} features", remedy="Divide them into several sets."
        )
    try:
        return json.loads(data, parse_constant=_no_constant)
    except RecursionError as exc:
        raise AnnotationError("the GeoJSON is nested too deep", remedy="Send plain features.") from exc
    except ValueError as exc:  # JSON, UTF-8, and whole numbers with too many digits
        raise AnnotationError(
            f"this is no GeoJSON: {str(exc)[:200]}", remedy="Send a FeatureCollection."
        ) from exc


def features_of(value: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """The features in our one form, and what of them was left out, in words; AnnotationError names what is wrong."""
    if isinstance(value, dict) and value.get("type") == "FeatureCollection":
        features = value.get("features")
    elif isinstance(value, dict) and value.get("type") == "Feature":
        features = [value]
    else:
        features = value
    if not isinstance(features, list):
        raise AnnotationError(
            "this is neither a FeatureCollection nor a list of features",
            remedy='Send {"type": "FeatureCollection", "features": […]}, as QuPath exports it.',
        )
    if len(features) > MOST_FEATURES:
        raise AnnotationError(
            f"{len(features):,} features are more than {MOST_FEATURES:,}",
            remedy="Divide them into several sets.",
        )
    reader = _Reader()
    return [reader.feature(number, each) for number, each in enumerate(features)], sorted(reader.left_out)


def moved(features: list[dict[str, Any]], x: float, y: float) -> list[dict[str, Any]]:
    """The features with all coordinates moved by (x, y)."""
    if not (x or y):
        return features

    def step(value: Any) -> Any:
        if isinstance(value[0], list):
            return [step(each) for each in value]
        return [value[0] + x, value[1] + y]

    return [
        {**each, "geometry": {**each["geometry"], "coordinates": step(each["geometry"]["coordinates"])}}
        for each in features
    ]


class _Reader:
    """Reads features one by one; counts corners and rings over all of them."""

    def __init__(self) -> None:
        self.left_out: set[str] = set()
        self._points = self._rings = 0
        self._number = 0
        self._ids: set[str] = set()

    def feature(self, number: int, value: Any) -> dict[str, Any]:
        self._number = number
        if not isinstance(value, dict) or value.get("type") != "Feature":
            self._wrong("is no Feature")
        geometry = value.get("geometry")
        properties = value.get("properties") or {}
        if not isinstance(geometry, dict):
            self._wrong("has no geometry")
        if not isinstance(properties, dict):
            self._wrong("has properties that are no object")
        shape = {"type": geometry.get("type"), "coordinates": self._shape(geometry)}
        self._skip("member", set(value) - {"type", "id", "geometry", "properties", "bbox"})
        self._skip("geometry", set(geometry) - {"type", "coordinates", "bbox"})
        return {
            "type": "Feature",
            "id": self._id(value.get("id"), shape),
            "geometry": shape,
            "properties": self._properties(properties),
        }

    def _shape(self, geometry: Mapping[str, Any]) -> list[Any]:
        kind = geometry.get("type")
        if not isinstance(kind, str) or kind not in _SHAPES:
            self._wrong(f"has a geometry of type {str(kind)[:40]!r}", f"Known are {', '.join(_SHAPES)}.")
        depth, least = _SHAPES[kind]
        closed = kind in ("Polygon", "MultiPolygon")
        return self._list(geometry.get("coordinates"), depth, least, closed)

    def _list(self, value: Any, depth: int, least: int, closed: bool) -> list[Any]:
        if not isinstance(value, list):
            self._wrong("has coordinates that are no list")
        if depth == 0:
            return self._position(value)
        if not value:
            self._wrong("has an empty list of coordinates")
        if depth > 1:
            self._rings += len(value)
            if self._rings > _MOST_RINGS:
                raise AnnotationError(
                    f"there are more than {_MOST_RINGS:,} rings and lines",
                    remedy="Divide them into several sets.",
                )
            return [self._list(each, depth - 1, least, closed) for each in value]
        if self._points + len(value) > MOST_POINTS:
            raise AnnotationError(
                f"there are more than {MOST_POINTS:,} corners", remedy="Simplify the shapes, or divide them."
            )
        positions = [self._list(each, 0, 1, False) for each in value]
        if closed and positions[0] != positions[-1]:
            positions.append(positions[0])
        if len(positions) < least + closed:
            self._wrong(
                f"has a {'ring' if closed else 'line'} of {len(value)} positions, {least} is the least"
            )
        return positions

    def _position(self, value: list[Any]) -> list[float]:
        self._points += 1
        if len(value) not in (2, 3) or not all(_is_number(each) for each in value):
            self._wrong("has a position that is not two numbers")
        x, y = value[:2]
        if not (-_FARTHEST <= x <= _FARTHEST and -_FARTHEST <= y <= _FARTHEST):
            self._wrong("has a position off any slide")
        return [x, y]

    def _properties(self, given: dict[str, Any]) -> dict[str, Any]:
        kind = given.get("objectType", given.get("object_type", "annotation"))
        if kind not in _OBJECTS:
            self._wrong(f"is a {str(kind)[:40]!r}", f"Known are {', '.join(_OBJECTS)}.")
        made: dict[str, Any] = {"objectType": kind}
        if given.get("name") is not None:
            made["name"] = self._text(given["name"], "name")
        colour = self._colour(given)
        if colour is not None:
            made["color"] = colour
        if given.get("classification") is not None:
            made["classification"] = self._classification(given["classification"])
        if given.get("isLocked") is not None:
            if not isinstance(given["isLocked"], bool):
                self._wrong("has an isLocked that is neither true nor false")
            made["isLocked"] = given["isLocked"]
        measurements = self._measurements(given.get("measurements"))
        if measurements:
            made["measurements"] = measurements
        metadata = self._metadata(given)
        if metadata:
            made["metadata"] = metadata
        return made

    def _classification(self, value: Any) -> dict[str, Any]:
        if isinstance(value, str):
            return {"name": self._text(value, "class")}
        if not isinstance(value, dict):
            self._wrong("has a classification that is no object")
        names = value.get("names")  # QuPath's way to write "Tumor: Positive" in newer versions
        name = value.get("name", ": ".join(map(str, names)) if isinstance(names, list) and names else None)
        if name is None:
            self._wrong("has a classification without a name")
        made: dict[str, Any] = {"name": self._text(name, "class")}
        colour = self._colour(value)
        if colour is not None:
            made["color"] = colour
        return made

    def _colour(self, value: Mapping[str, Any]) -> list[int] | None:
        colour, packed = value.get("color"), value.get("colorRGB")
        if colour is None and packed is None:
            return None
        if colour is None:
            if not isinstance(packed, int) or isinstance(packed, bool) or not -(2**31) <= packed < 2**32:
                self._wrong("has a colorRGB that is no whole number of 32 bits")
            return [(packed >> 16) & 255, (packed >> 8) & 255, packed & 255]
        if not (isinstance(colour, list) and len(colour) in (3, 4)) or not all(
            isinstance(each, int) and not isinstance(each, bool) and 0 <= each <= 255 for each in colour
        ):
            self._wrong("has a color that is not three numbers from 0 to 255")
        return list(colour[:3])

    def _measurements(self, value: Any) -> dict[str, float]:
        if value is None:
            return {}
        if isinstance(value, list):
            if not all(isinstance(each, dict) and "name" in each for each in value):
                self._wrong("has measurements that are no names and numbers")
            value = {
                each["name"] if isinstance(each["name"], str) else "": each.get("value") for each in value
            }
        if not isinstance(value, dict) or len(value) > _MOST_VALUES:
            self._wrong(f"has measurements that are no names and numbers, or more than {_MOST_VALUES}")
        made = {}
        for name, number in value.items():
            if number is None or number == "NaN":  # how QuPath writes what it could not measure
                continue
            if not _is_number(number):
                self._wrong(f"has a measurement {str(name)[:40]!r} that is no number")
            made[self._text(name, "measurement")] = float(number)
        return made

    def _metadata(self, given: dict[str, Any]) -> dict[str, str]:
        """QuPath's own `metadata`, and plain values of other programs; nested ones are left out."""
        known = {"objectType", "object_type", "name", "color", "colorRGB", "classification", "isLocked"}
        known |= {"measurements", "metadata"}
        own = given.get("metadata")
        if own is not None and not isinstance(own, dict):
            self._wrong("has metadata that are no object")
        made: dict[str, str] = {}
        for name, value in [*(own or {}).items(), *((n, v) for n, v in given.items() if n not in known)]:
            if value is None:
                continue
            if isinstance(value, dict | list):
                self._skip("property", {name})
                continue
            text = value if isinstance(value, str) else json.dumps(value)
            made[self._text(name, "property")] = self._text(text, f"property {name[:40]!r}")
        if len(made) > _MOST_VALUES:
            self._wrong(f"has more than {_MOST_VALUES} properties")
        return made

    def _id(self, value: Any, shape: Any) -> str:
        try:
            made = str(uuid.UUID(value)) if isinstance(value, str) else ""
        except ValueError:
            made = ""  # "PathAnnotationObject", in older exports
        if not made or made in self._ids:
            made = str(uuid.uuid5(_IDS, f"{self._number}/{json.dumps(shape)}"))
        self._ids.add(made)
        return made

    def _text(self, value: Any, what: str) -> str:
        if not isinstance(value, str):
            self._wrong(f"has a {what} that is no text")
        if len(value) > _LONGEST:
            self._wrong(f"has a {what} of more than {_LONGEST:,} characters")
        # Control characters and halves of surrogate pairs are no text; < and > are, and whoever shows them escapes.
        if any(
            (ord(c) < 32 and c not in "\t\n") or ord(c) == 127 or 0xD800 <= ord(c) <= 0xDFFF for c in value
        ):
            self._wrong(f"has a {what} with characters that are no text")
        return str(value)

    def _skip(self, what: str, names: set[str]) -> None:
        for name in sorted(names)[:20]:
            if len(self.left_out) < 20:
                self.left_out.add(f"{what} {name[:40]!r} was left out")

    def _wrong(self, problem: str, remedy: str = "") -> NoReturn:
        raise AnnotationError(
            f"feature {self._number} {problem}",
            remedy=remedy or "Export it again, as GeoJSON of level-0 pixels.",
        )


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond what float64 holds
        return False


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")
