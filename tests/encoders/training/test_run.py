"""A whole training, from a lake to a report: each kind of task, and all the files."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from slidelake.encoders.slide import Bags, load_checkpoint
from slidelake.encoders.training import load_report, train
from slidelake.store import FeatureStore
from slidelake.store.streaming import Splits
from tests.encoders.training.lakes import DIM, FINGERPRINT, GRADES, add_slide, config, make_lake


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def classes(lake: FeatureStore, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Three folds of grades, with all that can be written."""
    out = tmp_path_factory.mktemp("runs") / "classes"
    told: list[tuple[str, dict[str, Any]]] = []
    settings = {
        "folds": 3,
        "bootstrap": 20,
        "tensorboard": "on",
        "classes": GRADES,
        "ordered": True,
        "pictures": True,
    }
    before = torch.random.get_rng_state()
    report = train(
        lake, config(out, **settings), progress=lambda event, **fields: told.append((event, fields))
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    return report, told


def test_it_learns(classes: Any) -> None:
    report, _ = classes
    whole = report.metrics()
    assert report.shown == "test"
    assert whole["auroc"].value > 0.9
    assert whole["auroc"].low <= whole["auroc"].value <= whole["auroc"].high
    assert whole["kappa"].value >= 0.5
    assert len(report.metrics("test", 2)) == len(whole)
    assert report.metrics("val")["auroc"].low is None


def test_every_patient_is_held_out_once_and_never_trained_on_then(classes: Any, lake: FeatureStore) -> None:
    report, _ = classes
    splits = Splits.load(report.out / "splits.json")
    rows = rows_of(report.out / "predictions.csv")
    held_out = [row for row in rows if row["part"] == "test"]
    assert sorted(row["slide_id"] for row in held_out) == lake.slide_ids()
    for row in rows:
        fold = int(row["fold"])
        assert row["patient_id"] in splits.patients(row["part"], fold)
        assert row["patient_id"] not in splits.patients("train", fold)


def test_predictions_are_what_the_checkpoint_says(classes: Any, lake: FeatureStore) -> None:
    report, _ = classes
    row = next(
        row for row in rows_of(report.out / "predictions.csv") if row["part"] == "test" and row["fold"] == "1"
    )
    checkpoint = load_checkpoint(report.checkpoints()[1])
    bag = lake.bag(row["slide_id"])
    features = torch.from_numpy(np.array(bag.features))
    logits = checkpoint.model(Bags(features, torch.tensor([0, len(features)]))).logits
    chances = logits.softmax(1)[0].tolist()
    assert [float(row[f"p_{name}"]) for name in GRADES] == pytest.approx(chances, rel=1e-5)
    assert row["predicted"] == GRADES[int(np.argmax(chances))]
    assert row["target"] == GRADES[int(row["patient_id"][1:]) % 3]


def test_the_checkpoint_says_what_it_was_trained_on(classes: Any) -> None:
    report, _ = classes
    checkpoint = load_checkpoint(report.out / "fold-0" / "best.safetensors")
    assert checkpoint.space == report.space
    assert checkpoint.encoder == FINGERPRINT
    assert checkpoint.task == {"kind": "classification", "column": "grade", "classes": list(GRADES)}
    told = checkpoint.provenance
    assert (told["fold"], told["seed"], told["snapshot"], told["splits"]) == (
        0,
        0,
        "",
        report.splits_checksum,
    )
    assert told["config"]["epochs"] == 6
    assert told["metrics"]["val_auroc"] > 0.5
    assert told["slidelake_version"]


def test_all_is_written(classes: Any) -> None:
    report, told = classes
    out = report.out
    log = rows_of(out / "fold-2" / "log.csv")
    assert [int(row["epoch"]) for row in log] == list(range(report.folds[2].epochs))
    assert float(log[-1]["train_loss"]) < float(log[0]["train_loss"])
    assert log[report.folds[2].best_epoch]["best"] == "True"
    assert list((out / "fold-0" / "tensorboard").glob("events.out.tfevents.*"))
    assert {path.name for path in (out / "pictures").iterdir()} == {
        "curves.png", "roc.png", "confusion.png", "calibration.png"
    }  # fmt: skip
    assert not (out / "fold-0" / "state.pt").exists()
    assert list(out.rglob(".*")) == []
    assert load_report(out) == report
    assert json.loads((out / "report.json").read_text())["measured"][-1]["part"] == "test"
    events = [event for event, _ in told]
    assert (events[0], events[-1], events.count("fold"), events.count("trained")) == ("start", "end", 3, 3)


def test_parts_are_counted(classes: Any) -> None:
    report, _ = classes
    fold = report.folds[0]
    assert [part.part for part in fold.parts] == ["train", "val", "test"]
    assert sum(part.patients for part in fold.parts) == 18
    assert sum(part.slides for part in fold.parts) == 24
    assert sum(part.groups["low"] for part in fold.parts) == 12


def test_events_can_be_read_by_tensorboard(classes: Any) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    report, _ = classes
    events = EventAccumulator(str(report.out / "fold-0" / "tensorboard")).Reload()
    assert {"train/loss", "val/loss", "val/auroc", "run/lr"} <= set(events.Tags()["scalars"])
    assert [each.step for each in events.Scalars("val/loss")] == list(range(report.folds[0].epochs))


def test_the_same_seed_gives_the_same_bytes(lake: FeatureStore, tmp_path: Path) -> None:
    settings = {"encoder": "abmil", "options": {"hidden": 8, "dropout": 0.25}, "epochs": 3, "sample": 5}
    files = []
    for name in ("one", "two", "other"):
        seed = {"seed": 1, "splits": str(tmp_path / "one" / "splits.json")} if name == "other" else {}
        report = train(lake, config(tmp_path / name, **settings, **seed))
        files.append(report.checkpoints()[0].read_bytes())
    assert files[0] == files[1]
    assert files[0] != files[2]


def test_regression_speaks_in_the_targets_own_units(lake: FeatureStore, tmp_path: Path) -> None:
    report = train(
        lake,
        config(
            tmp_path / "age",
            task="regression",
            labels="age",
            loss="huber",
            folds=3,
            epochs=20,
            metric="mae",
            pictures=True,
        ),
    )
    rows = [row for row in rows_of(report.out / "predictions.csv") if row["part"] == "test"]
    ages = dict(zip(lake.catalog()["slide_id"], lake.catalog()["age"], strict=True))
    assert all(float(row["target_age"]) == pytest.approx(ages[row["slide_id"]], rel=1e-6) for row in rows)
    assert report.metrics()["mae"].value < 0.7 * np.mean(
        np.abs(np.array([*ages.values()]) - np.mean([*ages.values()]))
    )
    assert report.metrics()["spearman"].value > 0.8
    task = load_checkpoint(report.checkpoints()[0]).task
    assert (task["columns"], len(task["mean"]), task["loss"]) == (["age"], 1, "huber")
    assert report.pictures == ("pictures/curves.png", "pictures/scatter.png")


def test_names_that_mean_something_to_who_draws_are_drawn_as_they_are(tmp_path: Path) -> None:
    """A dollar begins a formula for matplotlib, and its font has no CJK."""
    store, label = make_lake(tmp_path / "lake", patients=12), "癌 $^$"
    frame = pd.DataFrame({"slide_id": store.slide_ids()})
    frame[label] = [f"${n % 2}^$" for n in range(len(frame))]
    frame["$_$"] = np.arange(len(frame), dtype=float)
    store.metadata.merge(frame)
    for name, task in ((label, "classification"), ("$_$", "regression")):
        splits = {"parts": {"train": 0.6, "val": 0.4}}
        report = train(
            store, config(tmp_path / task, task=task, labels=[name], epochs=1, pictures=True, **splits)
        )
        assert all((report.out / each).stat().st_size > 1000 for each in report.pictures)


@pytest.mark.parametrize("loss", ["cox", "discrete"])
def test_survival_finds_who_goes_first(lake: FeatureStore, tmp_path: Path, loss: str) -> None:
    told = config(
        tmp_path / loss,
        task="survival",
        labels="months,died",
        loss=loss,
        bins=3,
        folds=3,
        accumulate=2,
        epochs=24,
        pictures=loss == "cox",
    )
    report = train(lake, told)
    assert report.metrics()["c_index"].value > 0.65
    task = load_checkpoint(report.checkpoints()[0]).task
    assert (task["kind"], task["time"], task["event"], task["loss"]) == ("survival", "months", "died", loss)
    assert len(task["cuts"]) == (2 if loss == "discrete" else 0)
    row = rows_of(report.out / "predictions.csv")[0]
    assert ("survival_3" in row) == (loss == "discrete")
    if loss == "cox":
        assert report.pictures[-1] == "pictures/kaplan_meier.png"
    assert {"event", "censored"} == set(report.folds[0].parts[0].groups)


def test_a_patients_slides_can_be_one_bag(lake: FeatureStore, tmp_path: Path) -> None:
    report = train(
        lake,
        config(
            tmp_path / "p",
            unit="patient",
            encoder="patient",
            epochs=2,
            balance="class",
            options={"hidden": 8},
        ),
    )
    rows = rows_of(report.out / "predictions.csv")
    assert "slide_id" not in rows[0]
    parts = report.folds[0].parts
    assert sum(part.bags for part in parts) == sum(part.patients for part in parts) == 18
    assert sum(part.slides for part in parts) == 24
    assert report.checkpoints() == [tmp_path / "p" / "best.safetensors"]


def test_all_may_be_trained_on(lake: FeatureStore, tmp_path: Path) -> None:
    """The model that goes out, after the folds said how good it is: nothing is left to measure."""
    report = train(lake, config(tmp_path / "r", parts={"train": 1.0}, epochs=2, pictures=True))
    assert report.measured == ()
    assert report.metrics() == {}
    assert report.pictures == ("pictures/curves.png",)
    assert rows_of(report.out / "predictions.csv") == []
    assert load_checkpoint(report.checkpoints()[0]).provenance["metrics"]["epoch"] == 1
    again = train(lake, config(tmp_path / "r", parts={"train": 1.0}, epochs=2, pictures=True), resume=True)
    assert again.folds == report.folds


def test_a_snapshot_is_what_is_trained_on(tmp_path: Path) -> None:
    store = make_lake(tmp_path / "lake", patients=15)
    store.snapshots.create("v1")
    add_slide(store, "late", "P99", np.zeros((4, DIM)))
    store.metadata.merge(pd.DataFrame({"slide_id": ["late"], "grade": ["low"]}))
    parts = {"train": 0.5, "val": 0.5}
    now = train(store, config(tmp_path / "now", epochs=1, parts=parts))
    then = train(store, config(tmp_path / "then", epochs=1, parts=parts, snapshot="v1"))
    assert sum(part.slides for part in now.folds[0].parts) == 21
    assert sum(part.slides for part in then.folds[0].parts) == 20
    assert load_checkpoint(then.checkpoints()[0]).provenance["snapshot"] == "v1"


def test_patience_ends_it_and_the_best_epoch_is_kept(lake: FeatureStore, tmp_path: Path) -> None:
    """Labels by lot, from a table: what is learnt by heart does the validation part no good."""
    grades = np.random.default_rng(1).permutation(["low", "high"] * 12)
    pd.DataFrame({"slide_id": lake.slide_ids(), "lot": grades}).to_csv(tmp_path / "lots.csv", index=False)
    told = config(
        tmp_path / "r", labels="lot", labels_file=str(tmp_path / "lots.csv"), epochs=60, patience=3,
        parts={"train": 0.5, "val": 0.5},
    )  # fmt: skip
    report = train(lake, told)
    [fold] = report.folds
    assert (fold.ended, fold.epochs) == ("patience", fold.best_epoch + 4)
    log = rows_of(report.out / "log.csv")
    losses = [float(row["val_loss"]) for row in log]
    assert int(np.argmin(losses)) == fold.best_epoch
    kept = load_checkpoint(report.checkpoints()[0]).provenance["metrics"]
    assert (kept["epoch"], kept["val_loss"]) == (
        fold.best_epoch,
        pytest.approx(losses[fold.best_epoch], rel=1e-6),
    )
    assert any("no held-out part" in note for note in report.notes)


def test_bf16_on_the_cpu(lake: FeatureStore, tmp_path: Path) -> None:
    report = train(lake, config(tmp_path / "r", precision="bf16", encoder="abmil", epochs=2))
    assert report.run["precision"] == "bf16"
    assert report.metrics()["auroc"].value is not None
