"""Grids are part of the format: every number here is for ever (FORMAT, Grids)."""

import numpy as np
import pytest

from slidelake.errors import GridError, SlideTooSmallError, TooCoarseError
from slidelake.ingest import GridSpec
from slidelake.ingest.grid import GridPlan, plan_grid
from slidelake.ingest.mpp import Mpp


def plan(
    text: str,
    mpp: float | tuple[float, float],
    *,
    size: tuple[int, int] = (4000, 3000),
    downsamples: tuple[float, ...] = (1.0,),
) -> GridPlan:
    x, y = mpp if isinstance(mpp, tuple) else (mpp, mpp)
    return plan_grid(
        GridSpec.parse(text), size=size, downsamples=downsamples, mpp=Mpp(x, y, "properties"), slide="S"
    )


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("256px@0.5mpp", GridSpec()),
        ("256px-0.5mpp", GridSpec(256, 0.5)),
        (" 224px@.25mpp ", GridSpec(224, 0.25)),
        ("512px@1mpp", GridSpec(512, 1.0)),
        ("256px@0.5mpp-s128", GridSpec(256, 0.5, 128)),
        ("256px-0.5mpp-s128-min5", GridSpec(256, 0.5, 128, 0.05)),
        ("672px-level0", GridSpec(672, None)),
        ("672px@level0-s336", GridSpec(672, None, 336)),
    ],
)
def test_what_people_type(text, spec):
    assert GridSpec.parse(text) == spec


@pytest.mark.parametrize(
    "text",
    ["", "256", "256px", "px@0.5mpp", "256px@mpp", "256px@-0.5mpp", "256px@0.5mpp-s", "256px@0.5", "256px@0.5mpp,",
     "256px@5e-1mpp", "256px@0.5mpp-s0", "0px@0.5mpp", "256px@0mpp", "256px@5000mpp", "256px@0.5mpp-min101",
     "256px@0.5mpp-min5-s128", "١٢px@0.5mpp"],
)  # fmt: skip
def test_what_is_no_grid_is_refused_with_an_example(text):
    with pytest.raises(GridError) as caught:
        GridSpec.parse(text)
    assert caught.value.remedy


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_is_a_share(share):
    with pytest.raises(GridError):
        GridSpec(min_tissue=share)


@pytest.mark.parametrize("mpp", [0.0, -1.0, float("nan"), float("inf")])
def test_no_grid_at_an_mpp_that_cannot_be(mpp):
    with pytest.raises(GridError):
        GridSpec(mpp=mpp)


@pytest.mark.parametrize(
    ("spec", "rule", "grid_id"),
    [
        (GridSpec(), "otsu1", "256px-0.5mpp"),
        (GridSpec(256, 1.0), "otsu1", "256px-1mpp"),
        (GridSpec(256, 0.25), "otsu1", "256px-0.25mpp"),
        (GridSpec(224, 0.2525), "otsu1", "224px-0.2525mpp"),
        (GridSpec(256, 0.5, 256), "otsu1", "256px-0.5mpp"),
        (GridSpec(256, 0.5, 128), "otsu1", "256px-0.5mpp-s128"),
        (GridSpec(672, None), "otsu1", "672px-level0"),
        (GridSpec(672, None, 336), "otsu1", "672px-level0-s336"),
        (GridSpec(), "grey2", "256px-0.5mpp-tgrey2"),
        (GridSpec(256, 0.5, 128, 0.5), "grey2", "256px-0.5mpp-s128-tgrey2-min50"),
        (GridSpec(min_tissue=0.07), "otsu1", "256px-0.5mpp-min7"),
        (GridSpec(min_tissue=0.29), "otsu1", "256px-0.5mpp-min29"),
        (GridSpec(min_tissue=0.57), "otsu1", "256px-0.5mpp-min57"),
        (GridSpec(min_tissue=0.0), "otsu1", "256px-0.5mpp-min0"),
        (GridSpec(min_tissue=0.125), "otsu1", "256px-0.5mpp-min12.5"),
    ],
)
def test_ids(spec, rule, grid_id):
    assert spec.grid_id(rule, "otsu1") == grid_id


@pytest.mark.parametrize("percent", range(0, 101))
def test_an_id_is_read_back_as_the_same_grid(percent):
    spec = GridSpec(256, 0.5, 128, percent / 100)
    assert GridSpec.parse(spec.grid_id()) == spec


def test_0_4990_is_taken_as_it_is():
    laid = plan("256px@0.5mpp", 0.4990, size=(2220, 2967))
    assert (laid.native, laid.level, laid.footprint, laid.stride) == (True, 0, (256.0, 256.0), (256.0, 256.0))
    assert laid.effective_mpp == (0.4990, 0.4990)
    xs, ys = laid.cells()
    assert xs.tolist() == [256 * i for i in range(8)]
    assert ys.tolist() == [256 * i for i in range(11)]
    assert xs.dtype == np.int32
    assert laid.attributes()["resampling"] == "none"


def test_0_2525_from_level_0_by_area():
    laid = plan("256px@0.5mpp", 0.2525, size=(4562, 4563), downsamples=(1.0, 4.0))
    assert (laid.native, laid.level) == (False, 0)
    assert laid.footprint == (256 * 0.5 / 0.2525, 256 * 0.5 / 0.2525)
    assert laid.effective_mpp == (0.5, 0.5)
    xs, ys = laid.cells()
    # floor(i · 506.930693… + 0.5); the ninth cell ends at 4055 + 506.93 = 4561.93.
    golden = [0, 507, 1014, 1521, 2028, 2535, 3042, 3549, 4055]
    assert xs.tolist() == golden
    assert ys.tolist() == golden
    assert laid.attributes()["resampling"] == "area"


