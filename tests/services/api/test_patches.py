"""Patches as pictures, and where they lie."""

import io

import numpy as np
import pytest
from PIL import Image

from slidelake.ingest import open_slide, read_patch
from slidelake.services.api.jpeg import jpeg
from tests.services.api.lakes import PATCHES, SPACE, error


def test_the_patch_is_what_its_encoder_saw(client, archive, lake):
    answer = client.get("/api/slides/S1/patch.jpeg", params={"x": 256, "y": 512})
    assert answer.headers["x-slidelake-pixels"] == "slide"
    shown = np.asarray(Image.open(io.BytesIO(answer.content)))
    with open_slide(str(archive / "slides" / "S1.tif")) as reader:
        seen = read_patch(reader, lake.store.grid("S1", SPACE).attributes, 256, 512)
    # The same pixels: what is lost is what JPEG loses.
    assert np.array_equal(shown, np.asarray(Image.open(io.BytesIO(jpeg(seen)))))


def test_a_patch_in_another_size(client):
    answer = client.get("/api/slides/S1/patch.jpeg", params={"x": 0, "y": 0, "size": 64, "space": SPACE})
    assert Image.open(io.BytesIO(answer.content)).size == (64, 64)
    again = client.get(
        "/api/slides/S1/patch.jpeg?x=0&y=0&size=64", headers={"if-none-match": answer.headers["etag"]}
    )
    assert again.status_code == 304


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"x": 5000, "y": 0}, 400),
        ({"x": -256, "y": 0}, 400),
        ({"x": 2**40, "y": 0}, 422),
        ({"x": "NaN", "y": 0}, 422),
        ({"x": 1.5, "y": 0}, 422),
        ({"y": 0}, 422),
        ({"x": 0, "y": 0, "size": 8}, 422),
        ({"x": 0, "y": 0, "size": 100_000}, 422),
        ({"x": 0, "y": 0, "space": "nowhere"}, 404),
        ({"x": 0, "y": 0, "space": "../../etc"}, 404),
        ({"x": 0, "y": 0, "space": "\x00"}, 404),
    ],
)
def test_a_patch_that_there_is_not(client, asked, status):
    answer = client.get("/api/slides/S1/patch.jpeg", params=asked)
    assert answer.status_code == status
    error(answer)


@pytest.mark.parametrize("space", [None, SPACE, "stain-texture"])
def test_coords_are_the_grids(client, lake, space):
    answer = client.get("/api/slides/S3/coords", params={"space": space} if space else {})
    assert answer.headers["x-slidelake-rows"] == str(PATCHES)
    assert answer.headers["x-slidelake-footprint"] == "256,256"
    places = np.frombuffer(answer.content, "<i4").reshape(-1, 2)
    assert np.array_equal(places, lake.store.grid("S3", SPACE).coords)
    again = client.get("/api/slides/S3/coords", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304
