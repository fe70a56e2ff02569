"""`slidelake ingest --compression`: of a new lake, for ever."""

import json
from pathlib import Path

import numpy as np
import pytest

import slidelake
from tests.end_to_end.conftest import Run


@pytest.mark.long
def test_a_compressed_lake(slides: Path, filled: Path, tmp_path: Path, run: Run) -> None:
    lake = tmp_path / "lake"
    slide = sorted(slides.glob("*.svs"))[0]
    first = run("ingest", slide, "--store", lake, "--compression", "zstd")
    assert first.exit_code == 0, first.output
    assert json.loads((lake / "slidelake.json").read_text())["compression"] == "zstd"
    assert run("verify", "--deep", "--store", lake).exit_code == 0
    # What is packed and what is not hold the same numbers.
    bag, plain = (slidelake.open(each).bag(slide.stem) for each in (lake, filled))
    np.testing.assert_array_equal(bag.features, plain.features)
    assert bag.commit.arrays["features"] == plain.commit.arrays["features"]
    assert bag.mapped() is None

    again = run("ingest", slide, "--store", lake)
    assert again.exit_code == 0
    assert "nothing to do" in again.stdout
    other = run("ingest", slide, "--store", lake, "--compression", "blosc")
    assert other.exit_code == 2
    assert "made with compression zstd, not blosc" in other.stderr.replace("\n", " ")
    unknown = run("ingest", slide, "--store", tmp_path / "other", "--compression", "rar")
    assert unknown.exit_code == 2
    assert "none, zstd, blosc, pcodec" in unknown.stderr.replace("\n", " ")
    assert not (tmp_path / "other").exists()
