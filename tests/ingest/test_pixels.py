"""Pixels against OpenSlide's own, and against an exact average in float64."""

import cv2
import numpy as np
import openslide
import pytest
import tifffile

from slidelake.ingest import GridSpec, area_average, open_slide, read_patch
from slidelake.ingest.grid import plan_grid
from slidelake.ingest.mpp import Mpp
from tests.ingest.slides import tissue, write_slide


def weights(start: float, step: float, count: int, size: int) -> np.ndarray:
    """(count, size) float64: the share of each source pixel in each cell."""
    low = np.clip(start + np.arange(count) * step, 0, size)[:, None]
    high = np.clip(start + (np.arange(count) + 1) * step, 0, size)[:, None]
    edges = np.arange(size, dtype=np.float64)[None, :]
    covered = np.clip(np.minimum(high, edges + 1) - np.maximum(low, edges), 0, None)
    return covered / covered.sum(axis=1, keepdims=True)


def reference(source, x0, y0, step_x, step_y, rows, columns) -> np.ndarray:
    """(rows, columns, 3) float64 by two matrix products."""
    across = weights(x0, step_x, columns, source.shape[1])
    down = weights(y0, step_y, rows, source.shape[0])
    return np.einsum("ih,hwc,jw->ijc", down, source.astype(np.float64), across, optimize=True)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("length", [512, 507, 506.930693, 257, 256.5, 1013, 256, 300.25, 1024])
@pytest.mark.parametrize("start", [(0.0, 0.0), (0.25, 0.6), (0.999, 0.001)])
def test_the_average_is_exact(length, start):
    side = int(np.ceil(length)) + 1
    source = noise(side, side)
    step = length / 256
    made = area_average(source, *start, step, step, (256, 256))
    assert made.dtype == np.uint8
    assert np.abs(made - reference(source, *start, step, step, 256, 256)).max() <= 0.51


def test_sides_of_their_own():
    source = noise(700, 520)
    made = area_average(source, 0.3, 0.1, 507.3 / 224, 690.1 / 224, (224, 224))
    assert np.abs(made - reference(source, 0.3, 0.1, 507.3 / 224, 690.1 / 224, 224, 224)).max() <= 0.51


def test_two_by_two_is_the_mean_of_four():
    source = noise(8, 8)
    mean = source.reshape(4, 2, 4, 2, 3).mean(axis=(1, 3))
    assert np.array_equal(area_average(source, 0, 0, 2, 2, (4, 4)), np.floor(mean + 0.5).astype(np.uint8))


def test_one_to_one_changes_nothing():
    source = noise(64, 48)
    assert np.array_equal(area_average(source, 0, 0, 1, 1, (64, 48)), source)


@pytest.mark.parametrize("grey", [0, 1, 127, 254, 255])
def test_what_is_even_stays_even(grey):
    source = np.full((508, 508, 3), grey, np.uint8)
    made = area_average(source, 0.37, 0.91, 507 / 256, 507 / 256, (256, 256))
    assert (made == grey).all()


def test_cells_beyond_the_source_average_what_is_there():
    source = noise(10, 10)
    made = area_average(source, 0, 0, 2.5, 2.5, (5, 5))
    assert np.abs(made[:4, :4] - reference(source, 0, 0, 2.5, 2.5, 4, 4)).max() <= 0.51
    assert made.shape == (5, 5, 3)  # and no memory beyond it was read


def test_views_and_read_only_arrays():
    source = noise(60, 60)
    source.setflags(write=False)
    view = source[::2, ::2]
    assert np.array_equal(
        area_average(view, 0, 0, 3, 3, (10, 10)), area_average(view.copy(), 0, 0, 3, 3, (10, 10))
    )


def attributes_of(slide, text: str, mpp: float) -> tuple[dict, np.ndarray, np.ndarray]:
    plan = plan_grid(
        GridSpec.parse(text),
        size=slide.dimensions,
        downsamples=slide.level_downsamples,
        mpp=Mpp(mpp, mpp, "properties"),
        slide="S",
    )
    return plan.attributes(), *plan.cells()


