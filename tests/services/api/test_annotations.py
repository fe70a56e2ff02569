"""Annotations over HTTP: two tabs, QuPath's forms, hostile bodies, scopes; and the commands that do the same."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from slidelake.services.api.tokens import Tokens
from slidelake.services.cli.app import app
from slidelake.services.lake import Lake
from tests.index.lakes import make_lake
from tests.services.api.lakes import error, served

URL = "/api/slides/S1/annotations"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(make_lake(tmp_path / "lake", slides=2))


@pytest.fixture
def asked(lake: Lake) -> Iterator[TestClient]:
    with served(lake) as client:
        yield client


def drawn(name: str = "front", x: float = 0) -> dict[str, Any]:
    ring = [[x, 0], [x + 90, 0], [x + 90, 90], [x, 0]]
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "id": "0a7b4f3e-58f1-4e7e-9c11-2f7f2b3c4d5e",
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": {"objectType": "annotation", "name": name},
            }
        ],
    }


def test_written_and_read(asked: TestClient) -> None:
    empty = asked.get(URL)
    assert empty.json() == {"type": "FeatureCollection", "features": []}
    assert "etag" not in empty.headers
    made = asked.put(URL, json=drawn())
    assert made.status_code == 200, made.text
    assert (made.json()["features"], made.json()["notes"]) == (1, [])
    back = asked.get(URL)
    assert back.json() == drawn()
    assert back.headers["content-type"] == "application/geo+json"
    assert back.headers["x-content-type-options"] == "nosniff"
    assert back.headers["etag"] == made.headers["etag"]
    assert asked.get(URL, headers={"if-none-match": back.headers["etag"]}).status_code == 304
    assert asked.get(URL, params={"name": "other"}).json()["features"] == []


def test_two_tabs_do_not_overwrite_each_other(asked: TestClient) -> None:
    asked.put(URL, json=drawn())
    tag = asked.get(URL).headers["etag"]
    first = asked.put(URL, json=drawn("first tab"), headers={"if-match": tag})
    assert first.status_code == 200
    second = asked.put(URL, json=drawn("second tab"), headers={"if-match": tag})
    assert second.status_code == 412
    assert "changed by someone else" in error(second)["problem"]
    assert asked.delete(URL, headers={"if-match": tag}).status_code == 412
    blind = asked.put(URL, json=drawn("blind"))
    assert blind.status_code == 412
    assert "If-Match" in error(blind)["remedy"]
    assert asked.get(URL).json() == drawn("first tab")
    assert asked.put(URL, json=drawn("forced"), headers={"if-match": "*"}).status_code == 200
    tag = asked.get(URL).headers["etag"]
    assert asked.delete(URL, headers={"if-match": tag}).status_code == 204
    assert asked.get(URL).json()["features"] == []
    assert asked.put(URL, json=drawn("late"), headers={"if-match": tag}).status_code == 412


def test_sets_have_names(asked: TestClient) -> None:
    assert asked.put(URL, params={"name": "qc"}, json=drawn("a")).status_code == 200
    assert asked.put(URL, json=drawn("b")).status_code == 200
    assert asked.get(URL, params={"name": "qc"}).json() == drawn("a")
    for name in ("../x", "a/b", ""):
        assert asked.put(URL, params={"name": name}, json=drawn()).status_code == 400
    assert asked.get(URL, params={"name": "x" * 65}).status_code == 422


def test_qupath_counts_from_its_own_origin(asked: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a MIRAX slide, whose tissue begins at level-0 (1000, 500)."""
    monkeypatch.setattr(
        "slidelake.services.gallery.pixels.Pixels.properties",
        lambda self, slide: {"openslide.bounds-x": "1000", "openslide.bounds-y": "500"},
    )
    made = asked.put(URL, params={"form": "qupath"}, json=drawn())
    assert any("level-0 1000, 500" in note for note in made.json()["notes"])
    ring = asked.get(URL).json()["features"][0]["geometry"]["coordinates"][0]
    assert ring[0] == [1000, 500]
    back = asked.get(URL, params={"form": "qupath"})
    assert back.json() == drawn()
    assert "1000, 500" in back.headers["x-slidelake-note"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[" * 300_000,
        b'[{"type": "Feature", "geometry": {"type": "Point", "coordinates": [NaN, 0]}}]',
        b'{"type": "FeatureCollection", "features": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        json.dumps({"type": "FeatureCollection", "features": [7]}).encode(),
        b"\xff\xfe\x00",
        b"<svg onload=alert(1)>",
    ],
)
def test_hostile_bodies_are_refused(asked: TestClient, lake: Lake, body: bytes) -> None:
    answer = asked.put(URL, content=body, headers={"content-type": "application/geo+json"})
    assert answer.status_code == 400, answer.text
    assert error(answer)["kind"] == "AnnotationError"
    assert lake.store.objects.list("annotations") == []


