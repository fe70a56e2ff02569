"""The slides are what OpenSlide takes for Aperio's, whole to the last pixel, at every level."""

from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from numpy.typing import NDArray

from slidelake.ingest.synthetic import synthesise
from slidelake.ingest.synthetic.render import encode_tile, shrink

SIZES = [(1024, 1024), (1500, 1100), (2051, 1283)]


@pytest.fixture(scope="module", params=SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def slide_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesise(tmp_path_factory.mktemp("slide"), slides=1, seed=4, size=request.param).slides[0]


def whole(slide: openslide.OpenSlide, level: int) -> NDArray[np.uint8]:
    return np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]).convert("RGB"))


def test_openslide_reads_an_aperio_slide_with_its_scale(slide_path: Path) -> None:
    with openslide.OpenSlide(slide_path) as slide:
        assert slide.properties["openslide.vendor"] == "aperio"
        assert float(slide.properties["openslide.mpp-x"]) == 0.499
        assert float(slide.properties["openslide.mpp-y"]) == 0.499
        assert slide.properties["openslide.objective-power"] == "20"
        assert slide.properties["tiff.ImageDescription"].startswith("Aperio Image Library")
        width, height = slide.dimensions
        assert (width, height) in SIZES
        assert slide.level_dimensions == tuple((width // f, height // f) for f in (1, 4, 16))
        assert list(slide.associated_images) == ["thumbnail"]


def test_coarse_levels_show_the_same_picture(slide_path: Path) -> None:
    with openslide.OpenSlide(slide_path) as slide:
        fine = whole(slide, 0)
        for level, factor, most in ((1, 4, 3.0), (2, 16, 5.0)):
            expected = shrink(fine, factor).astype(int)
            pixels = whole(slide, level).astype(int)
            assert pixels.shape == expected.shape
            # What JPEG costs, more where one pixel is a whole nucleus; no more at the padded rim.
            for part in (np.s_[:, :], np.s_[-8:, :], np.s_[:, -8:]):
                assert np.abs(pixels - expected)[part].mean() < most
            shifted = np.abs(pixels[:, 1:] - expected[:, :-1]).mean()
            assert shifted > 1.5 * np.abs(pixels - expected).mean()
        thumbnail = np.asarray(slide.associated_images["thumbnail"].convert("RGB"))
        factor = slide.dimensions[0] // thumbnail.shape[1]
        assert np.abs(thumbnail.astype(int) - shrink(fine, factor)).mean() < 5.0


def test_pages_are_tiled_jpeg_as_aperio_writes_them(slide_path: Path) -> None:
    with tifffile.TiffFile(slide_path) as tif:
        assert [page.is_tiled for page in tif.pages] == [True, False, True, True]
        for page in (tif.pages[0], tif.pages[2], tif.pages[3]):
            assert (page.compression.name, page.photometric.name) == ("JPEG", "YCBCR")
            assert page.tile[:2] == (256, 256)
        assert "AppMag = 20|MPP = 0.4990" in tif.pages[0].description


def test_tissue_lies_on_clear_glass(slide_path: Path) -> None:
    with openslide.OpenSlide(slide_path) as slide:
        pixels = whole(slide, 1).astype(int)
    coloured = pixels.max(axis=2) - pixels.min(axis=2) > 25
    assert 0.15 < coloured.mean() < 0.85
    corner = pixels[-6:, -6:]
    assert corner.min() > 215


def test_tile_at_the_edge_is_padded_with_its_last_pixels() -> None:
    import imagecodecs

    tile = np.zeros((100, 40, 3), np.uint8)
    tile[:, -1] = tile[-1, :] = 200
    decoded = imagecodecs.jpeg8_decode(encode_tile(tile))
    assert decoded.shape == (256, 256, 3)
    assert abs(int(decoded[200, 200, 0]) - 200) < 4


def test_shrink_rounds_the_mean_and_drops_what_is_not_whole() -> None:
    pixels = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)
    small = shrink(pixels, 2)
    assert small.shape == (2, 3, 3)
    expected = np.floor(pixels[:4].reshape(2, 2, 3, 2, 3).mean(axis=(1, 3)) + 0.5)
    np.testing.assert_array_equal(small, expected)
