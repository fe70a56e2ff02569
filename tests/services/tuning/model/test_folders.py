"""A tuning keeps off folders that are not its own, says where a language model is gone from, and stops while asking."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from slidelake.errors import UsageError, WeightsError
from slidelake.services.tuning.model import load_tuned, tune
from slidelake.store import FeatureStore
from tests.services.tuning.model.cohort import config


def test_a_language_models_own_folder_is_never_written_over(
    lake: FeatureStore, rows: Path, llama: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "llama"
    shutil.copytree(llama, mine)
    before = {each.name: each.read_bytes() for each in mine.iterdir()}
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="holds the language model"):
            tune(lake, config(rows, mine, model=str(mine)), overwrite=overwrite)
        with pytest.raises(UsageError, match=r"config\.json was not written by a tuning"):
            tune(lake, config(rows, mine, model=str(llama)), overwrite=overwrite)
    assert {each.name: each.read_bytes() for each in mine.iterdir()} == before


def test_a_stop_while_patients_are_asked_and_a_model_that_is_gone(
    lake: FeatureStore, rows: Path, llama: Path, tmp_path: Path
) -> None:
    mine, out = tmp_path / "llama", tmp_path / "run"
    shutil.copytree(llama, mine)
    settings = config(rows, out, model=str(mine), batch=1)
    told: list[tuple[str, Any]] = []

    def stop(event: str, **fields: Any) -> None:
        told.append((event, fields.get("done")))
        if event == "asked":
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt, match="--resume goes on"):
        tune(lake, settings, progress=stop)
    # Of 8 questions, in batches of 4.
    assert [each for each in told if each[0] == "asked"] == [("asked", 4)]
    report = tune(lake, settings, resume=True)
    assert list(report.measured) == ["before", "aligned", "after"]

    shutil.move(mine, tmp_path / "elsewhere")
    with pytest.raises(WeightsError, match=r"is not in .*llama.*base\.folder"):
        load_tuned(out, device="cpu")
    about = json.loads((out / "tuning.json").read_text())
    about["base"]["folder"] = str(tmp_path / "elsewhere")
    (out / "tuning.json").write_text(json.dumps(about))
    assert load_tuned(out, device="cpu").about["base"] == about["base"]
