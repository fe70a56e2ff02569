"""A whole tuning on the CPU: what comes out, what learns, and that it goes on to the same bits after a kill."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from slidelake.errors import UsageError, WeightsError
from slidelake.services.tuning.model import TuneReport, load_report, load_tuned, tune
from slidelake.store import FeatureStore
from tests.repository import ROOT, environment
from tests.services.tuning.model.cohort import FINGERPRINT, SPACE, config, make_lake, make_rows, write_rows

#: Chance in the order, in the rows drawn of a bag and in LoRA's dropout; windows of two batches; a state a step.
SETTINGS: dict[str, Any] = {
    "patches": 6, "dropout": 0.2, "accumulate": 2, "batch": 3, "align_epochs": 2, "tune_epochs": 2, "log_every": 1,
    "checkpoint_minutes": 1e-9, "projector": "regions",
}  # fmt: skip
SETTINGS["tokens"] = 5
KILLED = """
import os, signal, sys
from pathlib import Path
from slidelake.services.tuning.model import tune
from slidelake.store import FeatureStore
from tests.services.tuning.model.cohort import config
from tests.services.tuning.model.test_tune import SETTINGS

def watch(event, **fields):
    if event == "step" and (fields["phase"], fields["done"]) == (sys.argv[5], int(sys.argv[6])):
        os.kill(os.getpid(), signal.SIGKILL)

