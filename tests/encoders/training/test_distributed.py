"""Two processes under torchrun do what one does with batches of twice the size."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from slidelake.encoders.slide import load_checkpoint
from slidelake.encoders.training import TrainReport, train
from slidelake.encoders.training.distributed import World, choose_device
from slidelake.errors import UsageError
from slidelake.store import FeatureStore
from tests.encoders.training.lakes import config
from tests.repository import ROOT, environment

#: Sizes that divide: 12 bags to train on, so that no batch is repeated and none is short.
SETTINGS: dict[str, dict[str, Any]] = {
    "classes": {"encoder": "abmil", "options": {"hidden": 8}, "accumulate": 2, "lr": 0.01, "epochs": 3},
    "cox": {"task": "survival", "labels": "months,died", "epochs": 3, "accumulate": 1},
}
SCRIPT = """
import json, os, sys
from pathlib import Path
from slidelake.encoders.training import train
from slidelake.errors import UsageError
from slidelake.store import FeatureStore
from tests.encoders.training.lakes import config
from tests.encoders.training.test_distributed import SETTINGS

lake, out, splits = sys.argv[1:]
rank = os.environ["RANK"]
reports = {}
try:
    train(FeatureStore.open(lake), config(Path(out) / "none"), resume=True)
except UsageError as error:
    Path(out, f"refused{rank}").write_text(str(error))
for name, settings in SETTINGS.items():
    report = train(FeatureStore.open(lake), config(Path(out) / name, splits=splits, bags_per_batch=2, **settings))
    reports[name] = report.to_dict()
Path(out, f"rank{rank}.json").write_text(json.dumps([os.environ["WORLD_SIZE"], reports]))
"""


@pytest.fixture(scope="module")
def splits(lake: FeatureStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 slides to train on, 4 to validate, 8 to test."""
    path = tmp_path_factory.mktemp("splits") / "splits.csv"
    lines = ["slide_id,patient_id,split"]
    for number, slide in enumerate(lake.slide_ids()):
        part = "train" if number < 12 else "val" if number < 16 else "test"
        lines.append(f"{slide},P{slide[1:3]},{part}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_two_processes_are_one_with_twice_the_batch(lake: FeatureStore, tmp_path: Path, splits: Path) -> None:
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "--no-python",
    ]
    done = subprocess.run(
        [*torchrun, sys.executable, "-c", SCRIPT, str(lake.objects.local), str(tmp_path), str(splits)],
        cwd=ROOT, env=environment(), capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    (size, first), (_, second) = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert size == "2"
    # What the first one refuses, the other hears in the same words.
    told = {(tmp_path / f"refused{rank}").read_text() for rank in (0, 1)}
    assert len(told) == 1
    assert "there is no training" in told.pop()
    for name, settings in SETTINGS.items():
        # Both ranks return one report (only the first has what only a writer knows: its times).
        assert {**first[name], "run": 0, "folds": 0} == {**second[name], "run": 0, "folds": 0}
        alone = train(lake, config(tmp_path / "one" / name, splits=str(splits), bags_per_batch=4, **settings))
        check_same(alone, tmp_path / name)


def check_same(alone: TrainReport, together: Path) -> None:
    logs = [(path / "log.csv").read_text().splitlines() for path in (alone.out, together)]
    assert len(logs[0]) == len(logs[1]) == 4
    for one, other in zip(*logs, strict=True):
        if not one.startswith("epoch"):
            left, right = ([float(cell) for cell in line.split(",")[:-2] if cell] for line in (one, other))
            assert left == pytest.approx(right, rel=2e-4)
    weights = [
        load_checkpoint(path / "best.safetensors").model.state_dict() for path in (alone.out, together)
    ]
    for each in weights:
        if alone.task["kind"] == "survival":
            # Cox's loss does not change where all risks shift: the bias moves by rounding alone.
            del each["head.bias"]
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-3, atol=1e-5)


def test_alone_everything_is_ones_own() -> None:
    world = World(0, 1, torch.device("cpu"))
    assert world.first
    assert world.sums([1.5, 2]) == [1.5, 2]
    assert world.gather("a") == ["a"]
    assert world.from_first("a") == "a"


@pytest.mark.parametrize("word", ["tpu9", "cuda:99" if torch.cuda.is_available() else "cuda"])
def test_devices_that_are_not_there(word: str) -> None:
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(UsageError, match=r"device|GPU"):
        choose_device(word)
