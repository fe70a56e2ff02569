"""`slidelake mil-test`: a table for people, one object for programs, a table and a picture as files."""

import csv
import json
from pathlib import Path

from PIL import Image
from typer.testing import CliRunner, Result

from slidelake.services.cli.app import app


def run(*words: object) -> Result:
    few = ["mil-test", "--encoder", "mean", "--seeds", "1", "--bags", "100"]
    return CliRunner().invoke(app, [*few, *map(str, words)], catch_exceptions=False)


def test_a_table_and_what_it_means(tmp_path: Path) -> None:
    result = run("--out", tmp_path / "new" / "table.csv", "--out", tmp_path / "table.png")
    assert result.exit_code == 0, result.output
    told = " ".join(result.stdout.split())
    assert (
        "single-concept: positive where at least one row is of the concept mean took a row that marks" in told
    )
    assert "testing: 3 of 3 trainings" in result.stderr
    with (tmp_path / "new" / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["outcome"] for row in rows] == ["shortcut"] * 3
    assert all(float(row["test_auc"]) < 0.5 < float(row["train_auc"]) for row in rows)
    with Image.open(tmp_path / "table.png") as picture:
        assert picture.width > 600


def test_one_object() -> None:
    result = run("--encoder", "mean", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["ok"], told["exit_code"], told["seeds"], told["files"]) == (True, 0, 1, [])
    assert [row["test"] for row in told["results"]] == ["single-concept", "multi-concept", "false-frequency"]


def test_what_is_refused(tmp_path: Path) -> None:
    for words, message in (
        (("--out", "table.pdf"), ".csv or .png"),
        (("--encoder", "abmi"), "there is no slide encoder"),
        (("--seeds", "0"), "--seeds"),
    ):
        result = run(*words)
        assert result.exit_code == 2
        assert message in " ".join(result.stderr.split())
