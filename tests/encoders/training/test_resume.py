"""Killed or interrupted in mid-epoch, a training goes on to the same bits."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from slidelake.encoders.training import TrainConfig, train
from slidelake.errors import SlidelakeError, UsageError
from slidelake.store import FeatureStore, delete_slides
from slidelake.store.streaming import Splits
from tests.encoders.training.lakes import config, make_lake
from tests.repository import ROOT, environment

SETTINGS: dict[str, Any] = {
    # Chance in the weights, in the rows drawn and in the order; windows of two batches; states after each step.
    "encoder": "abmil", "options": {"hidden": 8, "dropout": 0.25}, "sample": 5, "balance": "class", "accumulate": 2,
    "bags_per_batch": 2, "epochs": 4, "folds": 2, "checkpoint_minutes": 1e-9, "lr": 0.01,
}  # fmt: skip
KILLED = """
import os, signal, sys
from pathlib import Path
from slidelake.encoders.training import train
from slidelake.store import FeatureStore
from tests.encoders.training.lakes import config
from tests.encoders.training.test_resume import SETTINGS

def watch(event, **fields):
    if event == "step" and (fields["fold"], fields["epoch"], fields["done"]) == (1, 2, 2):
        os.kill(os.getpid(), signal.SIGKILL)

train(FeatureStore.open(sys.argv[1]), config(Path(sys.argv[2]), **SETTINGS), progress=watch)
"""


def results(out: Path) -> dict[str, Any]:
    """All bytes that a training ends with, but for times."""
    files: dict[str, Any] = {
        f"{fold}/best": (out / fold / "best.safetensors").read_bytes() for fold in ("fold-0", "fold-1")
    }
    files["predictions"] = (out / "predictions.csv").read_bytes()
    for fold in ("fold-0", "fold-1"):
        lines = (out / fold / "log.csv").read_text().splitlines()
        files[f"{fold}/log"] = [line.rpartition(",")[0] for line in lines]
    return files


@pytest.fixture(scope="module")
def whole(lake: FeatureStore, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a training that nobody disturbs ends with."""
    out = tmp_path_factory.mktemp("whole") / "run"
    train(lake, config(out, **SETTINGS))
    return results(out)


def test_a_killed_training_goes_on_to_the_same_bits(
    lake: FeatureStore, tmp_path: Path, whole: dict[str, Any]
) -> None:
    """SIGKILL in the third epoch of the second fold, two steps into it."""
    out = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, lake.objects.local or "", str(out)],
        cwd=ROOT, env=environment(), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    state = torch.load(out / "fold-1" / "state.pt", weights_only=True)
    assert state["loader"]["epoch"] == 2
    assert state["loader"]["step"] > 0
    told: list[tuple[str, Any]] = []
    train(lake, config(out, **SETTINGS), resume=True, progress=lambda event, **f: told.append((event, f)))
    assert results(out) == whole
    # The fold that was done is not trained again, and the other one goes on where it was.
    assert [(f["fold"], f["epoch"]) for event, f in told if event == "epoch"] == [(1, 2), (1, 3)]


def test_an_interrupt_is_kept_until_the_state_is_saved(
    lake: FeatureStore, tmp_path: Path, whole: dict[str, Any]
) -> None:
    """Again and again: at a step, at the end of an epoch, by SIGINT and by SIGTERM."""
    out = tmp_path / "run"
    settings = SETTINGS | {"checkpoint_minutes": 0.0}
    places = [
        ("step", 0, 1, 1, signal.SIGINT),
        ("epoch", 0, 2, None, signal.SIGTERM),
        ("step", 1, 0, 2, signal.SIGINT),
    ]
    for number, (wanted, fold, epoch, step, kind) in enumerate(places):

        def watch(event: str, at: Any = (wanted, fold, epoch, step), kind: int = kind, **fields: Any) -> None:
            if (event, fields.get("fold"), fields.get("epoch"), fields.get("done")) == at:
                os.kill(os.getpid(), kind)

        handler = signal.getsignal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt, match="--resume goes on"):
            train(lake, config(out, **settings), resume=number > 0, progress=watch)
        assert signal.getsignal(signal.SIGINT) is handler
    train(lake, config(out, **settings), resume=True)
    found = results(out)
    for name, value in whole.items():
        # The settings stand in the checkpoint; the seconds between two states do not.
        assert found[name] == value, name


def test_a_finished_training_is_only_read_again(lake: FeatureStore, tmp_path: Path) -> None:
    told = config(tmp_path / "run", epochs=2)
    first = train(lake, told)
    events: list[str] = []
    again = train(lake, told, resume=True, progress=lambda event, **_: events.append(event))
    assert "epoch" not in events
    assert again.measured == first.measured
    assert again.folds == first.folds


