"""Settings: checked by name, from Python, files and flags, and written so that they come back."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slidelake.encoders.training import TrainConfig, make_config, read_config, write_config
from slidelake.errors import UsageError

LEAST = {"labels": "grade", "out": "runs/x"}


def test_defaults() -> None:
    config = make_config(LEAST)
    assert config.labels == ("grade",)
    assert (config.loss, config.bags, config.encoder) == ("cross-entropy", 8, "abmil")
    assert make_config(LEAST, {"patches_per_batch": 1000}).bags is None
    assert make_config(LEAST, {"task": "survival", "labels": "months, died"}).labels == ("months", "died")
    assert make_config(LEAST, {"task": "regression"}).loss == "mse"


def test_a_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    config = make_config(
        LEAST,
        {
            "options": {"hidden": 256, "gated": True, "dropout": np.float64(0.25), "kind": 'a "b" \\ ü\x7f'},
            "parts": {"train": 0.7, "val": 0.3},
            "classes": ["low", "high, very"],
            "lr": 1e-5,
            "ordered": True,
        },
    )
    write_config(config, tmp_path / "train.toml")
    assert make_config(read_config(tmp_path / "train.toml")) == config


def test_later_sources_go_before(tmp_path: Path) -> None:
    (tmp_path / "train.toml").write_text('labels = "grade"\nout = "a"\nbags-per-batch = 2\nlr = 1\n')
    config = make_config(read_config(tmp_path / "train.toml"), {"out": "b", "lr": 0.5})
    assert (config.out, config.bags_per_batch, config.lr) == ("b", 2, 0.5)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"learning_rate": 1}, "no setting 'learning_rate'"),
        ({"epoch": 3}, "Did you mean epochs"),
        ({"task": "ranking"}, "classification, regression, survival"),
        ({"loss": "cox"}, "loss is 'cox', which is none of classification"),
        ({"metric": "c_index"}, "metric is 'c_index'"),
        ({"unit": "case"}, "unit is 'case'"),
        ({"lr": 0}, r"lr is 0"),
        ({"options": {"inner_options": None}}, "option inner_options is None.*Leave it out"),
        ({"lr": float("nan")}, r"lr is nan"),
        ({"lr": "fast"}, "lr is 'fast'. Give a number"),
        ({"epochs": 2.5}, "epochs is 2.5. Give a whole number"),
        ({"epochs": True}, "epochs is True"),
        ({"ordered": 1}, "ordered is 1. Give true or false"),
        ({"options": [1]}, "options is .*table of names"),
        ({"classes": 3}, "classes is 3. Give a list"),
        ({"epochs": 0}, "epochs is 0"),
        ({"clip": -1}, "clip is -1"),
        ({"warmup_epochs": 51}, "warmup_epochs is 51 of 50"),
        ({"folds": 1}, "folds is 1"),
        ({"seed": 2**32}, "seed is 4294967296"),
        ({"folds": 5, "splits": "s.json"}, "splits and folds were both given"),
        ({"labels": "a,b"}, "labels names a, b.*one column"),
        ({"task": "survival"}, "two columns, time and event"),
        ({"task": "regression", "ordered": True}, "ordered is given, and the task is regression"),
        ({"class_weights": True, "balance": "class"}, "both even out the classes"),
        ({"out": ""}, "no folder"),
    ],
)
def test_what_cannot_be_is_refused_by_name(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        make_config(LEAST, settings)


def test_what_is_needed_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"labels and out not given\. Pass --labels, --out"):
        make_config({})
    with pytest.raises(UsageError, match="no file"):
        read_config(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("lr = \n")
    with pytest.raises(UsageError, match="no TOML file"):
        read_config(tmp_path / "bad.toml")


def test_what_lasts_leaves_out_only_where_and_how_it_runs() -> None:
    config = make_config(LEAST)
    assert {each.name for each in fields(TrainConfig)} - set(config.lasting()) == {
        "out", "bootstrap", "checkpoint_minutes", "tensorboard", "pictures", "cache"
    }  # fmt: skip
