"""Blur: 0 sharp … 255 blurred."""

import cv2
import numpy as np
import pytest

from slidelake.ingest.quality import blur
from tests.ingest.slides import tissue


def test_blurring_more_never_looks_sharper():
    patch = tissue(256, 256, seed=3, glass=0)
    measured = [blur(patch)]
    measured += [blur(cv2.GaussianBlur(patch, (0, 0), sigma)) for sigma in (0.5, 1, 2, 4, 8, 16)]
    assert measured == sorted(measured)
    assert measured[0] < 30
    assert measured[4] > 200


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_without_structure_is_blurred(grey):
    assert blur(np.full((256, 256, 3), grey, np.uint8)) == 255


def test_a_checkerboard_is_sharp():
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert blur(np.repeat(board[..., None], 3, axis=2)) == 0


def test_parts_of_a_larger_picture_need_no_copy():
    picture = tissue(512, 512, seed=1, glass=0)
    assert blur(picture[100:356, 37:293]) == blur(picture[100:356, 37:293].copy())
