"""Values to pixels: exact places, overlaps averaged, and nothing where no patch is."""

import numpy as np
import pytest

from slidelake.services.heatmap.raster import coarse_raster, thumbnail_raster
from slidelake.services.heatmap.values import PatchValues
from tests.services.heatmap.lakes import lattice


def patches(coords, values, size, footprint, stride=None, *, values_nan=None):
    footprint = (footprint, footprint)
    return PatchValues(
        "S1", "256px-0.5mpp", np.asarray(coords, np.int32), np.asarray(values, np.float64), footprint,
        (stride, stride) if stride else footprint, size, "value", "value",
    )  # fmt: skip


@pytest.mark.parametrize("footprint", [512.0, 506.9, 128.0, 40.3])
def test_one_pixel_a_patch_whatever_the_footprint(footprint):
    size = (5000, 3100)
    coords = lattice(size, footprint, footprint)
    columns = len(np.unique(coords[:, 0]))
    values = np.random.default_rng(0).normal(size=len(coords))
    raster = coarse_raster(patches(coords, values, size, footprint))
    rows = len(coords) // columns
    np.testing.assert_array_equal(raster.values[:rows, :columns], values.reshape(rows, columns))
    # What lies beyond the last whole cell, at the right and at the foot, has no patch.
    assert np.isnan(raster.values[rows:]).all()
    assert np.isnan(raster.values[:, columns:]).all()
    assert raster.values.shape == (int(np.ceil(3100 / footprint)), int(np.ceil(5000 / footprint)))
    # Each pixel is where it says: the corner of its patch.
    row, column = np.divmod(np.arange(len(coords)), columns)
    at = np.stack([raster.origin[0] + column * raster.step[0], raster.origin[1] + row * raster.step[1]], 1)
    assert np.abs(at - coords).max() <= 0.5


def test_patches_of_another_lattice_keep_apart():
    """Imported grids begin anywhere, half a step off too: no two of their patches share a pixel."""
    coords = np.array([[128 + 256 * i, 64 + 256 * j] for j in range(5) for i in range(7)])
    raster = coarse_raster(patches(coords, np.arange(35), (2000, 1500), 256.0))
    seen = raster.values[np.isfinite(raster.values)]
    np.testing.assert_array_equal(seen, np.arange(35))


def test_gaps_stay_gaps():
    coords = lattice((1000, 1000), 200, 100)
    raster = coarse_raster(patches(coords, np.ones(len(coords)), (1000, 1000), 100.0, 200.0))
    assert raster.values.shape == (5, 5)
    assert (raster.values == 1).all()
    fine = thumbnail_raster(patches(coords, np.ones(len(coords)), (1000, 1000), 100.0, 200.0), 100, 100)
    assert np.isfinite(fine).mean() == 0.25


def test_overlapping_patches_are_averaged():
    size = (1024, 768)
    coords = lattice(size, 128, 256)
    values = np.random.default_rng(1).random(len(coords))
    raster = coarse_raster(patches(coords, values, size, 256.0, 128.0))
    for i in range(6):
        for j in range(8):
            centre = np.array([j * 128 + 64, i * 128 + 64])
            over = ((coords <= centre) & (centre < coords + 256)).all(1)
            assert raster.values[i, j] == pytest.approx(values[over].mean(), rel=1e-9)


@pytest.mark.parametrize(
    ("footprint", "stride"), [(512.0, 512.0), (506.9, 506.9), (300.0, 150.0), (91.7, 91.7)]
)
@pytest.mark.parametrize("thumbnail", [(313, 207), (64, 42), (450, 298)])
def test_a_pixel_has_the_mean_of_the_patches_its_centre_is_in(footprint, stride, thumbnail):
    """The rule itself, patch by patch: no difference arrays."""
    size = (6260, 4140)
    coords = lattice(size, stride, footprint)
    generator = np.random.default_rng(2)
    values = generator.normal(size=len(coords)) * 1e-6
    values[generator.random(len(coords)) < 0.2] = np.nan
    width, height = thumbnail
    found = thumbnail_raster(patches(coords, values, size, footprint, stride), width, height)
    centres = (np.arange(width) + 0.5) * size[0] / width, (np.arange(height) + 0.5) * size[1] / height
    total, number = np.zeros((height, width)), np.zeros((height, width))
    for (x, y), value in zip(coords, values, strict=True):
        if np.isfinite(value):
            inside = np.outer(
                (centres[1] >= y) & (centres[1] < y + footprint),
                (centres[0] >= x) & (centres[0] < x + footprint),
            )
            total[inside] += value
            number[inside] += 1
    np.testing.assert_array_equal(np.isnan(found), number == 0)
    seen = number > 0
    np.testing.assert_allclose(found[seen], total[seen] / number[seen], rtol=0, atol=1e-15)


def test_no_patch_and_one_value():
    empty = patches(np.zeros((0, 2)), [], (1000, 600), 100.0)
    assert np.isnan(coarse_raster(empty).values).all()
    assert np.isnan(thumbnail_raster(empty, 50, 30)).all()
    coords = lattice((1000, 600), 100, 100)
    even = patches(coords, np.full(len(coords), 0.25), (1000, 600), 100.0)
    assert (thumbnail_raster(even, 57, 33) == 0.25).all()
