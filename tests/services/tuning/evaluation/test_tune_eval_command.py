"""`slidelake tune-eval`: tables for people, one object for programs, files, exit codes."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from slidelake.services.cli.app import app
from tests.index.lakes import DIM, make_lake, put_slide
from tests.index.probing.test_sources import write_images
from tests.services.answers.endpoint_server import endpoint_server
from tests.services.tuning.evaluation.rows import row, write
from tests.services.tuning.evaluation.test_judge_endpoint import careful
from tests.services.tuning.evaluation.test_judge_rules import REPORT, RIGHT


def run(*words: object) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(app, ["tune-eval", *map(str, words), "--json"], catch_exceptions=False)
    return done.exit_code, json.loads(done.stdout)


def said(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["tune-eval", *map(str, words)], catch_exceptions=False)
    return done.exit_code, " ".join(done.output.split())


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    rows = [
        row("t0", "kidney", patient="P9", split="train"),
        row("a", RIGHT, patient="P0", split="test", report="R0"),
        row("b", "yes", closed=True, patient="P1", split="test", report="R0", task="yes-no"),
        row("d", RIGHT, patient="P3", split="test", report="R0"),
        row("c", "lung", patient="P2", split="test", report="R1"),
    ]
    return write(
        tmp_path,
        rows,
        {"a": RIGHT, "b": "No", "d": "A benign lesion of the lung", "t0": "kidney", "zz": "stray"},
    )


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    path = tmp_path / "reports.jsonl"
    path.write_text(json.dumps({"report_id": "R0", "text": REPORT}) + "\n")
    return path


def test_answers(files: tuple[Path, Path]) -> None:
    code, told = run("answers", *files, "--no-embed")
    assert (code, told["ok"], told["exit_code"], told["answers"]) == (3, True, 3, 4)
    assert (told["missing"], told["unknown"]) == (["c"], ["zz"])
    assert told["figures"]["all"]["closed_accuracy"]["value"] == 0
    assert told["figures"]["report-vqa"]["open_recall"]["answers"] == 3
    code, text = said("answers", *files, "--no-embed")
    assert code == 3
    assert "1 rows have no prediction: c" in text
    assert "1 predictions are of no row: zz" in text
    code, told = run("answers", *files, "--no-embed", "--split", "train")
    assert (code, told["answers"], told["missing"]) == (3, 1, [])
    assert run("answers", *files, "--no-embed", "--split", "all")[1]["answers"] == 5
    assert run("answers", files[0], files[0], "--no-embed")[0] == 2


def test_judge_by_rules(files: tuple[Path, Path], reports: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "verdicts.jsonl"
    code, told = run("judge", *files, "--rules", "--reports", reports, "--agreement", "--out", out)
    assert (code, told["judge"], told["answers"], told["judged"]) == (3, "rules", 2, 2)
    assert told["accepted"]["value"] == 0.5
    assert (told["missing"], told["without_report"], told["closed"]) == (["c"], [], 1)
    assert [each["same"] for each in told["agreement"]] == [1, 1, 1, 1]
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(each["id"], each["accepted"]) for each in lines] == [("a", True), ("d", False)]
    assert lines[0]["findings"][0]["report"]["quote"] == "kidney"
    code, text = said("judge", *files, "--rules", "--reports", reports)
    assert "2 of 2 answers judged" in text
    assert "accepted 0.500" in text
    assert run("judge", *files, "--rules", "--endpoint", "http://127.0.0.1:9/v1")[0] == 2


def test_judge_by_the_lakes_reports_and_an_endpoint(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLIDELAKE_LLM_URL", raising=False)
    (tmp_path / "R0.txt").write_text(REPORT)
    lake = tmp_path / "lake"
    added = CliRunner().invoke(app, ["reports", "add", str(tmp_path / "R0.txt"), "--store", str(lake)])
    assert added.exit_code == 0, added.output
    with endpoint_server(careful) as server:
        words = ("judge", *files, "--endpoint", server.url, "--model", "m", "--store", lake)
        code, told = run(*words)
    assert (code, told["judge"], told["malformed"]) == (3, "m", {})
    assert [each["accepted"] for each in told["verdicts"]] == [True, False]


def test_probes_of_images(tmp_path: Path) -> None:
    write_images(tmp_path / "images")
    words = ("--images", tmp_path / "images", "--encoder", "colour-histogram")
    files = ("--plot", tmp_path / "p.png", "--csv", tmp_path / "new" / "p.csv")
    code, told = run("few-shot", *words, "--shots", "1,2,64", "--seeds", "3", *files)
    assert (code, told["ok"]) == (0, True)
    (result,) = told["results"]
    assert [point["shots"] for point in result["points"]] == [1, 2]
    assert "64 shots" in result["notes"][-1]
    with (tmp_path / "new" / "p.csv").open(newline="") as file:
        assert [line["shots"] for line in csv.DictReader(file)] == ["1", "2"]
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.width > 600
    code, text = said("few-shot", *words, "--shots", "2", "--seeds", "2", "--standardise")
    assert code == 0
    assert "guessing gives 0.500" in text
    code, told = run("zero-shot", *words)
    assert (code, told["error"]["kind"]) == (2, "QueryError")
    code, told = run("robustness", *words, "--centre-pattern", r"centre\d", "--k", "2")
    assert code == 0
    assert set(told["results"][0]["centres"]) == {"centre0", "centre1"}


def test_probes_of_a_lake(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    store = make_lake(lake, slides=0)
    rng = np.random.default_rng(0)
    for n in range(12):
        cloud = rng.normal(size=(12, DIM)) + 3 * (n % 2) * np.eye(DIM)[:8].sum(axis=0)
        put_slide(store, f"S{n}", cloud.astype(np.float16), patient=f"P{n}")
    store.metadata.merge(
        pd.DataFrame(
            {
                "slide_id": [f"S{n}" for n in range(12)],
                "kind": ["tumour" if n % 2 else "[fat]" for n in range(12)],
                "hospital": [f"H{n // 2 % 2}" for n in range(12)],
            }
        )
    )
    code, told = run("few-shot", "--label", "kind", "--shots", "16", "--seeds", "3", "--store", lake)
    assert code == 0
    assert told["results"][0]["points"][0]["balanced_accuracy"]["mean"] > 0.8
    code, text = said("robustness", "--label", "kind", "--centre", "hospital", "--k", "5", "--store", lake)
    assert code == 0
    assert "H0" in text
    for words, problem in (
        (("robustness", "--label", "kind"), "medical centre"),
        (("few-shot", "--label", "none"), "no column 'none'"),
        (("few-shot", "--label", "kind", "--unit", "cell"), "--unit cell"),
        (("few-shot", "--label", "kind", "--shots", "two"), "--shots two"),
        (("few-shot", "--label", "kind", "--shots", "0"), "--shots 0"),
        (("few-shot", "--label", "kind", "--class", "bone"), "no class 'bone'"),
        (("few-shot", "--label", "kind", "--encoder", "x"), "--encoder and patterns"),
        (("few-shot", "--label", "kind", "--images", tmp_path), "--images takes its labels"),
        (("few-shot", "--label", "kind", "--plot", "p.pdf"), "p.pdf is no .png"),
        (("few-shot",), "one place"),
    ):
        code, told = run(*words, "--store", lake)
        assert code == 2, words
        assert problem in told["error"]["problem"]
