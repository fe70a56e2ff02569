"""GeoJSON from outside: what QuPath and others write is taken, everything else is refused with what is wrong."""

import json
from typing import Any

import pytest

from slidelake.errors import AnnotationError
from slidelake.store import features_of, moved, parse_geojson
from slidelake.store.geojson import MOST_FEATURES, MOST_POINTS

RING = [[0, 0], [100, 0], [100, 80.5], [0, 80], [0, 0]]


def feature(geometry: Any = None, properties: Any = None, **more: Any) -> dict[str, Any]:
    shape = geometry if geometry is not None else {"type": "Polygon", "coordinates": [RING]}
    return {"type": "Feature", "geometry": shape, "properties": properties or {}, **more}


def collection(*features: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}


def one(**properties: Any) -> dict[str, Any]:
    (made,), _ = features_of(collection(feature(properties=properties)))
    return dict(made["properties"])


def test_what_qupath_writes_comes_back_as_it_was() -> None:
    """The form of QuPath 0.5's export: ids, classes with colours, measurements, metadata, holes, a lock."""
    hole = [[10, 10], [20, 10], [20, 20], [10, 10]]
    said = feature(
        {"type": "Polygon", "coordinates": [RING, hole]},
        {
            "objectType": "annotation",
            "name": "invasive front",
            "color": [1, 2, 3],
            "classification": {"name": "Tumor", "color": [200, 0, 0]},
            "isLocked": True,
            "measurements": {"Area µm^2": 12.5, "Length": 3.0},
            "metadata": {"ANNOTATION_DESCRIPTION": "seen twice"},
        },
        id="0a7b4f3e-58f1-4e7e-9c11-2f7f2b3c4d5e",
    )
    found, notes = features_of(collection(said))
    assert found == [said]
    assert notes == []
    assert features_of(collection(*found))[0] == found


@pytest.mark.parametrize("wrapped", [lambda each: [each], lambda each: each, collection])
def test_lists_and_lone_features_are_taken(wrapped: Any) -> None:
    found, _ = features_of(wrapped(feature(id="PathAnnotationObject")))
    assert len(found) == 1
    assert len(found[0]["id"]) == 36
    assert features_of(wrapped(feature(id="PathAnnotationObject")))[0] == found  # the same id each time


def test_forms_of_older_versions_and_other_programs() -> None:
    assert one(classification={"name": "Stroma", "colorRGB": -6895466})["classification"] == {
        "name": "Stroma",
        "color": [150, 200, 150],
    }
    assert one(classification="Tumor")["classification"] == {"name": "Tumor"}
    assert one(classification={"names": ["Tumor", "Positive"]})["classification"] == {
        "name": "Tumor: Positive"
    }
    assert one(measurements=[{"name": "a", "value": 1}, {"name": "b", "value": None}])["measurements"] == {
        "a": 1.0
    }
    assert one(measurements={"a": "NaN", "b": 2})["measurements"] == {"b": 2.0}
    assert one(tissue_id=3, lab="x", ok=True)["metadata"] == {"tissue_id": "3", "lab": "x", "ok": "true"}
    assert one(color=[1, 2, 3, 255])["color"] == [1, 2, 3]
    (made,), notes = features_of(
        [feature(properties={"nested": {"a": 1}}, nucleusGeometry={}, bbox=[0, 0, 1, 1])]
    )
    assert made["properties"] == {"objectType": "annotation"}
    assert notes == ["member 'nucleusGeometry' was left out", "property 'nested' was left out"]


def test_an_open_ring_is_closed_and_a_third_number_dropped() -> None:
    (made,), _ = features_of(
        [feature({"type": "Polygon", "coordinates": [[[0, 0, 7], [9, 0, 7], [9, 9, 7]]]})]
    )
    assert made["geometry"]["coordinates"] == [[[0, 0], [9, 0], [9, 9], [0, 0]]]


@pytest.mark.parametrize(
    ("kind", "coordinates"),
    [
        ("Point", [1, 2]),
        ("MultiPoint", [[1, 2], [3, 4]]),
        ("LineString", [[1, 2], [3, 4]]),
        ("MultiLineString", [[[1, 2], [3, 4]]]),
        ("MultiPolygon", [[RING], [RING]]),
    ],
)
def test_every_shape_is_kept_and_moved(kind: str, coordinates: Any) -> None:
    found, _ = features_of([feature({"type": kind, "coordinates": coordinates})])
    assert found[0]["geometry"] == {"type": kind, "coordinates": coordinates}
    back = moved(moved(found, 100, -7), -100, 7)
    assert back == found
    assert moved(found, 100, -7) != found