def test_a_body_over_the_limit(lake: Lake) -> None:
    with served(lake, max_body=10_000) as client:
        assert error(client.put(URL, json=drawn("x" * 20_000)))["kind"] == "TooLargeError"
        many = {"type": "Feature", "geometry": {"type": "LineString", "coordinates": [[0, 0]] * 5000}}
        assert client.put(URL, json=[many]).status_code == 413


def test_too_many_corners_are_refused(asked: TestClient) -> None:
    line = b'{"type": "Feature", "geometry": {"type": "LineString", "coordinates": [' + b"[0,0]," * 1_500_000
    answer = asked.put(URL, content=b"[" + line + b"[1,1]]}}]")
    assert answer.status_code == 400
    assert "500,000 corners" in error(answer)["problem"]


def test_names_are_text_whatever_they_say(asked: TestClient) -> None:
    name = "<img src=x onerror=alert(1)>"
    assert asked.put(URL, json=drawn(name)).status_code == 200
    back = asked.get(URL)
    assert back.json()["features"][0]["properties"]["name"] == name
    assert "html" not in back.headers["content-type"]


@pytest.mark.parametrize("slide", ["S9", "..%2FS1", "%2e%2e", "S1%00"])
def test_slides_that_are_none(asked: TestClient, slide: str) -> None:
    for answer in (
        asked.get(f"/api/slides/{slide}/annotations"),
        asked.put(f"/api/slides/{slide}/annotations", json=drawn()),
        asked.delete(f"/api/slides/{slide}/annotations"),
    ):
        assert answer.status_code in (400, 404), answer.text


def test_readers_may_not_write(lake: Lake, tmp_path: Path) -> None:
    from slidelake.services.api.tokens import new_token

    token = new_token("reader", "read", tmp_path / "tokens")
    with served(
        lake, Tokens.of(None, tmp_path / "tokens"), headers={"authorization": f"Bearer {token}"}
    ) as client:
        assert client.get(URL).status_code == 200
        assert client.put(URL, json=drawn()).status_code == 403
        assert client.delete(URL).status_code == 403


def test_they_go_with_their_slide(asked: TestClient, lake: Lake) -> None:
    asked.put(URL, json=drawn())
    assert asked.delete("/api/slides/S1", params={"confirm": "S1"}).status_code == 200
    assert asked.get(URL).status_code == 404
    assert asked.put(URL, json=drawn()).status_code == 404
    assert lake.store.objects.list("annotations") == []


def test_the_commands(lake: Lake, tmp_path: Path) -> None:
    def run(*words: str, code: int = 0) -> dict[str, Any]:
        done = CliRunner().invoke(app, ["annotations", *words, "--json", "--store", str(lake.store.url)])
        assert done.exit_code == code, done.output
        return dict(json.loads(done.stdout))

    file = tmp_path / "S1.geojson"
    file.write_text(json.dumps(drawn()), encoding="utf-8")
    assert run("import", "S1", str(file))["features"] == 1
    assert "--replace" in run("import", "S1", str(file), code=2)["error"]["remedy"]
    assert run("import", "S1", str(file), "--replace")["features"] == 1
    assert [(each["name"], each["features"]) for each in run("list", "S1")["sets"]] == [("default", 1)]
    run("export", "S1", "--out", str(tmp_path / "out" / "back.geojson"))
    assert json.loads((tmp_path / "out" / "back.geojson").read_text()) == drawn()
    run("export", "S0", code=2)
    file.write_text("{", encoding="utf-8")
    run("import", "S0", str(file), code=2)
    run("import", "S0", str(tmp_path / "nothing"), code=2)
