"""`slidelake train`: flags, files, exit codes, what it prints, and the page."""

import io
import json
import os
import signal
import threading
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from slidelake.encoders.training import TrainConfig, load_report, read_config
from slidelake.services.cli.app import app
from slidelake.services.cli.train import FLAGS
from slidelake.services.cli.train_progress import TrainProgress
from slidelake.services.training_page import page
from slidelake.store import FeatureStore
from tests.encoders.training.lakes import make_lake

QUICK = [
    "--encoder", "mean", "--epochs", "2", "--lr", "0.05", "--bootstrap", "0", "--device", "cpu", "--no-tensorboard",
]  # fmt: skip
ODD = "<b>odd</b> & co"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """The cohort of the training tests, with a class whose name is markup."""
    store = make_lake(tmp_path_factory.mktemp("train") / "lake")
    names = [ODD if n % 2 else "even" for n in range(len(store.slide_ids()))]
    store.metadata.merge(pd.DataFrame({"slide_id": store.slide_ids(), "odd": names}))
    return store


def run(store: FeatureStore, *arguments: object) -> Any:
    return CliRunner().invoke(app, ["train", *map(str, arguments), "--store", str(store.objects.local)])


def test_every_setting_has_its_flag() -> None:
    names = {flag.name for flag in FLAGS}
    assert len(names) == len(FLAGS)
    # The slide encoder's own settings are given by --option.
    assert {each.name for each in fields(TrainConfig)} == names | {"options"}


def test_what_it_says_and_writes(lake: FeatureStore, tmp_path: Path) -> None:
    out = tmp_path / "runs" / "odd"
    done = run(lake, "--labels", "odd", "--out", out, "--folds", 3, *QUICK)
    assert done.exit_code == 0, done.output
    assert "AUROC" in done.stdout
    assert "test" in done.stdout
    assert f"saved: {out}/report.html".replace("\n", "") in done.stdout.replace("\n", "")
    assert "fold 2 (of 3): 2 epochs; kept" in done.stderr
    html = (out / "report.html").read_text()
    assert "&lt;b&gt;odd&lt;/b&gt; &amp; co" in html
    assert ODD not in html
    assert html.count("data:image/png;base64,") == 4
    assert "http" not in html.replace("http-equiv", "")
    assert page(load_report(out)) == html


def test_json_and_settings_from_a_file(lake: FeatureStore, tmp_path: Path) -> None:
    (tmp_path / "train.toml").write_text(
        'labels = "grade"\nencoder = "abmil"\nepochs = 9\npictures = false\n[options]\nhidden = 8\ndropout = 0.5\n'
    )
    file = ["--config", tmp_path / "train.toml", "--option", "hidden=4", "--option", "gated=false"]
    done = run(lake, *file, "--out", tmp_path / "run", "--parts", "train=0.6,val=0.4", *QUICK[2:], "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert list(said)[:2] == ["ok", "exit_code"]
    assert said["config"]["options"] == {"hidden": 4, "dropout": 0.5, "gated": False}
    assert (said["config"]["epochs"], said["config"]["encoder"]) == (2, "abmil")
    assert [each["part"] for each in said["measured"]] == ["val"]
    assert said["report"] == str(tmp_path / "run" / "report.html")
    assert read_config(tmp_path / "run" / "config.toml")["parts"] == {"train": 0.6, "val": 0.4}
    # What was written trains the same again.
    again = run(lake, "--config", tmp_path / "run" / "config.toml", "--out", tmp_path / "again", "--json")
    assert json.loads(again.stdout)["measured"] == said["measured"]
    # Folds take the place of the parts in the file.
    other = run(
        lake, "--config", tmp_path / "run" / "config.toml", "--out", tmp_path / "o", "--folds", 2, "--json"
    )
    assert (len(json.loads(other.stdout)["folds"]), json.loads(other.stdout)["config"]["parts"]) == (2, {})


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--labels", "grade"], 2, "out not given. Pass --out"),
        (["--labels", "grade", "--out", "OUT", "--metric", "auc"], 2, "metric is 'auc'"),
        (["--labels", "grade", "--out", "OUT", "--option", "hidden"], 2, "--option hidden. Write NAME=VALUE"),
        (["--labels", "grade", "--out", "OUT", "--parts", "train=1,train=2"], 2, "each name once"),
        (["--labels", "grade", "--out", "OUT", "--config", "none.toml"], 2, "there is no file none.toml"),
        (["--labels", "grade", "--out", "OUT", "--resume"], 2, "no training in"),
        (["--resume", "--out", "OUT"], 2, "no training in"),
        (["--resume"], 2, "Name the folder of the training with --out"),
        (["--labels", "grades", "--out", "OUT"], 2, "grade"),
    ],
)
def test_what_is_asked_wrongly(
    lake: FeatureStore, tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    done = run(lake, *(str(tmp_path / "run") if each == "OUT" else each for each in arguments))
    assert done.exit_code == code
    assert says in " ".join(done.stderr.split())
    assert not (tmp_path / "run").exists()


def test_an_empty_lake_is_nothing_matched(tmp_path: Path) -> None:
    store = FeatureStore.open(tmp_path / "lake", create=True)
    done = run(store, "--labels", "grade", "--out", tmp_path / "run", "--json")
    assert (done.exit_code, json.loads(done.stdout)["exit_code"]) == (4, 4)


def test_ctrl_c_drains_and_resume_needs_the_folder_alone(lake: FeatureStore, tmp_path: Path) -> None:
    out = tmp_path / "run"

    def interrupt() -> None:
        until = time.monotonic() + 120
        while not (out / "state.pt").exists() and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    waiting = threading.Thread(target=interrupt)
    waiting.start()
    endless = [*QUICK, "--epochs", 10**6, "--patience", 0, "--no-pictures"]
    done = run(lake, "--labels", "grade", "--out", out, *endless)
    waiting.join()
    assert done.exit_code == 130, done.output
    assert "--resume goes on with it" in done.stderr
    assert (out / "state.pt").exists()
    other = run(lake, "--resume", "--out", out, "--epochs", 5)
    assert other.exit_code == 2
    assert "epochs (1000000, now 5)" in other.stderr


def test_a_finished_training_is_read_again(lake: FeatureStore, tmp_path: Path) -> None:
    first = run(lake, "--labels", "grade", "--out", tmp_path / "run", *QUICK, "--no-pictures", "--json")
    again = run(lake, "--resume", "--out", tmp_path / "run", "--json")
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert json.loads(first.stdout)["measured"] == json.loads(again.stdout)["measured"]


@pytest.mark.parametrize("terminal", [True, False])
def test_progress(terminal: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=120, highlight=False)
    row = {"epoch": 0, "train_loss": 0.5, "val_loss": 0.25, "val_auroc": None, "val_f1": 1.0, "best": True}
    with TrainProgress(console) as progress:
        progress("start", folds=2, epochs=3)
        progress("fold", fold=1, counts=())
        progress("steps", fold=1, epoch=0, total=4)
        progress("step", fold=1, epoch=0, done=2)
        progress("epoch", fold=1, **row)
        progress("trained", fold=1, epochs=1, ended="patience", kept=row)
        progress("measure")
        progress("end")
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "fold 1 (of 2): 1 epochs, then no better; kept 1: train loss 0.5, val loss 0.25" in printed
    # Without a terminal there is no bar, and an epoch a few milliseconds long has no line.
    assert ("epoch 1 of 3" in printed) is terminal