store, rows, llama, out = sys.argv[1:5]
tune(FeatureStore.open(store), config(Path(rows), Path(out), model=llama, **SETTINGS), progress=watch)
"""


def results(out: Path) -> dict[str, Any]:
    """All bytes that a tuning ends with, but for times."""
    found: dict[str, Any] = {
        name: (out / name).read_bytes()
        for name in (
            "projector.safetensors", "adapter/adapter_model.safetensors", "predictions-before.jsonl",
            "predictions-aligned.jsonl", "predictions-after.jsonl",
        )
    }  # fmt: skip
    with (out / "log.csv").open(encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    return found | {
        "log": [{k: v for k, v in each.items() if k not in ("seconds", "waited")} for each in lines]
    }


@pytest.fixture(scope="module")
def whole(
    lake: FeatureStore, rows: Path, llama: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, TuneReport]:
    """What a tuning that nobody disturbs ends with."""
    out = tmp_path_factory.mktemp("whole") / "run"
    return out, tune(lake, config(rows, out, model=str(llama), **SETTINGS))


def test_what_comes_out(lake: FeatureStore, whole: tuple[Path, TuneReport], llama: Path) -> None:
    out, report = whole
    assert load_report(out) == report
    assert report.asked == "test"
    assert report.parts["test"] == {"rows": 8, "patients": 2}
    assert [(each.name, each.rows, each.steps) for each in report.phases] == [
        ("align", 12, 4),
        ("tune", 36, 12),
    ]
    assert all(each.val_loss is not None and 0 <= each.waiting <= 1 for each in report.phases)
    assert list(report.measured) == ["before", "aligned", "after"]
    assert report.measured["after"]["closed"] == 2
    assert report.parameters["lora"] > 0
    about = json.loads((out / "tuning.json").read_text())
    assert (about["space"], about["encoder"]) == (SPACE, FINGERPRINT)
    assert about["base"]["folder"] == str(llama.resolve())
    assert about["projector"]["options"] == {"hidden": 8}
    asked = [json.loads(line) for line in (out / "predictions-after.jsonl").read_text().splitlines()]
    assert {each["id"] for each in asked} == {each.id for each in make_rows() if each.split == "test"}
    assert not (out / "state.pt").exists()


def test_phase_1_leaves_the_language_model_alone_and_phase_2_moves_lora(
    whole: tuple[Path, TuneReport],
) -> None:
    out, _ = whole
    adapter = load_file(out / "adapter" / "adapter_model.safetensors")
    moved = {name for name, each in adapter.items() if "lora_B" in name and float(each.abs().sum()) > 0}
    assert moved == {name for name in adapter if "lora_B" in name}
    assert not any("embed_tokens" in name or "lm_head" in name for name in adapter)


def test_a_saved_model_answers_as_it_did(
    lake: FeatureStore, whole: tuple[Path, TuneReport], tmp_path: Path
) -> None:
    out, _ = whole
    tuned = load_tuned(out, device="cpu")
    asked = [each for each in make_rows() if each.split == "test"]
    said = {
        each["id"]: each["prediction"]
        for each in map(json.loads, (out / "predictions-after.jsonl").read_text().splitlines())
    }
    assert tuned.answer(lake, asked, most=4, batch=12) == said
    # Another encoder under the same name: refused, with both fingerprints.
    other = make_lake(tmp_path / "other", encoder={"name": "test-encoder", "weights": "others"})
    with pytest.raises(UsageError, match=r'fingerprint \{.*"none"\}.*fingerprint \{.*"others"\}'):
        tuned.answer(other, asked)


def test_a_killed_tuning_goes_on_to_the_same_bits(
    lake: FeatureStore, rows: Path, llama: Path, tmp_path: Path, whole: tuple[Path, TuneReport]
) -> None:
    """SIGKILL in the second epoch of phase 2, two steps into it."""
    out = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, lake.objects.local or "", str(rows), str(llama), str(out), "tune", "8"],
        cwd=ROOT, env=environment(), capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    state = torch.load(out / "state.pt", weights_only=True)
    assert (state["run"]["phase"], state["run"]["epoch"]) == ("tune", 1)
    told: list[str] = []
    settings = config(rows, out, model=str(llama), **SETTINGS)
    tune(lake, settings, resume=True, progress=lambda event, **fields: told.append(str(fields.get("name"))))
    assert results(out) == results(whole[0])
    assert "align" not in told


def test_a_signal_is_kept_until_the_state_is_saved(
    lake: FeatureStore, rows: Path, llama: Path, tmp_path: Path, whole: tuple[Path, TuneReport]
) -> None:
    out = tmp_path / "run"
    settings = config(rows, out, model=str(llama), **SETTINGS | {"checkpoint_minutes": 0})
    for number, wanted in enumerate([("align", 3), ("tune", 5)]):

        def stop(event: str, at: Any = wanted, **fields: Any) -> None:
            if event == "step" and (fields["phase"], fields["done"]) == at:
                os.kill(os.getpid(), signal.SIGTERM)

        with pytest.raises(KeyboardInterrupt, match="--resume goes on"):
            tune(lake, settings, resume=number > 0, progress=stop)
    with pytest.raises(UsageError, match=r"holds a tuning.*--resume"):
        tune(lake, settings)
    other = config(rows, out, model=str(llama), **SETTINGS | {"seed": 1})
    with pytest.raises(UsageError, match=r"other settings: seed \(0, now 1\)"):
        tune(lake, other, resume=True)
    tune(lake, settings, resume=True)
    assert results(out) == results(whole[0])


@pytest.mark.long
def test_a_tuning_that_starts_from_another(
    lake: FeatureStore, rows: Path, tmp_path: Path, whole: tuple[Path, TuneReport]
) -> None:
    """With no epochs it is only asked, and says what the one before said."""
    before, _ = whole
    out = tmp_path / "run"
    settings = SETTINGS | {"align_epochs": 0, "tune_epochs": 0}
    report = tune(lake, config(rows, out, start=str(before), **settings))
    assert list(report.measured) == ["before"]
    assert (out / "predictions-before.jsonl").read_bytes() == (
        before / "predictions-after.jsonl"
    ).read_bytes()
    with pytest.raises(UsageError, match=r"has the projector regions with 5 tokens.*not mean with 5"):
        tune(
            lake,
            config(
                rows, tmp_path / "o", start=str(before), **settings | {"projector": "mean", "options": {}}
            ),
        )
    with pytest.raises(WeightsError, match="holds no tuning"):
        tune(lake, config(rows, tmp_path / "o", start=str(tmp_path)))


@pytest.mark.long
def test_features_are_learnt_and_controls_have_none(lake: FeatureStore, llama: Path, tmp_path: Path) -> None:
    """A random model learns from 12 patients which tissue it is; shown zeros it says the same of both others."""
    rows = write_rows(tmp_path / "rows.jsonl", [each for each in make_rows() if each.kind == "closed"])
    settings = {"tune_epochs": 30, "rank": 16, "tune_lr": 5e-3, "dropout": 0.0, "log_every": 50}
    said = {}
    for kind in ("lake", "zeros"):
        out = tmp_path / kind
        report = tune(
            lake, config(rows, out, model=str(llama), features=kind, recompute=kind == "lake", **settings)
        )
        lines = (out / "predictions-after.jsonl").read_text().splitlines()
        said[kind] = {json.loads(line)["prediction"] for line in lines}
        assert (
            report.notes[-1]
            == "phase align is left out: the part train has no captions (rows whose task says caption)"
        )
        assert (report.measured["after"]["closed_accuracy"] == 1.0) is (kind == "lake")
    assert len(said["lake"]) == 2
    assert len(said["zeros"]) == 1
