"""Each measure on planes small enough to count by hand."""

import math

import numpy as np
import pytest

from slidelake.encoders.stain import STAINS
from slidelake.encoders.texture_colour import SOFT, coarse_joint, soft_histograms
from slidelake.encoders.texture_measures import (
    CHORDS,
    EDGES,
    SHAPES,
    THRESHOLDS,
    chords,
    correlation,
    edges,
    shapes,
)
from slidelake.encoders.texture_patterns import OVER, PATTERNS, UNIFORM, patterns, patterns_over
from slidelake.encoders.texture_planes import FULL, halve, stain_planes
from slidelake.encoders.texture_stains import (
    CODES,
    FINE,
    FINE_CENTRES,
    FINE_OF_STEP,
    STEPS,
    STEPS_PER_UNIT,
    stain_angles,
    unmix,
)


def test_unmix_finds_the_amounts_painted() -> None:
    amounts = np.zeros((1, 3, 3))
    amounts[0, :, :2] = [(0.5, 0.0), (0.2, 0.4), (0.0, 0.6)]
    paint = np.rint(256 * np.exp(-(amounts @ STAINS)) - 1).astype(np.uint8)
    steps, joint = unmix(paint, CODES, FINE_OF_STEP)
    assert np.abs(steps[:2, 0].T / STEPS_PER_UNIT - amounts[0, :, :2]).max() < 0.02
    density = -np.log((paint[0] + 1.0) / 256.0).mean(1)
    assert np.abs(steps[2, 0] / STEPS_PER_UNIT - density).max() < 0.01
    assert joint.sum() == 3


def test_fine_bins_hold_every_step_and_their_centres_rise() -> None:
    assert len(FINE_OF_STEP) == 2 * STEPS
    assert (np.diff(FINE_OF_STEP.astype(int)) >= 0).all()
    assert FINE_OF_STEP.max() == FINE - 1
    assert (np.diff(FINE_CENTRES) > 0).all()
    step = round(0.5 * STEPS_PER_UNIT)
    assert FINE_CENTRES[FINE_OF_STEP[step + STEPS]] == pytest.approx(0.5, abs=0.05)


def test_stain_angles_follow_the_patch_part_of_the_way() -> None:
    nothing = stain_angles(np.zeros((FINE, FINE), np.int64))
    assert np.degrees(nothing) == pytest.approx((12.5, 87.5))
    pinker, bluer = np.zeros((2, FINE, FINE), np.int64)
    pinker[FINE_OF_STEP[STEPS + 40], FINE_OF_STEP[STEPS + 160]] = 1000
    bluer[FINE_OF_STEP[STEPS + 160], FINE_OF_STEP[STEPS + 10]] = 1000
    assert sum(stain_angles(pinker)) < sum(nothing) < sum(stain_angles(bluer))
    low, high = stain_angles(pinker)
    assert high - low >= math.radians(75) - 1e-9


def test_planes_put_the_95th_percentile_at_full() -> None:
    generator = np.random.default_rng(0)
    steps = generator.integers(30, 200, (3, 64, 64)).astype(np.int16)
    planes, levels = stain_planes(steps.copy(), 0.0, math.pi / 2)
    for plane, step in zip(planes, steps, strict=True):
        high = np.sort(step.ravel())[math.ceil(0.95 * step.size) - 1]
        assert plane[step == high].tolist() == [FULL] * int((step == high).sum())
    assert levels[3, 0] == 1.0
    doubled, _ = stain_planes((steps * 2).astype(np.int16), 0.0, math.pi / 2)
    assert np.abs(doubled.astype(int) - planes).max() <= 1


def test_halve_is_the_rounded_mean_of_four() -> None:
    plane = np.array([[[0, 1, 9], [2, 3, 9], [9, 9, 9]]], np.uint8)
    assert halve(plane).tolist() == [[[2]]]


def test_shapes_of_one_square() -> None:
    plane = np.zeros((11, 11), np.uint8)
    plane[3:6, 3:7] = 100
    out = np.zeros(SHAPES)
    shapes(plane, out)
    # One part of 12 px, perimeter 14, no hole, above 32, 64 and 96; nothing from 128 on.
    for level in range(THRESHOLDS):
        there = level < 3
        assert out[level] ** 2 * 100 == pytest.approx(12 if there else 0)
        assert out[THRESHOLDS + level] ** 2 * 100 == pytest.approx(14 if there else 0)
        assert out[2 * THRESHOLDS + level] ** 2 * 100 == pytest.approx(1 if there else 0)


