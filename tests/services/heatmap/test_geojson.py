"""GeoJSON as QuPath reads it: types, closed squares in level-0 pixels, measurements, classes, ids."""

import json
import uuid

import numpy as np
import pytest

from slidelake.services.heatmap.geojson import chosen_patches, write_geojson
from slidelake.services.heatmap.values import attention_values, column_values
from tests.services.heatmap.lakes import ABMIL, GRID, SPACE, lattice, new_store, put, put_scores

SIZE = (2600, 1300)


@pytest.fixture
def store(tmp_path):
    store = new_store(tmp_path)
    coords = lattice(SIZE, 253.45, 253.45)
    tissue = np.arange(len(coords), dtype=np.uint8)
    put(store, "S1", coords, size=SIZE, footprint=253.45, columns={"tissue": tissue})
    return store


def read(path):
    return json.loads(
        path.read_text(encoding="utf-8"), parse_constant=lambda name: pytest.fail(f"{name} is no JSON")
    )


def test_features_as_qupath_takes_them(store, tmp_path):
    scores = np.random.default_rng(0).normal(size=(1, 50))
    scores[0, 7] = -np.inf
    attention = put_scores(store, "S1", scores)[0]
    [values] = attention_values(store, "S1", SPACE, ABMIL, show="attention")
    said = read(write_geojson(values, chosen_patches(values, top=None), tmp_path / "a.geojson"))
    assert said["type"] == "FeatureCollection"
    features = said["features"]
    assert len(features) == 49
    shares = [each["properties"]["measurements"]["attention"] for each in features]
    assert shares == sorted(shares, reverse=True)
    coords = store.grid("S1", GRID).coords
    for feature in features:
        properties = feature["properties"]
        measures = properties["measurements"]
        row = int(measures["row"])
        assert feature["type"] == "Feature"
        assert str(uuid.UUID(feature["id"])) == feature["id"]
        assert (properties["objectType"], properties["name"]) == ("detection", f"patch {row}")
        assert measures["attention"] == pytest.approx(attention[row], rel=1e-12)
        assert all(isinstance(value, float) for value in measures.values())
        assert properties["classification"]["name"] == f"{ABMIL}.attention"
        assert all(0 <= part <= 255 for part in properties["color"])
        assert feature["geometry"]["type"] == "Polygon"
        [ring] = feature["geometry"]["coordinates"]
        x, y = coords[row].tolist()
        right, bottom = pytest.approx(x + 253.45), pytest.approx(y + 253.45)
        assert ring == [[x, y], [right, y], [right, bottom], [x, bottom], [x, y]]
    assert len({feature["id"] for feature in features}) == 49
    again = read(write_geojson(values, chosen_patches(values, top=None), tmp_path / "b.geojson"))
    assert again == said


def test_only_the_highest(store, tmp_path):
    values = column_values(store, "S1", GRID, "tissue")
    assert chosen_patches(values, top=3).tolist() == [49, 48, 47]
    assert chosen_patches(values, top=0).tolist() == []
    assert chosen_patches(values, top=None, least=47.5).tolist() == [49, 48]
    assert (
        read(write_geojson(values, chosen_patches(values, top=0), tmp_path / "n.geojson"))["features"] == []
    )
    attention = put_scores(store, "S1", np.linspace(0, 3, 50)[None])[0]
    [rank] = attention_values(store, "S1", SPACE, ABMIL, show="rank")
    # Whatever is shown, the least attention is of the attention.
    assert len(chosen_patches(rank, top=None, least=float(attention[40]))) == 10


def test_where_qupath_begins(store, tmp_path):
    values = column_values(store, "S1", GRID, "tissue")
    path = write_geojson(
        values, np.array([0]), tmp_path / "o.geojson", objects="annotation", origin=(100, 40)
    )
    [feature] = read(path)["features"]
    assert feature["geometry"]["coordinates"][0][0] == [-100, -40]
    assert feature["properties"]["objectType"] == "annotation"
