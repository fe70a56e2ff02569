"""`slidelake attention` and `slidelake heatmap` on the command line."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from slidelake.services.attention_source import pooled_counts
from slidelake.services.cli.app import app
from slidelake.services.lake import open as open_lake
from tests.services.heatmap.lakes import ABMIL, SPACE, lattice, new_store, put, put_scores

EVEN = "abmil.00000000"


def run(*arguments: object) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    return result.exit_code, json.loads(result.stdout)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight slides of 60 patches with attention that looks somewhere, and with such that does not; one of 4 patches."""
    folder = tmp_path_factory.mktemp("attention")
    store = new_store(folder)
    generator = np.random.default_rng(0)
    for n in range(8):
        coords = lattice((2560, 1536), 256, 256)
        put(store, f"S{n}", coords, size=(2560, 1536), footprint=256.0)
        put_scores(store, f"S{n}", 2 * generator.normal(size=(2, 60)))
        put_scores(store, f"S{n}", 0.1 * generator.normal(size=(2, 60)), EVEN)
    put(store, "small", lattice((512, 512), 256, 256), size=(512, 512), footprint=256.0)
    put_scores(store, "small", np.zeros((2, 4)))
    store.put_pooled("S0", SPACE, "mean.0123abcd", embedding=np.ones((1, 3)), provenance={})
    return folder / "lake"


def test_health_and_its_files(lake: Path, tmp_path: Path) -> None:
    words = ("attention", "--aggregator", ABMIL, "--store", lake)
    code, said = run(*words, "--out", tmp_path / "new" / "report")
    assert (code, said["ok"], said["alarm"], said["alarms"]) == (0, True, False, [])
    assert said["name"] == f"{ABMIL} in {SPACE}"
    assert [each["slide_id"] for each in said["excluded"]] == ["small"]
    assert len(said["slides"]) == 8
    assert said["agreement"][0]["slides"] == 8
    with Path(said["files"]["csv"]).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    first = said["slides"][0]["branches"][1]
    assert rows[1]["slide_id"] == "S0"
    assert float(rows[1]["gini"]) == first["gini"]
    assert float(rows[1]["effective_share"]) == first["effective"] / 60
    with Image.open(said["files"]["png"]) as picture:
        assert picture.width == 1180
        assert len(picture.getcolors(1 << 20) or []) > 20
    code, said = run(*words, "--out", tmp_path)
    assert (code, said["error"]["problem"]) == (2, f"{tmp_path} is a folder")
    text = CliRunner().invoke(app, [*map(str, words)])
    assert text.exit_code == 0
    assert "left out: small: 4 valid rows of 4" in " ".join(text.stdout.split())
    assert "no alarm" in text.stdout


def test_an_alarm_in_words_and_as_exit_code(lake: Path) -> None:
    words = ("attention", "--aggregator", EVEN, "--store", lake)
    code, said = run(*words)
    assert (code, said["alarm"]) == (0, True)
    assert [(each["kind"], each["branches"]) for each in said["alarms"]] == [
        ("near-uniform", [0]),
        ("near-uniform", [1]),
    ]
    code, said = run(*words, "--fail-on-alarm")
    assert (code, said["ok"], said["alarm"]) == (1, False, True)
    text = CliRunner().invoke(app, [*map(str, words)])
    assert "alarm: branch 0 is nearly uniform on 100% of 8 slides" in " ".join(text.stdout.split())
    code, said = run(*words, "--uniform", 1, "--redundant", 1, "--fail-on-alarm")
    assert (code, said["alarm"]) == (0, False)


def test_what_has_no_attention(lake: Path) -> None:
    code, said = run("attention", "--aggregator", "mean", "--store", lake)
    assert (code, "keeps no attention" in said["error"]["problem"]) == (2, True)
    code, said = run("attention", "--aggregator", "abmil", "--store", lake)
    assert code == 2
    assert EVEN in said["error"]["remedy"]
    code, said = run("attention", "--aggregator", ABMIL, "--min-rows", 100, "--store", lake)
    assert (code, said["slides"], len(said["excluded"])) == (4, [], 9)


def test_damaged_scores_are_named(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    for slide_id in ("a", "b"):
        put(store, slide_id, lattice((2560, 1536), 256, 256), size=(2560, 1536), footprint=256.0)
        put_scores(store, slide_id, np.random.default_rng(0).normal(size=(1, 60)))
    commit = store.pooled("a", SPACE, ABMIL).commit
    (tmp_path / "lake" / commit.attempt / "scores" / "c" / "0" / "0").unlink()
    code, said = run("attention", "--aggregator", ABMIL, "--store", tmp_path / "lake")
    assert code == 0
    assert [each["slide_id"] for each in said["excluded"]] == ["a"]
    assert "is gone" in said["excluded"][0]["reason"]


def test_heatmaps_of_several_slides(lake: Path, tmp_path: Path) -> None:
    options = (
        "--show",
        "score",
        "--branch",
        1,
        "--top",
        5,
        "--patches",
        2,
        "--out",
        tmp_path,
        "--store",
        lake,
    )
    code, said = run("heatmap", "S1", "S2", "--aggregator", ABMIL, *options)
    assert code == 0
    assert [each["slide_id"] for each in said["heatmaps"]] == ["S1", "S2"]
    assert said["heatmaps"][0]["objects"] == 5
    files = [path.name for path in tmp_path.iterdir()]
    assert len(files) == 10
    assert f"S2.{ABMIL}.score.branch1.geojson" in files
    code, said = run("heatmap", "S1", "--store", lake)
    assert (code, "shows one thing" in said["error"]["problem"]) == (2, True)
    code, said = run("heatmap", "S1", "--aggregator", ABMIL, "--out", tmp_path / files[0], "--store", lake)
    assert (code, "is a file" in said["error"]["problem"]) == (2, True)
    code, said = run("heatmap", "nobody", "--aggregator", ABMIL, "--store", lake)
    assert code == 2


def test_the_facade(lake: Path, tmp_path: Path) -> None:
    opened = open_lake(lake)
    report = opened.attention_health(EVEN, min_rows=2)
    assert {alarm.kind for alarm in report.alarms} == {"near-uniform"}
    np.save(tmp_path / "v.npy", np.arange(60.0))
    [made] = opened.heatmap("S3", values=tmp_path / "v.npy", out=tmp_path / "maps", opacity=0.7)
    assert (made.least, made.most, made.shown) == (0, 59, 60)
    assert [tuple(each) for each in pooled_counts(opened.store)] == [
        (SPACE, EVEN, 8, 9),
        (SPACE, ABMIL, 9, 9),
        (SPACE, "mean.0123abcd", 1, 9),
    ]
