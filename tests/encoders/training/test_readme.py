"""The examples in the folder's README run, in order."""

from pathlib import Path
from typing import Any

import pytest

from tests.encoders.training.lakes import make_lake
from tests.readme_commands import python_blocks
from tests.repository import ROOT


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_lake(Path("lake"))
    blocks = python_blocks((ROOT / "encoders/training/README.md").read_text(encoding="utf-8"))
    assert len(blocks) == 2
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block.text, "README.md", "exec"), names)
    assert names["report"].metrics()["auroc"].value > 0.5
    assert (tmp_path / "runs/grade/report.json").is_file()
