"""The stain shift: identity, direction, composition, refusal."""

import colorsys
import itertools

import numpy as np
import pytest

from slidelake.encoders import stain_shift
from slidelake.encoders.stain import DECONVOLUTION, STAINS
from slidelake.encoders.testing import tissue_like
from slidelake.errors import UsageError

EVERY = np.array(list(itertools.product(range(0, 256, 15), repeat=3)), np.uint8).reshape(18, -1, 3)


def test_no_shift_is_the_identity_for_every_colour() -> None:
    assert (stain_shift(EVERY) == EVERY).all()
    assert (stain_shift(EVERY, 1.0, 1.0, 360.0) == EVERY).all()


def test_input_stays_and_batches_give_what_images_give() -> None:
    patches = tissue_like(3, 40)
    before = patches.copy()
    shifted = stain_shift(patches, 0.8, 1.2, 5.0)
    assert (patches == before).all()
    assert shifted.dtype == np.uint8
    assert shifted.shape == patches.shape
    assert (shifted[1] == stain_shift(patches[1], 0.8, 1.2, 5.0)).all()


@pytest.mark.parametrize("stain", [0, 1])
def test_one_stain_is_multiplied_and_the_other_left(stain: int) -> None:
    # Paint of known amounts: densities well inside the range of a byte.
    amounts = np.zeros((1, 4, 3))
    amounts[0, :, 0] = (0.2, 0.4, 0.6, 0.3)
    amounts[0, :, 1] = (0.3, 0.2, 0.1, 0.5)
    paint = np.rint(256 * np.exp(-(amounts @ STAINS)) - 1).astype(np.uint8)
    factors = [1.0, 1.0]
    factors[stain] = 1.3
    shifted = stain_shift(paint, *factors)
    found = -np.log((shifted + 1.0) / 256.0) @ DECONVOLUTION
    expected = amounts.copy()
    expected[..., stain] *= 1.3
    # A byte step is up to 1 / 60 of density at these values; unmixing widens it.
    assert np.abs(found[..., :2] - expected[..., :2]).max() < 0.03


def test_hue_turns_as_hsv_does() -> None:
    colours = np.array([[[200, 100, 150], [90, 60, 140], [250, 240, 245], [128, 128, 128]]], np.uint8)
    turned = stain_shift(colours, hue=8.0)
    for before, after in zip(colours[0], turned[0], strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(before / 255.0))
        expected = np.array(colorsys.hsv_to_rgb((hue + 8.0 / 360.0) % 1.0, saturation, value)) * 255.0
        assert np.abs(after - expected).max() <= 0.51


def test_more_stain_is_darker_and_white_stays_white() -> None:
    patch = tissue_like(1, 64)[0]
    assert stain_shift(patch, 1.3, 1.3).mean() < patch.mean() < stain_shift(patch, 0.7, 0.7).mean()
    white = np.full((4, 4, 3), 255, np.uint8)
    assert (stain_shift(white, 1.3, 0.7, 8.0) == white).all()


@pytest.mark.parametrize(
    ("image", "shift"),
    [
        (np.zeros((4, 4, 3), np.float32), {}),
        (np.zeros((4, 4), np.uint8), {}),
        (np.zeros((4, 4, 4), np.uint8), {}),
        (EVERY, {"haematoxylin": -0.1}),
        (EVERY, {"eosin": float("nan")}),
        (EVERY, {"hue": float("inf")}),
    ],
)
def test_what_is_no_image_or_no_shift_is_refused(image: np.ndarray, shift: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        stain_shift(image, **shift)
