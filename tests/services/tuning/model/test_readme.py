"""The example in the folder's README runs."""

from pathlib import Path
from typing import Any

import pytest

from tests.readme_commands import python_blocks
from tests.repository import ROOT
from tests.services.tuning.model.cohort import make_lake, make_rows, write_rows


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_lake(Path("lake"))
    write_rows(Path("rows.jsonl"), make_rows())
    [block] = python_blocks((ROOT / "services/tuning/model/README.md").read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    exec(compile(block.text, "README.md", "exec"), names)
    assert len(names["answers"]) == 8
    assert list(names["report"].measured) == ["before", "aligned", "after"]
    assert {each.name for each in (tmp_path / "runs/tuned").iterdir()} >= {
        "adapter", "base", "curves.png", "log.csv", "projector.safetensors", "report.json", "tokenizer", "tuning.json",
    }  # fmt: skip
