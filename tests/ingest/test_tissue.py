"""Where the tissue is: on made pictures whose truth is known, and on synthetic slides."""

import csv

import cv2
import numpy as np
import pytest

from slidelake.ingest import GridSpec, open_slide, synthesise
from slidelake.ingest.grid import plan_grid
from slidelake.ingest.mpp import resolve_mpp
from slidelake.ingest.overview import lay_grid, make_overview
from slidelake.ingest.task import SlideTask
from slidelake.ingest.tissue import TissueMask, find_tissue, share_in_cells

SIDE = 300


def find(thumbnail: np.ndarray, mpp: float = 8.0) -> TissueMask:
    height, width = thumbnail.shape[:2]
    return find_tissue(thumbnail, mpp=mpp, slide_size=(width * 16, height * 16))


def glass(tint=(244, 242, 243), noise: int = 2, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    picture = np.full((SIDE, SIDE, 3), tint, np.int16) + rng.integers(-noise, noise + 1, (SIDE, SIDE, 1))
    return np.clip(picture, 0, 255).astype(np.uint8)


def with_tissue(picture: np.ndarray, where=(slice(50, 150), slice(60, 220))) -> np.ndarray:
    picture = picture.copy()
    rng = np.random.default_rng(1)
    shape = picture[where].shape
    picture[where] = np.clip(np.array((205, 140, 185)) + rng.integers(-25, 26, shape), 0, 255)
    return picture


@pytest.mark.parametrize("tint", [(255, 255, 255), (244, 242, 243), (226, 228, 236), (240, 236, 225)])
@pytest.mark.parametrize("noise", [0, 2, 4])
def test_a_blank_slide_has_none(tint, noise):
    mask = find(glass(tint, noise))
    assert not mask.tissue.any()
    assert not mask.pen.any()
    assert mask.background.all()


def test_tissue_and_nothing_else():
    mask = find(with_tissue(glass()))
    truth = np.zeros((SIDE, SIDE), bool)
    truth[50:150, 60:220] = True
    assert mask.tissue[truth].mean() > 0.98
    assert cv2.dilate(truth.astype(np.uint8), np.ones((9, 9)))[mask.tissue].all()
    assert not (mask.tissue & mask.background).any()
    assert mask.background[:40].all()


def test_pale_tissue_beside_dark_tissue():
    picture = with_tissue(glass())
    picture[150:240, 60:220] = (236, 214, 228)
    mask = find(picture)
    assert mask.tissue[165:235, 65:215].mean() > 0.95


def test_fat_belongs_to_the_tissue():
    """Membranes of a pixel around vacuoles of glass, grown together with stroma."""
    picture = with_tissue(glass(noise=1), (slice(50, 150), slice(20, 120)))
    for y in range(50, 150, 7):
        picture[y, 120:260] = (222, 190, 210)
    for x in range(120, 260, 7):
        picture[50:150, x] = (222, 190, 210)
    assert find(picture).tissue[60:140, 125:240].mean() > 0.9


@pytest.mark.parametrize("ink", [(40, 150, 70), (30, 60, 190), (20, 20, 22), (60, 190, 190)])
def test_pen_is_no_tissue(ink):
    picture = with_tissue(glass())
    cv2.line(picture, (20, 200), (280, 270), ink, 9)
    mask = find(picture)
    stroke = np.zeros((SIDE, SIDE), np.uint8)
    cv2.line(stroke, (20, 200), (280, 270), 1, 9)
    assert mask.pen[stroke > 0].mean() > 0.95
    assert not mask.tissue[stroke > 0].any()
    assert mask.tissue[60:140, 70:210].mean() > 0.98


def test_dust_is_no_tissue():
    picture = glass()
    picture[100:104, 100:104] = (205, 140, 185)
    assert not find(picture).tissue.any()


def test_a_small_hole_belongs_to_it_a_large_one_does_not():
    picture = with_tissue(glass(), (slice(20, 280), slice(20, 280)))
    picture[60:70, 60:70] = 243
    picture[120:240, 120:240] = 243
    mask = find(picture)
    assert mask.tissue[60:70, 60:70].all()
    assert not mask.tissue[140:220, 140:220].any()


def test_shares_are_counted_as_they_are():
    mask = np.zeros((8, 8), bool)
    mask[:4, :6] = True
    shares = share_in_cells(mask, np.array([0, 64]), np.array([0, 64]), (64.0, 64.0), (16.0, 16.0))
    assert shares.tolist() == [[1.0, 0.5], [0.0, 0.0]]


def test_a_cell_smaller_than_a_mask_pixel_takes_the_nearest():
    mask = np.eye(4, dtype=bool)
    places = np.arange(0, 64, 4)
    shares = share_in_cells(mask, places, places, (4.0, 4.0), (16.0, 16.0))
    assert set(np.unique(shares)) == {0.0, 1.0}
    assert shares[0, 0] == 1
    assert shares[0, -1] == 0


@pytest.fixture(scope="module")
def atlas(tmp_path_factory):
    return synthesise(tmp_path_factory.mktemp("atlas"), slides=1, seed=5, size=3072, threads=1)


def test_nearly_every_labelled_cell_of_a_synthetic_slide_is_kept(atlas):
    (path,) = atlas.slides
    with open_slide(str(path)) as slide:
        mpp = resolve_mpp(slide.properties, slide="S")
        plan = plan_grid(
            GridSpec(), size=slide.dimensions, downsamples=slide.level_downsamples, mpp=mpp, slide="S"
        )
        overview = make_overview(slide, mpp, SlideTask("S", str(path), "S", "slide", ""))
        coords, columns = lay_grid(plan, overview.mask, "S")
    with atlas.labels.open(encoding="utf-8") as file:
        labelled = {(int(row["x"]), int(row["y"])) for row in csv.DictReader(file) if not row["artefact"]}
    kept = {(int(x), int(y)) for x, y in coords}
    assert len(labelled) >= 10
    assert len(labelled & kept) >= 0.95 * len(labelled)
    assert len(kept) < len(plan.cells()[0]) * len(plan.cells()[1])
    # By y, then x.
    assert [tuple(row) for row in coords[:, ::-1]] == sorted(tuple(row) for row in coords[:, ::-1])
    assert set(columns) == {"tissue", "pen", "background"}
    assert all(column.dtype == np.uint8 and column.shape == (len(coords),) for column in columns.values())
    assert columns["tissue"].min() >= round(0.25 * 255)
    assert overview.attributes["mpp_source"] == "properties"
    assert max(overview.thumbnail.shape) <= 2048
