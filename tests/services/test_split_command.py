"""`slidelake split`: a file of splits, a table for people, one object for programs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from slidelake.services.cli.app import app
from slidelake.services.lake import Lake
from slidelake.store import FeatureStore
from slidelake.store.streaming import Splits
from slidelake.store.testing import add_slide

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Twelve slides of ten patients; six patients have grade low, four high."""
    store = FeatureStore.open(tmp_path_factory.mktemp("lake") / "lake", create=True)
    patients = [f"P{n}" for n in (0, 0, 1, 1, *range(2, 10))]
    for n, patient in enumerate(patients):
        add_slide(store, f"S{n:02d}", rows=n, patient_id=patient)
    store.metadata.merge(
        pd.DataFrame(
            {
                "slide_id": [f"S{n:02d}" for n in range(12)],
                "grade": ["low" if int(patient[1:]) < 6 else "high" for patient in patients],
                "months": range(12),
                "died": [0, 1] * 6,
            }
        )
    )
    return Lake(store)


@pytest.fixture
def run(lake: Lake, tmp_path: Path) -> Run:
    """Run `slidelake split` on the lake, with OUT.json in the test's folder."""

    def call(*arguments: Any) -> Result:
        words = ["split", str(tmp_path / "out.json"), "--store", lake.store.url, *map(str, arguments)]
        return CliRunner().invoke(app, words, catch_exceptions=False)

    return call


def test_a_table_for_people_and_a_file(run: Run, tmp_path: Path) -> None:
    result = run("--label", "grade", "--parts", "train=.5,test=.5")
    assert result.exit_code == 0, result.output
    table = [[word.strip() for word in line.split("│")[1:-1]] for line in result.stdout.splitlines()]
    # Class, patients: the first two patients have two slides each.
    assert [row[1:3] for row in table if len(row) == 5] == [
        ["high", "2"], ["low", "3"], ["all", "5"], ["high", "2"], ["low", "3"], ["all", "5"],
    ]  # fmt: skip
    splits = Splits.load(tmp_path / "out.json")
    assert len(splits.part(("train", "test"))) == 12
    assert splits.stratified == "grade"


def test_folds_as_one_object(run: Run, tmp_path: Path) -> None:
    result = run("--label", "grade", "--folds", "4", "--seed", "7", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["ok"], told["exit_code"], told["folds"], told["seed"]) == (True, 0, 4, 7)
    whole = [row for row in told["counts"] if row["class"] == "all"]
    assert sum(row["slides"] for row in whole) == 12
    assert sum(row["patches"] for row in whole) == sum(range(12))
    assert [row["patients"] for row in told["counts"] if row["class"] == "high"] == [1, 1, 1, 1]
    assert Splits.load(told["path"]).folds == 4


def test_a_file_that_is_there_is_kept_to_or_replaced_by_word(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert run("--seed", "1").exit_code == 0
    first = Splits.load(out)
    refused = run("--seed", "2")
    assert refused.exit_code == 2
    assert "--overwrite" in refused.stderr
    assert run("--keep", out, "--seed", "2").exit_code == 0
    assert Splits.load(out).buckets == first.buckets
    assert run("--overwrite", "--seed", "2").exit_code == 0
    assert Splits.load(out).buckets != first.buckets


def test_labels_from_a_file_numbers_and_survival(run: Run, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("case_id,stage\nP0,I\nP1,II\nP2,I\nP3,II\n")
    result = run("--labels", labels, "--label", "stage", "--parts", "a=.5,b=.5", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert [row["patients"] for row in told["counts"] if row["class"] == "I"] == [1, 1]
    assert "left out, having no label (6)" in told["notes"][0]
    assert run("--number", "months", "--overwrite").exit_code == 0
    assert run("--survival", "months,died", "--folds", "2", "--overwrite").exit_code == 0
    assert Splits.load(tmp_path / "out.json").stratified == "months, died"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--parts", "train"], "train=0.7"),
        (["--parts", "a=.5,a=.5"], "twice"),
        (["--parts", "a=.5,b=.6"], "whole"),
        (["--label", "grade", "--number", "months"], "more than one target"),
        (["--label", "grad"], "Did you mean grade"),
        (["--survival", "months"], "TIME,EVENT"),
        (["--labels", "x.csv"], "--label"),
        (["--label", "grade", "--folds", "5"], "fewer patients of high (4)"),
        (["--keep", "none.json"], "no file none.json"),
        (["--snapshot", "v9"], "v9"),
    ],
)
def test_what_is_refused(run: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "out.json").exists()


def test_an_empty_lake(tmp_path: Path) -> None:
    FeatureStore.open(tmp_path / "lake", create=True)
    words = ["split", str(tmp_path / "out.json"), "--store", str(tmp_path / "lake")]
    assert CliRunner().invoke(app, words).exit_code == 4


def test_of_a_snapshot_and_by_the_facade(tmp_path: Path) -> None:
    store = FeatureStore.open(tmp_path / "lake", create=True)
    for n in range(4):
        add_slide(store, f"S{n}", rows=1, patient_id=f"P{n}")
    store.snapshots.create("v1")
    add_slide(store, "S9", rows=1)
    half = {"a": 0.5, "b": 0.5}
    assert len(Lake(store).split(parts=half).patient_of) == 5
    pinned = Lake(store).split(parts=half, snapshot="v1")
    assert len(pinned.patient_of) == 4
    words = ["split", str(tmp_path / "out.json"), "--parts", "a=.5,b=.5", "--snapshot", "v1"]
    assert CliRunner().invoke(app, [*words, "--store", store.url]).exit_code == 0
    assert Splits.load(tmp_path / "out.json") == pinned


def test_parts_without_patients_and_without_classes(tmp_path: Path) -> None:
    """Two patients of one age in three parts: nothing is said twice, and no class is made up."""
    store = FeatureStore.open(tmp_path / "few", create=True)
    for n in range(2):
        add_slide(store, f"S{n}", rows=5, patient_id=f"P{n}")
    store.metadata.merge(pd.DataFrame({"slide_id": ["S0", "S1"], "age": [50, 50]}))
    out = tmp_path / "few.json"
    words = ["split", str(out), "--number", "age", "--store", str(tmp_path / "few"), "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert [row["part"] for row in told["counts"]] == ["train", "val", "test"]
    assert told["notes"]
    assert all("no patient in" in note for note in told["notes"])
