"""What cannot be trained is refused before anything is trained, by name; what can and should be known is noted."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from slidelake.encoders.training import train
from slidelake.encoders.training.faults import memory_told
from slidelake.errors import (
    NotFiniteError,
    SlidelakeError,
    UnknownAggregatorError,
    UnknownSlideError,
    UsageError,
)
from slidelake.store import FeatureStore
from tests.encoders.training.lakes import DIM, add_slide, config, make_lake


def table(lake: FeatureStore, path: Path, column: str, value_of: Any) -> dict[str, str]:
    """A CSV of labels and the settings that name it; `value_of` a patient."""
    catalog = lake.catalog()
    values = [value_of(patient) for patient in catalog["patient_id"]]
    pd.DataFrame({"slide_id": catalog["slide_id"], column: values}).to_csv(path, index=False)
    return {"labels": column, "labels_file": str(path)}


def spelled(lake: FeatureStore, path: Path, part_of: Any) -> str:
    """A table of splits."""
    catalog = lake.catalog()
    parts = [part_of(patient) for patient in catalog["patient_id"]]
    pd.DataFrame(
        {"slide_id": catalog["slide_id"], "patient_id": catalog["patient_id"], "split": parts}
    ).to_csv(path, index=False)
    return str(path)


def number(patient: str) -> int:
    return int(patient[1:])


@pytest.mark.parametrize(
    ("settings", "kind", "says"),
    [
        ({"labels": "stage"}, UsageError, "no column stage|stage"),
        ({"space": "512px"}, UsageError, "512px"),
        ({"encoder": "abmill"}, UnknownAggregatorError, "Did you mean abmil"),
        ({"encoder": "abmil", "options": {"hiden": 4}}, UsageError, "Did you mean hidden"),
        ({"encoder": "dsmil", "task": "regression", "labels": "age"}, UsageError, "cannot be trained on regression"),
        ({"options": {"dim": 4}}, UsageError, "options hold 'dim'"),
        ({"encoder": "patient", "options": {"inner_options": {"dim": 4}}}, UsageError, "inner_options hold 'dim'"),
        ({"parts": {"train": "most"}}, UsageError, "share of part train is 'most'"),
        ({"device": "tpu"}, UsageError, "device is 'tpu'|no .* device"),
        ({"precision": "fp16"}, UsageError, "precision is fp16 on a cpu"),
        ({"entropy_weight": 0.1}, UsageError, "no attention"),
        ({"folds": 9}, UsageError, "9 folds"),
        ({"labels": "age"}, UsageError, r"age has 18 classes in 24 slides.*--task regression"),
        ({"task": "survival", "labels": "months,died", "loss": "discrete", "bins": 40}, UsageError, "intervals"),
        ({"task": "survival", "labels": "months,died", "bags_per_batch": 1}, UsageError, "two bags at least"),
    ],
)  # fmt: skip
def test_refused(
    lake: FeatureStore, tmp_path: Path, settings: dict[str, Any], kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind, match=says):
        train(lake, config(tmp_path / "run", epochs=1, **settings))


def test_one_class_only(lake: FeatureStore, tmp_path: Path) -> None:
    named = table(lake, tmp_path / "one.csv", "same", lambda _: "x")
    with pytest.raises(UsageError, match=r"part train has one class only: x \(\d+ bags\)"):
        train(lake, config(tmp_path / "run", **named))
    # In the validation part it is refused where the epoch is chosen by what it does not have.
    splits = spelled(lake, tmp_path / "s.csv", lambda p: "val" if number(p) in (0, 3) else "train")
    with pytest.raises(UsageError, match=r"part val has one class only: low.*--metric loss"):
        train(lake, config(tmp_path / "run", splits=splits, metric="auroc"))
    report = train(lake, config(tmp_path / "run", splits=splits, epochs=1))
    assert "part val has one class only, low: it has no AUROC" in report.notes
    assert report.metrics("val")["auroc"].value is None


def test_no_event(lake: FeatureStore, tmp_path: Path) -> None:
    catalog = lake.catalog()
    died = [int(number(p) % 2 == 0) for p in catalog["patient_id"]]
    frame = pd.DataFrame({"slide_id": catalog["slide_id"], "months": catalog["months"], "died": died})
    frame.to_csv(tmp_path / "t.csv", index=False)
    survival = {
        "task": "survival",
        "labels": "months,died",
        "labels_file": str(tmp_path / "t.csv"),
        "epochs": 1,
    }
    odd = lambda p: number(p) % 2 == 1  # noqa: E731 - a name for what is censored
    for part in ("train", "val"):
        other = {"train": "val", "val": "train"}[part]
        splits = spelled(lake, tmp_path / f"{part}.csv", lambda p, a=part, b=other: a if odd(p) else b)
        with pytest.raises(UsageError, match=rf"no event is in part {part} \(\d+ bags, all censored\)"):
            train(lake, config(tmp_path / "run", splits=splits, **survival))
    splits = spelled(lake, tmp_path / "test.csv", lambda p: "test" if odd(p) else "train")
    report = train(lake, config(tmp_path / "run", splits=splits, **survival))
    assert "no event is in part test: it has no C-index" in report.notes
    assert report.metrics()["c_index"].value is None
    assert any("no validation part" in note for note in report.notes)


def test_parts_that_are_empty_or_have_other_names(lake: FeatureStore, tmp_path: Path) -> None:
    named = table(lake, tmp_path / "l.csv", "marker", lambda p: "" if number(p) > 8 else "ab"[number(p) % 2])
    splits = spelled(lake, tmp_path / "a.csv", lambda p: "train" if number(p) <= 8 else "val")
    with pytest.raises(UsageError, match="no slide of part val has a label and a bag"):
        train(lake, config(tmp_path / "run", splits=splits, **named))
    splits = spelled(lake, tmp_path / "b.csv", lambda p: "train" if number(p) <= 8 else "outside")
    report = train(lake, config(tmp_path / "run", splits=splits, epochs=1, **named))
    assert "nothing is in part outside: it is not measured" in report.notes
    splits = spelled(lake, tmp_path / "c.csv", lambda p: "learn" if number(p) <= 8 else "val")
    with pytest.raises(UsageError, match=r"no part train \(they have: learn, val\)"):
        train(lake, config(tmp_path / "other", splits=splits))


def test_constant_numbers(lake: FeatureStore, tmp_path: Path) -> None:
    named = table(lake, tmp_path / "c.csv", "size", lambda _: 3)
    with pytest.raises(UsageError, match="size is the same for every bag of part train"):
        train(lake, config(tmp_path / "run", task="regression", **named))


def test_slides_without_a_label_are_counted(lake: FeatureStore, tmp_path: Path) -> None:
    named = table(
        lake, tmp_path / "l.csv", "half", lambda p: "" if number(p) % 6 == 5 else "ab"[number(p) % 2]
    )
    with (tmp_path / "l.csv").open("a") as stream:
        stream.write("stranger,a\n")
    with pytest.raises(UnknownSlideError, match="stranger"):
        train(lake, config(tmp_path / "run", epochs=1, **named))
    report = train(lake, config(tmp_path / "run", epochs=1, ignore_unknown=True, **named))
    assert report.left_out == {
        "no label": ("S05a", "S11a", "S17a"),
        "labelled, but not in the lake": ("stranger",),
    }


def test_an_empty_lake(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        train(FeatureStore.open(tmp_path / "lake", create=True), config(tmp_path / "run"))


def test_features_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    """A disk that turned bytes: the store keeps such features out, so they are written under it."""
    store = make_lake(tmp_path / "lake")
    [chunk] = (tmp_path / "lake/slides/S01a").glob("bags/*/*/*/features/c/0/0")
    data = bytearray(chunk.read_bytes())
    data[:2] = np.float16(np.nan).tobytes()
    chunk.write_bytes(data)
    splits = spelled(store, tmp_path / "s.csv", lambda p: "val" if number(p) > 11 else "train")
    with pytest.raises(NotFiniteError, match=r"features of S01a hold NaN.*verify --deep") as told:
        train(store, config(tmp_path / "run", splits=splits))
    assert told.value.slide == "S01a"


def test_features_that_are_no_numbers_are_not_measured(tmp_path: Path) -> None:
    """A chance of NaN would be counted as the first class, and the measures would look like any others."""
    store = make_lake(tmp_path / "lake")
    [chunk] = (tmp_path / "lake/slides/S13a").glob("bags/*/*/*/features/c/0/0")
    chunk.write_bytes(np.float16(np.nan).tobytes() + chunk.read_bytes()[2:])
    parts = {"val": ["test", "val"], "test": ["val", "test"]}
    for part, names in parts.items():
        splits = spelled(
            store,
            tmp_path / f"{part}.csv",
            lambda p, n=names: "train" if number(p) < 9 else n[number(p) > 12],
        )
        for settings in ({}, {"task": "survival", "labels": "months,died"}):
            with pytest.raises(NotFiniteError, match=r"features of S13a hold NaN.*verify --deep"):
                train(store, config(tmp_path / "run", epochs=1, splits=splits, **settings), overwrite=True)


def test_a_loss_that_runs_away_says_what_to_lower(tmp_path: Path) -> None:
    store = make_lake(tmp_path / "lake")
    add_slide(store, "huge", "P99", np.full((4, DIM), 6e4))
    store.metadata.merge(pd.DataFrame({"slide_id": ["huge"], "age": [50.0]}))
    splits = spelled(store, tmp_path / "s.csv", lambda p: "val" if number(p) in (1, 2) else "train")
    settings = {"task": "regression", "labels": "age", "splits": splits, "lr": 1e30, "clip": 0.0}
    with pytest.raises(
        NotFiniteError, match=r"not finite at a batch with .*their features are finite.*Lower --lr"
    ):
        train(store, config(tmp_path / "run", **settings))


def test_no_memory_says_what_to_lower(tmp_path: Path) -> None:
    told = config(tmp_path, bags_per_batch=4)
    for shape in ((1 << 50,), (1 << 46, 16)):
        with (
            pytest.raises(
                SlidelakeError,
                match=r"memory ran out in epoch 1; .*123,456 patches .*--patches-per-batch.*--bags-per-batch",
            ),
            memory_told(told, "in epoch 1", 123456),
        ):
            torch.empty(shape)
    with pytest.raises(RuntimeError, match="shape"), memory_told(told, "", 1):
        torch.empty(2) @ torch.empty(3, 3)
