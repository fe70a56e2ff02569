"""Slides that are gone, moved, replaced or damaged: what is shown then, and what is said."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.ingest.slides import tissue_slide
from tests.services.api.lakes import SIDE, error, fill, served

TILE = "/api/slides/S1_files/10/1_1.jpeg"


@pytest.fixture
def place(tmp_path, archive):
    """A lake of one slide that a test may spoil."""
    lake = fill(tmp_path, slides=1, index=False)
    return lake, tmp_path / "slides" / "S1.tif"


def picture(answer):
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (Path.unlink, "not where it was"),
        (lambda path: path.rename(path.with_name("moved.tif")), "not where it was"),
        (lambda path: path.write_bytes(b"no slide at all"), "another file"),
        (lambda path: tissue_slide(path, seed=7, size=SIDE * 2), "another file"),
    ],
    ids=["gone", "moved", "overwritten", "replaced"],
)
def test_the_thumbnail_stands_in_and_that_is_said(place, spoil, said):
    lake, path = place
    with served(lake, fresh_for=0.0) as client:
        before = client.get(TILE)
        assert before.headers["x-slidelake-pixels"] == "slide"
        spoil(path)
        after = client.get(TILE, headers={"if-none-match": before.headers["etag"]})
        assert after.headers["x-slidelake-pixels"] == "thumbnail"
        assert picture(after).shape == picture(before).shape
        # The same place: tissue stays tissue in the mean.
        assert np.abs(picture(after).mean((0, 1)) - picture(before).mean((0, 1))).max() < 12
        slide = client.get("/api/slides/S1").json()
        assert slide["pixels"] == "thumbnail"
        assert said in slide["pixels_note"]
        assert client.get("/api/slides").json()["slides"][0]["pixels"] == "thumbnail"
        patch = client.get("/api/slides/S1/patch.jpeg?x=256&y=256")
        assert patch.headers["x-slidelake-pixels"] == "thumbnail"
        assert picture(patch).shape == (256, 256, 3)


def test_a_slide_that_comes_back_is_shown_again(place):
    lake, path = place
    with served(lake, fresh_for=0.0) as client:
        away = path.with_name("away.tif")
        path.rename(away)
        assert client.get(TILE).headers["x-slidelake-pixels"] == "thumbnail"
        away.rename(path)
        assert client.get(TILE).headers["x-slidelake-pixels"] == "slide"


def test_a_damaged_slide_of_the_right_size_costs_itself_only(place, tmp_path):
    lake, path = place
    size = path.stat().st_size
    path.write_bytes(b"\0" * size)
    with served(lake, fresh_for=0.0) as client:
        answer = client.get(TILE)
        assert answer.headers["x-slidelake-pixels"] == "thumbnail"
        # It may be whole again a moment later: no one keeps this.
        assert answer.headers["cache-control"] == "no-store"
        assert "etag" not in answer.headers
        assert client.app.state.context.pool.open == 0


def test_without_slide_and_thumbnail_it_is_said(place):
    lake, path = place
    path.unlink()
    shutil.rmtree(tmp := Path(lake.store.url) / "slides" / "S1" / "overview")
    assert not tmp.exists()
    for commit in (Path(lake.store.url) / "commits").rglob("*~overview~*.json"):
        commit.unlink()
    with served(lake, fresh_for=0.0) as client:
        slide = client.get("/api/slides/S1").json()
        assert slide["pixels"] == "none"
        assert "no thumbnail" in slide["pixels_note"]
        assert slide["deep_zoom"] is None
        for path_ in (
            TILE,
            "/api/slides/S1.dzi",
            "/api/slides/S1/thumbnail.jpeg",
            "/api/slides/S1/patch.jpeg?x=0&y=0",
        ):
            answer = client.get(path_)
            assert answer.status_code == 404
            assert error(answer)["slide"] == "S1"


def test_a_thumbnail_that_cannot_be_read_is_the_stores_trouble(place):
    lake, path = place
    path.unlink()
    for file in (Path(lake.store.url) / "slides" / "S1" / "overview").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    with served(lake) as client:
        answer = client.get(TILE)
        assert answer.status_code == 503
        assert error(answer)["kind"] == "DamagedStoreError"


def test_a_damaged_slide_does_not_cost_the_others_their_places(tmp_path):
    lake = fill(tmp_path, slides=2, index=False)
    (commit,) = (Path(lake.store.url) / "commits").rglob("S1/*~grid~*.json")
    body = json.loads(commit.read_text())
    body["arrays"] = {}
    commit.write_text(json.dumps(body))
    with served(lake) as client:
        first, second = client.get("/api/slides").json()["slides"]
        assert (first["slide_id"], first["pixels"]) == ("S1", "none")
        assert (second["slide_id"], second["pixels"]) == ("S2", "slide")
        answer = client.get("/api/slides/S1")
        assert answer.status_code == 503
        assert error(answer)["remedy"] == "Run slidelake verify."


def test_memory_stays_flat_over_many_tiles(lake):
    with served(lake, open_slides=2, cache_bytes=200_000, thumbnail_bytes=10_000) as client:
        context = client.app.state.context
        tiles = [
            f"{level}/{c}_{r}"
            for level, side in ((10, 5), (9, 3), (8, 2))
            for c in range(side)
            for r in range(side)
        ]
        for slide in ("S1", "S2", "S3"):
            for tile in tiles:
                assert client.get(f"/api/slides/{slide}_files/{tile}.jpeg").status_code in (200, 404)
                assert context.pictures.bytes <= 200_000
                assert context.pool.open <= 2
        assert context.pictures.bytes > 100_000
        assert context.thumbnails.bytes <= 10_000
