"""`slidelake search --text … --in reports` and `slidelake reports evaluate`, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from slidelake.index import SlideIndex
from slidelake.index.reports import follow
from slidelake.services.cli.app import app
from slidelake.services.lake import open as open_lake
from tests.index.reports.corpus import make_reports
from tests.index.reports.test_report_search import _missing


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The corpus, indexed without vectors: the real ones are searched in tests/index/reports."""
    monkeypatch.setattr(follow, "shared_text_encoder", _missing)
    SlideIndex(make_reports(tmp_path)).sync()
    return tmp_path


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(words))
    return result.exit_code, result.output


def run_json(*words: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(app, [*words, "--json"])
    return result.exit_code, json.loads(result.stdout)


def test_a_question_shows_passages(lake: Path) -> None:
    code, shown = run("search", "--text", "RCC of 37 mm", "--in", "reports", "-k", "2", "--store", str(lake))
    assert code == 0
    assert "kidney-a" in shown
    assert "FINAL DIAGNOSIS" in shown
    assert "text alone" in " ".join(shown.split())


def test_json_holds_every_hit(lake: Path) -> None:
    words = ["search", "--text", "hepatoma", "--in", "reports", "--mode", "text", "--store", str(lake)]
    code, said = run_json(*words)
    assert code == said["exit_code"] == 0
    assert said["hits"][0]["report_id"] == "liver-a"
    assert said["hits"][0]["scores"]["coverage"] == 1.0


def test_nothing_found_is_exit_code_4(lake: Path) -> None:
    code, shown = run("search", "--text", "xyzzy", "--in", "reports", "--store", str(lake))
    assert code == 4
    assert "no report answers that" in shown


@pytest.mark.parametrize(
    "words",
    [
        ["--text", "", "--in", "reports"],
        ["--text", "a", "--in", "reports", "--mode", "magic"],
        ["--text", "a", "--in", "attic"],
        ["--text", "a", "--in", "reports", "--slide", "S1"],
        ["--text", "a" * 30_000, "--in", "reports"],
    ],
)
def test_what_cannot_be_asked_is_usage(lake: Path, words: list[str]) -> None:
    assert run("search", *words, "--store", str(lake))[0] == 2


def test_evaluation_scores_what_can_be_searched(lake: Path, tmp_path: Path) -> None:
    questions = tmp_path / "questions.jsonl"
    words = ["reports", "evaluate", "--part", "test", "--questions", str(questions), "--store", str(lake)]
    code, said = run_json(*words)
    assert code == 0
    assert set(said["figures"]["one-report"]) == {"text"}
    kinds = {json.loads(line)["kind"] for line in questions.read_text().splitlines()}
    assert "unanswerable" in kinds


def test_the_facade_searches(lake: Path) -> None:
    hits = open_lake(str(lake)).search_reports("hepatoma", k=1, mode="text")
    assert hits.by_report().keys() == {"liver-a"}
