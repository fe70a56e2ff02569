"""The protocol that every benchmark follows, and the sets that encoders are measured on."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import patch_sets
from benchmarks.harness import Benchmark, interleaved, parse_arguments


def test_sides_are_run_in_turns_after_one_warm_round() -> None:
    order: list[str] = []
    seconds = interleaved({"ours": lambda: order.append("o"), "theirs": lambda: order.append("t")}, rounds=3)
    assert "".join(order) == "ot" * 4
    assert {name: len(values) for name, values in seconds.items()} == {"ours": 3, "theirs": 3}


def test_last_line_is_the_json_that_the_file_holds_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark = Benchmark("trial", quick=True)
    benchmark.record("ratio", [3.0, 1.0, 2.0])
    benchmark.record("alone", 0.5, shown="a word")
    benchmark.record("unknown", float("nan"))
    benchmark.note("said to people")
    assert benchmark.finish(out=tmp_path / "folder" / "trial.json") == 0
    lines = capsys.readouterr().out.splitlines()
    result = json.loads(lines[-1])
    assert result == json.loads((tmp_path / "folder" / "trial.json").read_text())
    assert result["benchmark"] == "trial"
    assert result["quick"] is True
    assert result["figures"] == {"ratio": 2.0, "alone": 0.5, "unknown": None}
    assert result["ranges"] == {"ratio": [1.0, 3.0]}
    assert {"cores", "cpu", "gpu"} == set(result["machine"])
    assert "numpy" in result["versions"]
    assert result["date"].startswith("20")
    assert "said to people" in lines
    assert any("a word" in line for line in lines)


def test_a_key_stands_once_and_has_values() -> None:
    benchmark = Benchmark("trial", quick=False)
    benchmark.record("a", 1.0)
    for key, values in (("a", [2.0]), ("b", [])):
        with pytest.raises(ValueError, match="figure"):
            benchmark.record(key, values)


def test_arguments(tmp_path: Path) -> None:
    assert parse_arguments("words", []).out is None
    given = parse_arguments("words", ["--quick", "--out", str(tmp_path / "x.json")])
    assert given.quick
    assert given.out == tmp_path / "x.json"


def test_laboratories_are_the_eight_ends_of_the_range() -> None:
    assert len(set(patch_sets.LABORATORIES)) == 8
    for inside in patch_sets.shifts_inside(50, seed=1):
        for value, low, high in zip(inside, (0.7, 0.7, -8.0), (1.3, 1.3, 8.0), strict=True):
            assert low <= value <= high
    assert patch_sets.shifts_inside(3, 1) == patch_sets.shifts_inside(3, 1)


def test_each_image_is_shifted_by_its_own() -> None:
    images = [np.full((4, 4, 3), 150, np.uint8)] * 2
    same, darker = patch_sets.shift_all(images, [(1.0, 1.0, 0.0), (1.3, 1.3, 0.0)])
    assert (same == 150).all()
    assert darker.mean() < 150


def test_atlas_patches_follow_the_labels(tmp_path: Path) -> None:
    atlas = patch_sets.atlas_patches(tmp_path / "atlas", slides=2, seed=1, size=(2048, 2048), patients=2)
    assert len(atlas.images) == len(atlas.labels) == len(atlas.groups) > 20
    assert {image.shape for image in atlas.images} == {(256, 256, 3)}
    assert len(set(atlas.groups)) == 2
    assert len(set(atlas.labels)) > 4


@pytest.mark.parametrize("folder", [patch_sets.shared_data()] if patch_sets.shared_data() else [])
def test_shared_sets_are_whole(folder: Path) -> None:
    sets = {patches.name: patches for patches in patch_sets.real_sets()}
    assert {name: len(patches.images) for name, patches in sets.items()} == {
        "kather2016": 24,
        "lc25000_lung": 120,
        "idc": 480,
    }
    assert len(set(sets["idc"].groups)) == 24
    assert set(sets["lc25000_lung"].groups) == {""}
