"""Tiles: Deep Zoom's arithmetic against OpenSlide's own, and the pixels against the slide's."""

import io
import math

import numpy as np
import openslide
import pytest
from openslide.deepzoom import DeepZoomGenerator
from PIL import Image

from slidelake.services.api.deep_zoom import OVERLAP, TILE_SIZE, DeepZoom, from_picture, from_slide
from slidelake.services.api.jpeg import jpeg
from tests.services.api.lakes import error


def pixels(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/jpeg"
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))


def coded(picture):
    """The picture with the loss that sending it brings."""
    return np.asarray(Image.open(io.BytesIO(jpeg(picture))).convert("RGB"))


class Blank:
    """A slide of any size without pixels, for OpenSlide's arithmetic."""

    def __init__(self, size, downsamples):
        self.level_dimensions = tuple((max(1, size[0] // d), max(1, size[1] // d)) for d in downsamples)
        self.level_downsamples = tuple(float(d) for d in downsamples)
        self.dimensions, self.level_count, self.properties = size, len(downsamples), {}

    def get_best_level_for_downsample(self, downsample):
        return max(i for i, d in enumerate(self.level_downsamples) if d <= max(1, downsample))


@pytest.mark.parametrize(
    "size", [(1024, 1024), (3001, 2047), (254, 254), (255, 1), (1, 1), (100_003, 53_117)]
)
def test_levels_and_tiles_are_openslides(size):
    theirs = DeepZoomGenerator(Blank(size, (1, 4)), TILE_SIZE, OVERLAP, limit_bounds=False)
    ours = DeepZoom(*size)
    assert ours.max_level == theirs.level_count - 1
    for level, (columns, rows) in enumerate(theirs.level_tiles):
        for column, row in {(0, 0), (columns - 1, rows - 1), (columns // 2, rows // 2)}:
            place = ours.place(level, column, row)
            assert (place.width, place.height) == theirs.get_tile_dimensions(level, (column, row))
            assert (place.left, place.top) == (max(0, column * 254 - 1), max(0, row * 254 - 1))
        for beyond in ((columns, 0), (0, rows), (-1, 0)):
            with pytest.raises(LookupError):
                ours.place(level, *beyond)
    with pytest.raises(LookupError):
        ours.place(theirs.level_count, 0, 0)


@pytest.mark.parametrize(
    ("level", "column", "row"),
    [(10, 0, 0), (10, 2, 3), (10, 4, 4), (9, 1, 0), (8, 0, 0), (5, 0, 0), (0, 0, 0)],
)
def test_a_tile_has_the_slides_pixels(client, archive, level, column, row):
    shown = pixels(client.get(f"/api/slides/S1_files/{level}/{column}_{row}.jpeg"))
    with openslide.OpenSlide(archive / "slides" / "S1.tif") as slide:
        theirs = DeepZoomGenerator(slide, TILE_SIZE, OVERLAP, limit_bounds=False)
        wanted = np.asarray(theirs.get_tile(level, (column, row)).convert("RGB"))
    assert shown.shape == wanted.shape
    if level == 10:
        assert np.array_equal(shown, coded(wanted))
    # Coarser levels are scaled by another filter: the same picture, not the same bits.
    assert np.abs(shown.mean((0, 1)) - wanted.mean((0, 1))).max() < 6


def test_the_document_is_what_viewers_expect(client):
    answer = client.get("/api/slides/S1.dzi")
    assert answer.headers["content-type"] == "application/xml"
    assert 'TileSize="254"' in answer.text
    assert 'Overlap="1"' in answer.text
    assert '<Size Width="1024" Height="1024"/>' in answer.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("10/5_0", 404),
        ("10/0_5", 404),
        ("11/0_0", 404),
        ("64/0_0", 404),
        ("65/0_0", 422),
        ("-1/0_0", 404),
        ("10/-1_0", 404),
        ("10/NaN_0", 404),
        ("10/1.5_0", 404),
        (f"10/{'9' * 400}_0", 422),
        (f"{'9' * 5000}/0_0", 400),
        ("10/0_0_0", 404),
        ("10/0", 404),
    ],
)
def test_a_tile_that_there_is_not(client, path, status):
    answer = client.get(f"/api/slides/S1_files/{path}.jpeg")
    assert answer.status_code == status
    assert len(error(answer)["problem"]) < 1000


def test_a_tile_that_the_browser_has_is_not_sent_again(client):
    first = client.get("/api/slides/S1_files/9/0_0.jpeg")
    assert first.headers["cache-control"].startswith("private")
    again = client.get("/api/slides/S1_files/9/0_0.jpeg", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    weak = f'"other", W/{first.headers["etag"]}'
    assert client.get("/api/slides/S1_files/9/0_0.jpeg", headers={"if-none-match": weak}).status_code == 304
    other = client.get("/api/slides/S1_files/9/1_0.jpeg", headers={"if-none-match": first.headers["etag"]})
    assert other.status_code == 200
    assert other.headers["etag"] != first.headers["etag"]


class Reader:
    """A slide in memory: level 0 and one of a quarter of it."""

    uri = "memory"
    level_downsamples = (1.0, 4.0)

    def __init__(self, picture):
        self.levels = (picture, picture[::4, ::4])
        self.level_dimensions = tuple((each.shape[1], each.shape[0]) for each in self.levels)
        self.asked = []

    def read_region(self, x, y, level, width, height):
        self.asked.append((level, width, height))
        step = round(self.level_downsamples[level])
        return self.levels[level][y // step : y // step + height, x // step : x // step + width]


def ramps(width, height):
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * x / width, 255 * y / height, np.full(x.shape, 90)], -1).astype(np.uint8)


@pytest.mark.parametrize("size", [(1000, 700), (1021, 333), (257, 511)])
def test_every_tile_of_every_level_shows_its_own_place(size):
    reader, zoom = Reader(ramps(*size)), DeepZoom(*size)
    for level in range(zoom.max_level + 1):
        scale = 2 ** (zoom.max_level - level)
        columns, rows = (math.ceil(math.ceil(side / scale) / TILE_SIZE) for side in size)
        for column in range(columns):
            for row in range(rows):
                place = zoom.place(level, column, row)
                tile = from_slide(reader, place.box, place.width, place.height)
                assert tile.shape == (place.height, place.width, 3)
                cx, cy = place.left + place.width / 2, place.top + place.height / 2
                middle = tile[place.height // 2, place.width // 2]
                within = min(cx * scale, size[0] - 1), min(cy * scale, size[1] - 1)
                assert abs(int(middle[0]) - 255 * within[0] / size[0]) <= 2 + 300 * scale / size[0]
                assert abs(int(middle[1]) - 255 * within[1] / size[1]) <= 2 + 300 * scale / size[1]
    # The coarse level is read wherever it is fine enough.
    assert {level for level, *_ in reader.asked} == {0, 1}


def test_a_region_too_large_to_read_is_refused():
    reader = Reader(np.zeros((1, 1, 3), np.uint8))
    reader.level_dimensions, reader.level_downsamples = ((100_000, 100_000),), (1.0,)
    with pytest.raises(Exception, match="would be read"):
        from_slide(reader, (0, 0, 100_000, 100_000), 254, 254)
    assert not reader.asked


def test_a_thumbnail_answers_for_any_box():
    picture = ramps(200, 100)
    size = (2000, 1000)
    whole = from_picture(picture, size, (0, 0, 2000, 1000), 200, 100)
    assert np.array_equal(whole, picture)
    small = from_picture(picture, size, (0, 0, 2000, 1000), 20, 10)
    assert np.abs(small[:, :, 0].mean(0) - 255 * (np.arange(20) + 0.5) / 20).max() < 3
    large = from_picture(picture, size, (1000, 500, 1100, 600), 256, 256)
    assert np.abs(large[128, 128].astype(int) - (255 * 1050 / 2000, 255 * 550 / 1000, 90)).max() < 4
    beyond = from_picture(picture, size, (-500, -500, 500, 500), 100, 100)
    assert (beyond[:45] == 255).all()
    assert (beyond[:, :45] == 255).all()
    assert (beyond[60, 60] != 255).any()