def test_text_is_text() -> None:
    """Whoever shows a name has to escape it; it is kept as it was written."""
    script = "<script>alert(1)</script>'\"&"
    assert one(name=script, classification=script)["name"] == script


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "neither a FeatureCollection"),
        (7, "neither a FeatureCollection"),
        ("FeatureCollection", "neither a FeatureCollection"),
        ({"type": "FeatureCollection"}, "neither a FeatureCollection"),
        ({"type": "FeatureCollection", "features": {"0": 1}}, "neither a FeatureCollection"),
        ([7], "feature 0 is no Feature"),
        ([feature(), {"type": "Polygon"}], "feature 1 is no Feature"),
        ([{"type": "Feature", "geometry": None}], "no geometry"),
        ([feature(properties=[1])], "no object"),
        ([feature({"type": "GeometryCollection", "geometries": []})], "GeometryCollection"),
        ([feature({"type": ["Polygon"], "coordinates": []})], "of type"),
        ([feature({"type": "Polygon"})], "no list"),
        ([feature({"type": "Polygon", "coordinates": []})], "empty"),
        ([feature({"type": "Polygon", "coordinates": [[]]})], "empty list"),
        ([feature({"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]})], "ring of 2"),
        ([feature({"type": "Polygon", "coordinates": [RING[0]]})], "no list"),
        ([feature({"type": "Polygon", "coordinates": [[RING]]})], "not two numbers"),
        ([feature({"type": "Point", "coordinates": [[0, 0]]})], "not two numbers"),
        ([feature({"type": "Point", "coordinates": [1]})], "not two numbers"),
        ([feature({"type": "Point", "coordinates": [1, "2"]})], "not two numbers"),
        ([feature({"type": "Point", "coordinates": [1, True]})], "not two numbers"),
        ([feature({"type": "Point", "coordinates": [1, float("nan")]})], "not two numbers"),
        ([feature({"type": "Point", "coordinates": [1, 10**400]})], "not two numbers"),
        ([feature({"type": "Point", "coordinates": [1, 1e300]})], "off any slide"),
        ([feature(properties={"objectType": "root"})], "is a 'root'"),
        ([feature(properties={"objectType": {"a": 1}})], "is a"),
        ([feature(properties={"name": 7})], "no text"),
        ([feature(properties={"name": "x" * 2001})], "more than 2,000"),
        ([feature(properties={"name": "a\x00b"})], "no text"),
        ([feature(properties={"name": "\ud800"})], "no text"),
        ([feature(properties={"color": [1, 2]})], "color"),
        ([feature(properties={"color": [1, 2, 999]})], "color"),
        ([feature(properties={"color": "red"})], "color"),
        ([feature(properties={"colorRGB": 1.5})], "colorRGB"),
        ([feature(properties={"classification": 3})], "classification"),
        ([feature(properties={"classification": {"color": [1, 2, 3]}})], "without a name"),
        ([feature(properties={"isLocked": "yes"})], "isLocked"),
        ([feature(properties={"measurements": {"a": "b"}})], "no number"),
        ([feature(properties={"measurements": {"a": float("inf")}})], "no number"),
        ([feature(properties={"measurements": [1]})], "names and numbers"),
        ([feature(properties={"measurements": {str(n): n for n in range(201)}})], "more than 200"),
        ([feature(properties={"metadata": "x"})], "metadata"),
        ([feature(properties={str(n): n for n in range(300)})], "more than 200"),
    ],
)
def test_what_is_wrong_is_named(value: Any, problem: str) -> None:
    with pytest.raises(AnnotationError, match=problem) as caught:
        features_of(value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"[" + b"9" * 10_000 + b"]",
    ],
)
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(AnnotationError):
        parse_geojson(data)


def test_a_number_too_large_for_json_is_no_place() -> None:
    parsed = parse_geojson(b'[{"type": "Feature", "geometry": {"type": "Point", "coordinates": [1e999, 0]}}]')
    with pytest.raises(AnnotationError, match="not two numbers"):
        features_of(parsed)


def test_too_much_is_refused_before_it_is_worked_on() -> None:
    line = {"type": "LineString", "coordinates": [[0, 0]] * (MOST_POINTS + 1)}
    with pytest.raises(AnnotationError, match="500,000 corners"):
        features_of([feature(line)])
    with pytest.raises(AnnotationError, match="features are more"):
        features_of([None] * (MOST_FEATURES + 1))
    with pytest.raises(AnnotationError, match="rings"):
        features_of([feature({"type": "MultiLineString", "coordinates": [None] * 200_001})])


def test_many_corners_are_taken() -> None:
    ring = [[n, n % 7] for n in range(50_000)]
    data = json.dumps(collection(feature({"type": "Polygon", "coordinates": [ring]}))).encode()
    (made,), _ = features_of(parse_geojson(data))
    assert len(made["geometry"]["coordinates"][0]) == 50_001
