"""Saved splits: parts and folds, the file, the check against a store, and tables that spell splits out."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from slidelake.errors import ManifestError, UnknownSlideError, UsageError
from slidelake.store import FeatureStore
from slidelake.store.streaming import Classification, Labels, Splits, make_splits


def splits(**buckets: dict[str, tuple[str, ...]]) -> Splits:
    return Splits(buckets)


SMALL = splits(train={"P0": ("S1", "S0"), "P2": ("S4",)}, test={"P1": ("S2", "S3")})
FOLDS = Splits({str(n): {f"P{n}": (f"S{n}",)} for n in range(4)}, folds=4)


def test_parts() -> None:
    assert SMALL.parts == ("train", "test")
    assert SMALL.part("train") == ("S0", "S1", "S4")
    assert SMALL.part(("train", "test")) == ("S0", "S1", "S2", "S3", "S4")
    assert SMALL.patients("train") == ("P0", "P2")
    assert SMALL.patient_of["S1"] == "P0"
    assert repr(SMALL) == "Splits(train, test: 5 slides)"
    with pytest.raises(UsageError, match=r"no part tests .*Did you mean test"):
        SMALL.part("tests")
    with pytest.raises(UsageError, match="not folds"):
        SMALL.part("train", fold=0)


def test_each_turn_of_folds_takes_every_slide_once() -> None:
    for turn in range(4):
        assert FOLDS.part("test", turn) == (f"S{turn}",)
        assert FOLDS.part("val", turn) == (f"S{(turn + 1) % 4}",)
        assert len(FOLDS.part("train", turn)) == 2
        assert FOLDS.part(("train", "val", "test"), turn) == ("S0", "S1", "S2", "S3")
    two = Splits({"0": {"P0": ("S0",)}, "1": {"P1": ("S1",)}}, folds=2)
    assert two.parts == ("train", "test")
    assert two.part("train", 1) == ("S0",)
    for fold in (None, -1, 4):
        with pytest.raises(UsageError, match=r"fold .* is none of these 4"):
            FOLDS.part("train", fold)
    with pytest.raises(UsageError, match="not 3 folds"):
        Splits(FOLDS.buckets, folds=3)


def test_a_patient_on_both_sides_is_refused() -> None:
    with pytest.raises(UsageError, match=r"both sides of the split: patient p0 \(train and test\)"):
        splits(train={"P0": ("S0",)}, test={"p0": ("S1",)})
    with pytest.raises(UsageError, match=r"both sides of the split: slide s0 \(train and test\)"):
        splits(train={"P0": ("S0",)}, test={"P1": ("s0",)})
    with pytest.raises(UsageError, match="slides stand in a part twice: s0"):
        splits(train={"P0": ("S0",), "P1": ("s0",)})


def test_saved_and_loaded(cohort: FeatureStore, tmp_path: Path) -> None:
    made = make_splits(
        cohort, labels=Labels.read(cohort, Classification("grade")), parts={"a": 0.5, "b": 0.5}
    )
    path = made.save(tmp_path / "splits.json")
    assert Splits.load(path) == made
    assert Splits.load(path).counts == made.counts
    body = json.loads(path.read_text())
    assert (body["format"], body["seed"], body["stratified"]) == (1, 0, "grade")
    assert len(body["inputs"]) == 32
    with pytest.raises(UsageError, match="there already"):
        made.save(path)
    before = path.read_bytes()
    Splits.load(path).save(path, overwrite=True)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["splits.json"]
    folds = make_splits(cohort, folds=3)
    assert Splits.load(folds.save(tmp_path / "folds.json")) == folds


def edited(**changes: Any) -> str:
    body = {
        "format": 1, "kind": "slidelake splits", "folds": None, "seed": 0, "by": "patient", "stratified": "",
        "shares": {}, "inputs": "", "counts": {}, "notes": [], "buckets": {"train": {"P0": ["S0"]}},
    }  # fmt: skip
    return json.dumps({**body, **changes})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no splits"),
        ("[]", "holds no splits"),
        ("{}", "holds no splits"),
        (edited(kind="other"), "holds no splits"),
        (edited(buckets={"train": ["S0"]}), "holds no splits"),
        (edited(buckets={"train": {"P0": "S0"}}), "holds no splits"),
        (edited(format=2), "of format 2, this version reads up to 1.*Update"),
        (edited(buckets={"train": {"P0": ["S0"]}, "test": {"P0": ["S1"]}}), "both sides .* patient P0"),
        (edited(folds=2), "not 2 folds"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "splits.json"
    path.write_text(edited())
    assert Splits.load(path).part("train") == ("S0",)
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        Splits.load(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        Splits.load(tmp_path / "none.json")


def test_check_tells_what_went_and_what_came(own_cohort: FeatureStore) -> None:
    made = make_splits(own_cohort)
    assert made.check(own_cohort).gone == made.check(own_cohort).new == ()
    own_cohort.close_epoch("S4")
    table = own_cohort.catalog()[["slide_id", "patient_id"]]
    table.loc[len(table)] = ["S9", "P0"]
    found = made.check(table)
    assert (found.gone, found.new) == (("S4",), ("S9",))


def test_check_refuses_patients_that_were_merged_since(own_cohort: FeatureStore) -> None:
    own_cohort.metadata.merge(pd.DataFrame({"slide_id": ["S2"], "patient_id": ["P0"]}))
    with pytest.raises(UsageError, match=r"both sides of the split: patient P0 \(train and test\)"):
        SMALL.check(own_cohort)


def table(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(columns)


def test_tables_that_spell_splits_out(cohort: FeatureStore, tmp_path: Path) -> None:
    path = tmp_path / "splits.csv"
    path.write_text("slide_id,patient_id,split\nS0,P0,train\nS1,P0,train\nS2,P1,test\nS4,P2,\n")
    read = Splits.from_table(path)
    assert read.buckets == {"train": {"P0": ("S0", "S1")}, "test": {"P1": ("S2",)}}
    assert Splits.from_table(path, store=cohort) == read
    patients = Splits.from_table(table(case_id=["p0", "P1"], part=["a", "b"]), column="part", store=cohort)
    assert patients.part("a") == ("S0", "S1")
    spelled = Splits.from_table(table(slide_id=["s0", "S4"], split=["a", "b"]), store=cohort)
    assert spelled.buckets == {"a": {"P0": ("S0",)}, "b": {"P2": ("S4",)}}
    folds = Splits.from_table(table(slide_id=["S0", "S2", "S4"], fold=[2, 1, 0]), column="fold")
    assert folds.folds == 3
    assert folds.part("test", 2) == ("S0",)
    assert folds.notes == ("no patients are known: each slide counts as a patient of its own",)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"slide_id": ["S0", "S1"], "patient_id": ["P0", "P0"]}, "both sides of the split: patient P0"),
        # The table says nothing of patients: the store knows better.
        ({"slide_id": ["S0", "S1"]}, "both sides of the split: patient P0"),
        # The store says nothing of this pair: the table knows better.
        ({"slide_id": ["S0", "S2"], "patient_id": ["X", "X"]}, "both sides of the split: patient X"),
        ({"patient_id": ["P0", "p0"]}, "both sides of the split: patient p0"),
    ],
)
def test_tables_with_a_patient_on_both_sides(cohort: FeatureStore, columns: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Splits.from_table(table(split=["train", "test"], **columns), store=cohort)


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({"slide_id": ["S0", "S77"]}, UnknownSlideError, "S77. Did you mean S7"),
        ({"patient_id": ["P0", "P77"]}, UnknownSlideError, "P77"),
        ({"slide_id": ["S0", "s0"]}, ManifestError, "twice"),
        ({"name": ["S0", "S1"]}, ManifestError, "no column patient_id"),
        ({"slide_id": ["S0", None]}, ManifestError, "no slide_id in line 3"),
    ],
)
def test_tables_that_are_refused(
    cohort: FeatureStore, columns: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Splits.from_table(table(split=["a", "a"], **columns), store=cohort)
    with pytest.raises(ManifestError, match="no column split"):
        Splits.from_table(table(**columns), store=cohort)