def test_shapes_count_a_hole_as_less_than_nothing() -> None:
    plane = np.zeros((11, 11), np.uint8)
    plane[2:7, 2:7] = 100
    plane[3:6:2, 3:6:2] = 0
    out = np.zeros(SHAPES)
    shapes(plane, out)
    # One part with four holes: Euler number -3, which keeps its sign.
    assert out[2 * THRESHOLDS] == pytest.approx(-math.sqrt(0.03))


def test_uniform_patterns() -> None:
    assert UNIFORM[0] == 0
    assert UNIFORM[0b00000111] == 3
    assert UNIFORM[0b11000001] == 3
    assert UNIFORM[0b01010101] == 9
    assert UNIFORM[255] == 8
    assert np.bincount(UNIFORM).tolist() == [1, 8, 8, 8, 8, 8, 8, 8, 1, 198]


def test_patterns_of_a_flat_plane_and_of_one_spot() -> None:
    out = np.zeros(PATTERNS)
    flat = np.full((5, 5), 90, np.uint8)
    patterns(flat, UNIFORM, out)
    assert out.tolist() == [1.0] + [0.0] * 9
    flat[2, 2] = 95
    patterns(flat, UNIFORM, out)
    # Eight pixels see one brighter neighbour, the spot sees none.
    assert (out**2 * 9) == pytest.approx([1, 8, 0, 0, 0, 0, 0, 0, 0, 0])
    flat[2, 2] = 93
    patterns(flat, UNIFORM, out)
    assert out[0] == 1.0


def test_patterns_over_tells_levels_apart() -> None:
    flat = np.full((5, 5), 90, np.uint8)
    under = np.array([[0, 0, 0, 0, 0]] * 2 + [[48, 48, 48, 48, 48]] + [[112] * 5] * 2, np.uint8)
    out = np.zeros(OVER)
    patterns_over(flat, under, UNIFORM, out)
    assert (out.reshape(3, PATTERNS)[:, 0] ** 2 * 9) == pytest.approx([3, 3, 3])


def test_edges_know_stripes_from_noise() -> None:
    stripes = np.tile((np.arange(66) % 8 < 4) * 100, (66, 1)).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 100, (66, 66)).astype(np.uint8)
    first, turned, other, flat = np.zeros((4, EDGES))
    edges(stripes, first)
    edges(np.ascontiguousarray(stripes.T), turned)
    edges(noise, other)
    edges(np.full((66, 66), 9, np.uint8), flat)
    assert first == pytest.approx(turned)
    assert first[2] > 0.95
    assert first[3] > 0.95
    assert other[2] < 0.4
    assert other[3] < 0.2
    assert flat[0] == pytest.approx(math.log(64))
    assert (first[4:] ** 2).sum() == pytest.approx(1)


def test_correlation_of_stripes() -> None:
    stripes = np.tile((np.arange(64) % 8 < 4) * 100, (64, 1)).astype(np.uint8)
    out = np.zeros(7)
    correlation(stripes, np.array([1, 2, 4, 8]), out)
    assert out[:3] == pytest.approx([50.0, math.sqrt(2501), 0.0])
    # Along y a stripe is always like itself: (1 + r) / 2; in x it is the opposite at 4 and itself at 8.
    assert out[5] == pytest.approx(0.0, abs=0.01)
    assert out[6] == pytest.approx(1.0, abs=0.01)


def test_chords_by_hand() -> None:
    plane = np.full((8, 8), 200, np.uint8)
    plane[2, 1:4] = 0
    out = np.zeros(CHORDS)
    chords(plane, 40, out)
    # Across: one chord of 3 (third bin, up to 4); down: three chords of 1.
    assert (out**2 * 128) == pytest.approx([3, 0, 3, 0, 0, 0, 0])
    chords(np.zeros((8, 8), np.uint8), 40, out)
    assert (out**2 * 128) == pytest.approx([0, 0, 0, 128, 0, 0, 0])


def test_coarse_joint_by_hand() -> None:
    out = np.zeros(36)
    coarse_joint(np.array([[0, 36], [255, 71]], np.uint8), np.array([[0, 0], [255, 0]], np.uint8), out)
    assert (out**2 * 4).reshape(6, 6)[[0, 1, 5], [0, 0, 5]] == pytest.approx([1, 2, 1])


def test_soft_histograms_hold_each_pixel_once() -> None:
    joint = np.zeros((FINE, FINE), np.int64)
    joint[20, 30] = 7
    joint[2, 40] = 3
    levels = np.array([[0.8, 0.3], [0.6, 0.2], [0.7, 0.3], [1.0, 1.0], [0.2, 1.5]])
    out = np.zeros(SOFT)
    soft_histograms(joint, FINE_CENTRES, levels, out)
    assert (out**2).reshape(4, -1).sum(1) == pytest.approx(np.ones(4))