@pytest.mark.parametrize(
    ("made", "asked", "says"),
    [
        (None, {"resume": True}, "no training in .* to go on with"),
        ("run", {}, "holds a training already. Pass --resume"),
        ("files", {}, "holds other things already"),
        ("files", {"overwrite": True}, "holds no training to overwrite"),
        ("file", {}, "is a file"),
        ("run", {"resume": True, "lr": 0.5}, r"other settings: lr \(0.05, now 0.5\)"),
        ("damaged", {"resume": True}, "state.pt cannot be read .*Remove"),
        ("old", {"resume": True}, "no state that this version reads"),
    ],
)
def test_what_is_in_the_folder(
    lake: FeatureStore, tmp_path: Path, made: str | None, asked: dict[str, Any], says: str
) -> None:
    out = tmp_path / "run"
    told: TrainConfig = config(out, epochs=1)
    if made in ("run", "damaged", "old"):
        train(lake, told)
    if made in ("damaged", "old"):
        (out / "fold.json").unlink()
        (out / "state.pt").write_bytes(b"PK\x03\x04 cut off")
    if made == "old":
        torch.save({"version": 0}, out / "state.pt")
    if made == "files":
        out.mkdir()
        (out / "thesis.txt").write_text("mine")
    if made == "file":
        out.write_text("mine")
    words = dict(asked)
    settings = {"lr": words.pop("lr")} if "lr" in words else {}
    with pytest.raises(UsageError, match=says):
        train(lake, config(out, epochs=1, **settings), **words)
    if made == "files":
        assert (out / "thesis.txt").read_text() == "mine"


def test_overwriting_waits_until_the_new_training_can_begin(lake: FeatureStore, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(lake, config(out, epochs=1))
    before = {path: path.read_bytes() for path in out.iterdir()}
    for settings in ({"labels": "gradd"}, {"encoder": "abmill"}):
        with pytest.raises(UsageError):
            train(lake, config(out, epochs=1, **settings), overwrite=True)
        assert {path: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize("fold", [0, 1])
def test_labels_that_changed_meanwhile_are_refused(lake: FeatureStore, tmp_path: Path, fold: int) -> None:
    """In the fold that was stopped, and in one that was done before it."""
    catalog, path, out = lake.catalog(), tmp_path / "labels.csv", tmp_path / "run"
    frame = pd.DataFrame({"slide_id": catalog["slide_id"], "side": ["l", "r"] * 12})
    frame.to_csv(path, index=False)
    settings = {"labels": "side", "labels_file": str(path), "folds": 2, "epochs": 2, "balance": "none"}

    def stop(event: str, **fields: Any) -> None:
        if event == "epoch" and fields["fold"] == fold:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(lake, config(out, **settings), progress=stop)
    frame["side"] = frame["side"].iloc[::-1].to_numpy()
    frame.to_csv(path, index=False)
    with pytest.raises(UsageError, match=r"labels.* changed since .*--overwrite"):
        train(lake, config(out, **settings), resume=True)


def test_a_slide_that_went_meanwhile_is_told_with_what_to_do(tmp_path: Path) -> None:
    store, out = make_lake(tmp_path / "lake"), tmp_path / "run"

    def stop(event: str, **fields: Any) -> None:
        if event == "epoch":
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(store, config(out), progress=stop)
    gone = Splits.load(out / "splits.json").part("train")[0]
    delete_slides(store, [gone])
    with pytest.raises(UsageError, match=r"other bags.*--overwrite.*--snapshot"):
        train(store, config(out), resume=True)


def test_a_full_disk_leaves_the_state_of_before(lake: FeatureStore, tmp_path: Path) -> None:
    """A limit on the size of files stands for it; the training then goes on from what was saved."""
    out, limits = tmp_path / "run", resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def fill(event: str, **fields: Any) -> None:
        if event == "epoch":
            resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))

    try:
        with pytest.raises(SlidelakeError, match=r"state.pt cannot be written .*its space; --resume") as told:
            train(lake, config(out, epochs=3), progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert told.value.exit_code == 1
    assert not list(out.glob(".*"))
    assert torch.load(out / "state.pt", weights_only=True)["loader"]["epoch"] == 1
    again = train(lake, config(out, epochs=3), resume=True)
    assert again.folds[0].epochs == 3


def test_overwriting_leaves_what_is_not_ours(lake: FeatureStore, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(lake, config(out, epochs=1, folds=2))
    (out / "notes.txt").write_text("mine")
    # What is refused takes nothing away; and the splits to take may be those that are written over.
    with pytest.raises(UsageError, match="stage"):
        train(lake, config(out, labels="stage", epochs=1), overwrite=True)
    assert (out / "fold-1" / "best.safetensors").exists()
    again = train(lake, config(out, epochs=1, splits=str(out / "splits.json")), overwrite=True)
    assert len(again.folds) == 2
    train(lake, config(out, epochs=1), overwrite=True)
    assert (out / "notes.txt").read_text() == "mine"
    assert not list(out.glob("fold-*"))
