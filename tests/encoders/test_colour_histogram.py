"""The baseline, by hand."""

import numpy as np
import pytest

from slidelake.encoders import create_encoder
from slidelake.encoders.testing import PatchEncoderTests, tissue_like


class TestColourHistogram(PatchEncoderTests):
    name = "colour-histogram"
    sides = (50, 224)


def test_shares_by_hand() -> None:
    patch = np.zeros((1, 32, 32, 3), np.uint8)
    patch[0, :8] = (255, 0, 43)
    rows = create_encoder("colour-histogram").encode(patch)
    expected = np.zeros(216, np.float32)
    expected[0] = np.sqrt(0.75)
    # 255 * 6 // 256 = 5, 0, 43 * 6 // 256 = 1
    expected[5 * 36 + 1] = np.sqrt(0.25)
    assert rows[0] == pytest.approx(expected)


def test_rows_have_length_one() -> None:
    rows = create_encoder("colour-histogram").encode(tissue_like(4, 48))
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(4), abs=1e-6)
