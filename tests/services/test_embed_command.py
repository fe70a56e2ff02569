"""`slidelake embed` on the command line: checkpoints, predictions, what is there."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from slidelake.services.cli.app import app
from slidelake.store import FeatureStore
from tests.encoders.slide.bags import SPACE, put_bag, put_checkpoint


def run(*arguments: object) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    return result.exit_code, json.loads(result.stdout)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    store = FeatureStore.open(tmp_path / "lake", create=True)
    for n in range(3):
        put_bag(store, f"S{n}", 20, seed=n)
    return tmp_path / "lake"


def test_a_checkpoint_by_its_path(lake: Path, tmp_path: Path) -> None:
    model = put_checkpoint(tmp_path / "model.safetensors")
    words = ("embed", "--aggregator", model, "--store", lake)
    code, said = run(*words, "--slide", "S0", "--slide", "S2")
    assert (code, said["made"], said["already"], said["failed"]) == (0, 2, 0, [])
    assert said["aggregator_id"].startswith("abmil.")
    table = tmp_path / "predictions.csv"
    code, said = run(*words, "--predictions", table, "--device", "cpu")
    assert (code, said["made"], said["already"], said["predictions"]) == (0, 1, 2, str(table))
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["slide_id"] for row in rows) == ["S0", "S1", "S2"]
    for row in rows:
        shares = {"benign": float(row["p_benign"]), "tumour": float(row["p_tumour"])}
        assert sum(shares.values()) == pytest.approx(1)
        assert row["predicted"] == max(shares, key=lambda name: shares[name])
    code, said = run("embed", "--list", "--store", lake)
    assert [(each["space"], each["slides"], each["bags"]) for each in said["embeddings"]] == [(SPACE, 3, 3)]


def test_what_predicts_nothing_says_so(lake: Path, tmp_path: Path) -> None:
    code, said = run("embed", "--store", lake, "--predictions", tmp_path / "p.csv")
    assert code == 2
    assert "predicts nothing" in said["error"]["problem"]
    assert not (tmp_path / "p.csv").exists()


def test_a_checkpoint_of_another_space(lake: Path, tmp_path: Path) -> None:
    model = put_checkpoint(tmp_path / "m.safetensors", space="512px-1mpp/uni2-h.89abcdef")
    code, said = run("embed", "--aggregator", model, "--store", lake)
    assert code == 2
    assert "fingerprint" in said["error"]["problem"]
    assert "512px-1mpp/uni2-h.89abcdef" in said["error"]["remedy"]


def test_the_folder_of_a_training_names_its_checkpoints(lake: Path, tmp_path: Path) -> None:
    put_checkpoint(tmp_path / "fold-0" / "best.safetensors")
    code, said = run("embed", "--aggregator", tmp_path, "--store", lake)
    assert (code, said["error"]["problem"]) == (1, f"{tmp_path} is a folder")
    assert f"{tmp_path}/fold-0/best.safetensors" in said["error"]["remedy"]


def test_slides_that_fail_end_with_3(lake: Path, tmp_path: Path) -> None:
    model = put_checkpoint(tmp_path / "m.safetensors")
    code, said = run("embed", "--aggregator", model, "--store", lake, "--slide", "S1", "--slide", "nobody")
    assert (code, said["made"]) == (3, 1)
    assert [each["slide_id"] for each in said["failed"]] == ["nobody"]