def test_native_pixels_are_openslides_own(tmp_path):
    path = write_slide(tmp_path / "a.tif", tissue(900, 700), mpp=0.499)
    with open_slide(str(path)) as slide, openslide.OpenSlide(path) as own:
        grid, xs, ys = attributes_of(slide, "256px@0.5mpp", 0.499)
        assert (len(xs), len(ys)) == (3, 2)
        for x in xs.tolist():
            for y in ys.tolist():
                expected = np.asarray(own.read_region((x, y), 0, (256, 256)))[..., :3]
                assert np.array_equal(read_patch(slide, grid, x, y), expected)


def test_native_pixels_of_a_coarser_level_are_that_levels_own(tmp_path):
    """No pixel is interpolated: the level's array itself, cut."""
    picture = tissue(1024, 1536)
    path = write_slide(tmp_path / "a.tif", picture, mpp=0.25, compression="deflate", levels=(2,))
    level = tifffile.imread(path, key=1)
    with open_slide(str(path)) as slide:
        grid, xs, ys = attributes_of(slide, "100px@0.5mpp-s77", 0.25)
        assert grid["level"] == 1
        assert (xs[1], ys[1]) == (154, 154)
        for i, x in enumerate(xs.tolist()):
            for j, y in enumerate(ys.tolist()):
                expected = level[77 * j : 77 * j + 100, 77 * i : 77 * i + 100]
                assert np.array_equal(read_patch(slide, grid, x, y), expected)


def test_native_pixels_of_a_level_whose_downsample_is_no_whole_number(tmp_path):
    """OpenSlide takes whole level-0 pixels only and interpolates what is left: within FORMAT's tolerance."""
    soft = cv2.GaussianBlur(tissue(1023, 1021), (0, 0), 4)
    path = write_slide(tmp_path / "a.tif", soft, mpp=0.25, compression="deflate", levels=(4,))
    level = tifffile.imread(path, key=1).astype(int)
    with open_slide(str(path)) as slide:
        assert slide.level_downsamples[1] != 4
        grid, xs, ys = attributes_of(slide, "64px@1mpp", 0.25)
        assert grid["native"]
        for i, x in enumerate(xs.tolist()):
            for j, y in enumerate(ys.tolist()):
                expected = level[64 * j : 64 * j + 64, 64 * i : 64 * i + 64]
                assert np.abs(read_patch(slide, grid, x, y) - expected).mean() <= 2


@pytest.mark.parametrize(
    ("text", "mpp", "level"), [("256px@0.5mpp", 0.2525, 0), ("64px@2mpp", 0.23, 1), ("100px@0.5mpp", 0.31, 0)]
)
def test_resampled_pixels_against_the_reference(tmp_path, text, mpp, level):
    path = write_slide(tmp_path / "a.tif", tissue(1536, 1280), mpp=mpp, compression="deflate", levels=(4,))
    pixels = tifffile.imread(path, key=level)
    with open_slide(str(path)) as slide:
        grid, xs, ys = attributes_of(slide, text, mpp)
        assert (grid["level"], grid["resampling"]) == (level, "area")
        assert len(xs) * len(ys) > 3
        down = slide.level_downsamples[level]
        px = grid["spec"]["patch_px"]
        fx, fy = (side / down for side in grid["footprint_level0"])
        for x in xs[::4].tolist():
            for y in ys[1::3].tolist():
                expected = reference(pixels, x / down, y / down, fx / px, fy / px, px, px)
                assert np.abs(read_patch(slide, grid, x, y) - expected).max() <= 1


def test_the_last_cell_ends_with_the_slide(tmp_path):
    """A footprint that ends at the edge to the last digit reads no white beyond it."""
    picture = np.full((1521, 1521, 3), 90, np.uint8)
    path = write_slide(tmp_path / "a.tif", picture, mpp=0.2525, compression="deflate")
    with open_slide(str(path)) as slide:
        grid, xs, ys = attributes_of(slide, "256px@0.5mpp", 0.2525)
        assert xs[-1] + grid["footprint_level0"][0] > 1520
        assert (read_patch(slide, grid, int(xs[-1]), int(ys[-1])) == 90).all()
