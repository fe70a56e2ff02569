"""`slidelake tune-data reports|verify`, and the rules on the real reports."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import slidelake
from slidelake.services.cli.app import app
from slidelake.services.tuning.data import DataRequest, make_report_data, read_rows, verify_rows
from slidelake.store.streaming import make_splits
from tests.services.tuning.data.lakes import make_lake
from tests.shared_data import shared


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*map(str, words)], env={"COLUMNS": "160"})
    return result.exit_code, " ".join(result.output.split())


def told(*words: object) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(app, [*map(str, words), "--json"])
    said = json.loads(result.stdout)
    assert said["exit_code"] == result.exit_code
    return result.exit_code, said


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tune-data") / "lake"
    make_lake(folder)
    return folder


def test_reports_and_verify(lake: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, said = run(
        "tune-data", "reports", out, "--store", lake, "--rows-per-picture", 3, "--licence", "CC0"
    )
    assert code == 0, said
    assert f"9 rows in {out}" in said
    assert "dropped by assemble: over-cap 12" in said
    assert "3.0 rows for each of 3 slides" in said
    code, said = run("tune-data", "verify", out, "--store", lake)
    assert (code, said) == (0, "the evidence of 9 of 9 rows resolves")
    code, said = run("tune-data", "reports", out, "--store", lake)
    assert code == 2
    assert "holds a run with other arguments: licence was 'CC0', now ''" in said
    code, result = told("tune-data", "reports", out, "--store", lake, "--overwrite", "--lance")
    assert code == 0
    assert (result["rows"], result["pictures"], result["ok"]) == (21, 3, True)
    assert sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) == sorted(
        ["run.json", "steps", "counts.json", *result["files"]]
    )
    assert "CC0" not in (out / "DATASET.md").read_text()
    # A report that was corrected is told, with the way out of it.
    rows = out / "rows.jsonl"
    rows.write_text(
        rows.read_text().replace("Perineural invasion is present", "Perineural invasion is absent!")
    )
    code, result = told("tune-data", "verify", out, "--store", lake)
    assert code == 5
    assert result["resolved"] == 20
    assert result["reasons"] == {"its report does not say the quote there": 1}


def test_splits_of_a_file_and_recorded_responses(lake: Path, tmp_path: Path) -> None:
    splits = make_splits(slidelake.open(lake).store, parts={"train": 0.4, "val": 0.3, "test": 0.3})
    splits.save(tmp_path / "splits.json")
    words = ["tune-data", "reports", tmp_path / "out", "--store", lake, "--splits", tmp_path / "splits.json"]
    code, result = told(*words)
    assert code == 0
    assert result["patients"] == {"test": 1, "train": 1, "val": 1}
    for given, problem in (
        (["--generator", "llm"], "there is no generator 'llm'"),
        (["--generator", "recorded"], "no recorded responses were named"),
        (["--generator", "recorded", "--recorded", tmp_path / "none"], "there are no recorded responses"),
        (["--endpoint", "http://127.0.0.1:1/v1"], "the generator is none"),
        (["--space", "nothing"], "nothing"),
        (["--wordings", "0"], "0 wordings"),
        (["--splits", lake / "slidelake.json"], "holds no splits"),
    ):
        code, said = run("tune-data", "reports", tmp_path / "other", "--store", lake, *given)
        assert code == 2, said
        assert problem in said
        assert not (tmp_path / "other" / "run.json").exists()


def test_verify_without_rows(lake: Path, tmp_path: Path) -> None:
    code, said = run("tune-data", "verify", tmp_path, "--store", lake)
    assert code == 2
    assert "there are no rows" in said


def test_text_of_four_wordings_is_four_times_as_much(lake: Path, tmp_path: Path) -> None:
    counts = make_report_data(slidelake.open(lake), DataRequest(tmp_path / "out"), wordings=4)
    assert counts["rows"] > 60
    asked = [(row.slide_id, row.question) for row in read_rows(tmp_path / "out")]
    assert len(set(asked)) == len(asked)
    assert len({text for _, text in asked}) > 35


@pytest.mark.parametrize("path", shared("reports/tcga_reports_subset.jsonl"), ids=lambda path: path.stem)
def test_shared_reports(path: Path, tmp_path: Path) -> None:
    """Forty of the real ones: many rows, all of them traceable, short, and without measurements."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "few.jsonl").write_text("".join(lines[::10]), encoding="utf-8")
    lake = slidelake.open(tmp_path / "lake")
    lake.add_reports(tmp_path / "few.jsonl", sync_index=False)
    counts = make_report_data(lake, DataRequest(tmp_path / "out"))
    rows = list(read_rows(tmp_path / "out"))
    assert counts["items"] == {"rows": 40}
    assert counts["rows"] == len(rows) > 130
    assert verify_rows(lake, rows).share == 1
    for row in rows:
        assert len(row.answer.split()) <= 10
        assert not re.search(r"\d\s*(?:cm|mm|g)\b|\d[.,]\d", row.answer)
    assert len({row.made_by["topic"] for row in rows}) > 15
