"""`slidelake representatives`, as it is typed; its table and its pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from slidelake.services.cli.app import app
from slidelake.services.lake import open as open_lake
from slidelake.services.representatives_map import draw_map
from slidelake.services.representatives_sheet import ARM_COLOURS
from tests.index.representatives.colour_words import COLOURS, MIXED, new_store, put_coloured, put_report


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("picks")
    store = new_store(folder)
    put_coloured(store, "S1", MIXED, thumbnail=True)
    put_coloured(store, "S2", MIXED, patient="P2")
    put_coloured(store, "S3", [], features=np.empty((0, 12), np.float32))
    put_report(store, "Nests of purple cells with necrosis.")
    return folder / "lake"


def run(lake: Path, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["representatives", *words, "--store", str(lake)])
    return result.exit_code, " ".join(result.output.split())


def run_json(lake: Path, *words: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(app, ["representatives", *words, "--store", str(lake), "--json"])
    return result.exit_code, json.loads(result.stdout)


def test_a_slides_picks_with_table_and_pictures(lake: Path, tmp_path: Path) -> None:
    code, said = run_json(lake, "S1", "--count", "18", "--near", "1", "--out", str(tmp_path / "out"))
    assert code == said["exit_code"] == 0
    [slide] = said["slides"]
    assert slide["counts"] == {"report": 3, "attributes": 3, "clusters": 12}
    lines = (tmp_path / "out" / "representatives.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert [each["row"] for each in records] == [pick["row"] for pick in slide["picks"]]
    assert {MIXED[each["row"]] for each in records if each["arm"] == "report"} == {"purple"}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "S1.map.png", "S1.representatives.png", "representatives.jsonl",
    ]  # fmt: skip
    sheet = np.asarray(Image.open(slide["files"]["sheet"]))
    for arm, colour in ARM_COLOURS.items():
        framed = (sheet == colour).all(axis=2).sum()
        # A frame is two lines of 114 px on each side.
        assert framed >= slide["counts"][arm] * 4 * 112


def test_the_map_outlines_the_picks_and_nothing_else(lake: Path, tmp_path: Path) -> None:
    store = open_lake(lake).store
    picked = open_lake(lake).representatives("S1", count=12, near=1.0, spread=2)
    image = np.asarray(Image.open(draw_map(picked, store, tmp_path / "map.png"))).astype(int)
    # The thumbnail of 120 × 200 px is drawn five times as large, 24 px from the left and the top.
    side = 100
    outlined = {}
    for row in range(60):
        x, y = 24 + row % 6 * side, 24 + row // 6 * side
        edge = image[y, x + side // 2]
        middle = image[y + side // 2, x + side // 2]
        assert np.abs(middle - COLOURS[MIXED[row]]).max() <= 2
        outlined[row] = [arm for arm, colour in ARM_COLOURS.items() if (edge == colour).all()]
    assert {row: arms[0] for row, arms in outlined.items() if arms} == {
        pick.row: pick.arm for pick in picked.reasons
    }


def test_a_slide_without_thumbnail_or_pixels_is_drawn_all_the_same(lake: Path, tmp_path: Path) -> None:
    code, said = run_json(lake, "S2", "--count", "6", "--out", str(tmp_path))
    assert code == 0
    assert all(Path(path).stat().st_size for path in said["slides"][0]["files"].values())


def test_all_slides_and_those_that_fail(lake: Path, tmp_path: Path) -> None:
    code, said = run_json(lake, "--count", "6", "--out", str(tmp_path), "--no-pictures")
    assert code == 3
    assert [each["slide_id"] for each in said["slides"]] == ["S1", "S2"]
    assert [(each["slide_id"], each["problem"]) for each in said["failed"]] == [("S3", "the bag is empty")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["representatives.jsonl"]
    code, shown = run(lake, "S1", "S2", "--count", "6", "--near", "1")
    assert code == 0
    assert "S1: 6 of 60 patches (1 by report, 1 by attributes, 4 by clusters)" in shown


def test_texts_and_bounds_of_ones_own(lake: Path) -> None:
    words = ["S1", "--count", "24", "--near", "1", "--prompt", "blue cells", "--report-text", "yellow mucin"]
    _, said = run_json(lake, *words, "--keep", "blur<=100")
    by_arm = {pick["arm"]: MIXED[pick["row"]] for pick in said["slides"][0]["picks"]}
    assert (by_arm["report"], by_arm["attributes"]) == ("yellow", "blue")
    assert said["slides"][0]["options"]["quality"] == ["blur<=100"]
    _, said = run_json(lake, "S1", "--count", "24", "--no-texts", "--keep", "none")
    assert said["slides"][0]["counts"].keys() == {"clusters"}
    assert said["slides"][0]["options"]["quality"] == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["S9"], "no such slide"),
        (["S1", "--count", "0"], "0 patches cannot be picked"),
        (["S1", "--space", "uni"], "there is no space uni"),
        (["S1", "--keep", "blurry"], "is no bound of quality"),
        (["S1", "--origin", "granite"], "no attribute prompts"),
        (["S1", "--no-texts", "--prompt", "nuclei"], "texts were given, and left out"),
        (["S1", "--prompt", ""], "a text of the selection is empty"),
        (["S1", "--out", __file__], "is a file"),
    ],
)
def test_what_cannot_be_asked_is_usage(lake: Path, words: list[str], why: str) -> None:
    code, shown = run(lake, *words)
    assert code == 2
    assert why in shown


def test_a_grid_that_does_not_say_how_large_a_patch_is(tmp_path: Path) -> None:
    put_coloured(new_store(tmp_path), "S1", MIXED, footprint=False, columns={})
    code, said = run_json(tmp_path / "lake", "S1", "--count", "6", "--out", str(tmp_path / "out"))
    assert code == 0
    table = (tmp_path / "out" / "representatives.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["width"] for line in table} == {None}
    notes = said["slides"][0]["notes"]
    assert "the grid has no column tissue, blur, pen: patches were not judged by it" in notes


def test_a_slide_that_has_nothing_to_pick_from(lake: Path) -> None:
    code, shown = run(lake, "S3")
    assert code == 1
    assert "S3: the bag is empty" in shown


def test_the_facade(lake: Path) -> None:
    opened = open_lake(lake)
    picked = opened.representatives("S1", count=9)
    assert [each.slide_id for each in opened.representatives_of(["S2", "S1"], count=9)] == ["S2", "S1"]
    assert len(picked.to_frame()) == len(picked)
