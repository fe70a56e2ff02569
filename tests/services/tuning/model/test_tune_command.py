"""`slidelake tune` as people type it."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from slidelake.services.cli.app import app
from slidelake.services.cli.tune import FLAGS
from slidelake.services.tuning.model import TuneConfig
from slidelake.store import FeatureStore

QUICK = [
    "--tokens", 2, "--option", "hidden=8", "--rank", 4, "--batch", 8, "--tune-epochs", 1, "--answer-tokens", 3,
    "--device", "cpu", "--targets", "q_proj,v_proj",
]  # fmt: skip


def run(lake: FeatureStore, *arguments: Any) -> Result:
    return CliRunner().invoke(app, ["tune", *map(str, arguments), "--store", str(lake.objects.local)])


def test_every_setting_has_a_flag() -> None:
    own = {"rows", "options"}
    assert {flag.name for flag in FLAGS} | own == set(TuneConfig.__dataclass_fields__)


def test_a_tuning_from_the_command_line(lake: FeatureStore, rows: Path, llama: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = run(lake, rows, "--model", llama, "--out", out, *QUICK)
    assert done.exit_code == 0, done.output
    said = " ".join(done.stdout.split())
    assert "test: 2 patients" in said
    assert "closed accuracy" in said
    assert "after tuning" in said
    assert "phase align: 12 rows, 2 steps" in said
    assert "note: the tokenizer has no chat template" in " ".join(done.stderr.split())
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    # A tuning that ended is only read again, from the folder alone.
    again = run(lake, "--resume", "--out", out, "--json")
    assert again.exit_code == 0, again.output
    told = json.loads(again.stdout)
    assert list(told)[:2] == ["ok", "exit_code"]
    assert told["config"]["targets"] == ["q_proj", "v_proj"]
    assert told["config"]["options"] == {"hidden": 8}
    refused = run(lake, rows, "--model", llama, "--out", out, *QUICK)
    assert refused.exit_code == 2
    assert "holds a tuning" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ROWS"], "no folder was named"),
        (["--out", "OUT"], "rows is empty. Name the rows.jsonl of slidelake tune-data"),
        (["ROWS", "--out", "OUT", "--option", "hidden"], "--option hidden. Write NAME=VALUE"),
        (["ROWS", "--out", "OUT", "--resume"], "no tuning in"),
        (["ROWS", "--out", "OUT", "--option", "heads=2"], "the projector attention has no option 'heads'"),
        (["ROWS", "--out", "OUT", "--start", "OUT"], "cannot start from its own folder"),
    ],
)
def test_what_is_asked_wrongly(
    lake: FeatureStore, rows: Path, tmp_path: Path, arguments: list[str], says: str
) -> None:
    names = {"ROWS": str(rows), "OUT": str(tmp_path / "run")}
    done = run(lake, *(names.get(each, each) for each in arguments), "--device", "cpu")
    assert done.exit_code == 2, done.output
    assert says in " ".join(done.stderr.split())


def test_an_empty_lake_is_nothing_matched(rows: Path, tmp_path: Path) -> None:
    store = FeatureStore.open(tmp_path / "lake", create=True)
    done = run(store, rows, "--out", tmp_path / "run", "--json")
    assert (done.exit_code, json.loads(done.stdout)["exit_code"]) == (4, 4)