def test_0_2525_at_its_second_level_is_taken_as_it_is():
    laid = plan("256px@0.5mpp", 0.2525, downsamples=(1.0, 2.0))
    assert (laid.native, laid.level, laid.footprint) == (True, 1, (512.0, 512.0))
    assert laid.effective_mpp == (0.505, 0.505)


def test_0_265_is_not_0_25():
    laid = plan("256px@0.5mpp", 0.265, downsamples=(1.0, 2.0, 4.0))
    assert (laid.native, laid.level) == (False, 0)
    assert laid.footprint[0] == pytest.approx(483.018868, abs=1e-6)
    assert laid.cells()[0].tolist() == [0, 483, 966, 1449, 1932, 2415, 2898, 3381]
    with pytest.raises(TooCoarseError):
        plan("256px@0.25mpp", 0.265)


@pytest.mark.parametrize("mpp", [0.49, 0.51, 0.4901, 0.5099, 0.5])
def test_within_2_percent_counts_the_limits_in(mpp):
    assert plan("256px@0.5mpp", mpp).native


@pytest.mark.parametrize("mpp", [0.4899, 0.25, 0.3])
def test_beyond_2_percent_is_resampled(mpp):
    assert not plan("256px@0.5mpp", mpp).native


def test_the_coarsest_level_that_is_not_too_coarse():
    assert plan("64px@2mpp", 0.24, downsamples=(1.0, 4.0, 16.0)).level == 1
    assert plan("64px@0.9mpp", 0.24, downsamples=(1.0, 4.0, 16.0)).level == 0
    assert plan("64px@5mpp", 0.24, downsamples=(1.0, 4.0, 16.0)).level == 2


def test_a_native_level_counts_its_own_downsample():
    laid = plan("256px@1mpp", 0.25, size=(9000, 9000), downsamples=(1.0, 4.0023))
    assert laid.native
    assert laid.footprint == (256 * 4.0023, 256 * 4.0023)
    # floor(i · 1024.5888 + 0.5)
    assert laid.cells()[0].tolist() == [0, 1025, 2049, 3074, 4098, 5123, 6148, 7172]


def test_stride():
    laid = plan("256px@0.5mpp-s100", 0.25, size=(1000, 512))
    assert laid.stride == (200.0, 200.0)
    assert laid.cells()[0].tolist() == [0, 200, 400]  # 600 + 512 > 1000
    assert laid.cells()[1].tolist() == [0]


def test_pixels_that_are_not_square():
    laid = plan("256px@0.5mpp", (0.25, 0.2), size=(4000, 4000))
    assert laid.footprint == (512.0, 640.0)
    assert laid.stride == (512.0, 640.0)
    assert laid.cells()[0].tolist() == [512 * i for i in range(7)]
    assert laid.cells()[1].tolist() == [640 * i for i in range(6)]
    # One side within 2 %, the other not: resampled in both.
    assert not plan("256px@0.5mpp", (0.5, 0.45)).native
    with pytest.raises(TooCoarseError):
        plan("256px@0.5mpp", (0.52, 0.45))


def test_level_0_asks_for_no_mpp():
    laid = plan("300px-level0-s200", (0.25, 0.2), size=(1000, 700), downsamples=(1.0, 2.0))
    assert (laid.level, laid.footprint, laid.stride, laid.native) == (0, (300.0, 300.0), (200.0, 200.0), True)
    assert laid.effective_mpp == (0.25, 0.2)
    assert laid.cells()[0].tolist() == [0, 200, 400, 600]
    assert laid.cells()[1].tolist() == [0, 200, 400]


@pytest.mark.parametrize("width", range(1500, 1560))
def test_only_whole_cells_and_all_of_them(width):
    laid = plan("256px@0.5mpp", 0.2525, size=(width, 600))
    xs, footprint = laid.cells()[0], laid.footprint[0]
    assert (xs + footprint <= width + 1e-6).all()
    following = np.floor(len(xs) * footprint + 0.5)
    assert following + footprint > width


def test_a_slide_of_one_patch():
    assert [part.tolist() for part in plan("256px@0.5mpp", 0.5, size=(256, 256)).cells()] == [[0], [0]]


def test_a_slide_smaller_than_a_patch():
    with pytest.raises(SlideTooSmallError, match="255 × 600 px") as caught:
        plan("256px@0.5mpp", 0.5, size=(255, 600))
    assert (caught.value.reason, caught.value.slide) == ("too-small", "S")
    assert caught.value.remedy


def test_a_scan_that_is_too_coarse():
    with pytest.raises(TooCoarseError, match="scanned at 1 µm/px, coarser than the 0") as caught:
        plan("256px@0.5mpp", 1.0)
    assert "256px@1mpp" in caught.value.remedy
    assert caught.value.reason == "too-coarse"


@pytest.mark.parametrize("mpp", [0.5101, 1.0039, 2.4449])
def test_the_coarser_grid_that_is_proposed_is_one_that_fits(mpp):
    with pytest.raises(TooCoarseError) as caught:
        plan("256px@0.5mpp", mpp)
    proposed = caught.value.remedy.split("--grid ")[1].rstrip(".")
    assert plan(proposed, mpp).level == 0


def test_what_a_grid_says_of_itself():
    assert plan("256px@0.5mpp-s128", 0.25, size=(4000, 3000), downsamples=(1.0, 4.0)).attributes() == {
        "spec": {"patch_px": 256, "mpp": 0.5, "stride_px": 128, "min_tissue": 0.25},
        "footprint_level0": [512.0, 512.0],
        "stride_level0": [256.0, 256.0],
        "level": 0,
        "level_mpp": [0.25, 0.25],
        "effective_mpp": [0.5, 0.5],
        "native": False,
        "resampling": "area",
        "min_tissue": 0.25,
        "slide_size": [4000, 3000],
    }
