"""The examples in the folder's README about labels, splits, samplers and augmentations run, in order."""

from pathlib import Path
from typing import Any

import pytest

from slidelake.store import FeatureStore
from tests.readme_commands import python_blocks
from tests.repository import ROOT
from tests.store.streaming.conftest import fill

#: The chapters that need a lake and three files, and nothing else.
CHAPTERS = ("Labels and targets", "Splits", "Samplers", "Augmentations", "Balance")


def chapters() -> list[str]:
    text = (ROOT / "store/streaming/README.md").read_text(encoding="utf-8")
    found = {part.partition("\n")[0].strip(): part for part in text.split("\n## ")[1:]}
    return [found[name] for name in CHAPTERS]


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fill(FeatureStore.open("lake", create=True))
    rows = [f"S{n},{'high' if n % 3 else 'low'},{n + 1},{n % 2}" for n in range(8)]
    Path("labels.csv").write_text("\n".join(["slide_id,grade,months,died", *rows]))
    Path("patches.csv").write_text("slide_id,x,y,label\nS1,10,10,tumour\nS1,300,10,stroma\nS9,0,0,stroma\n")
    names: dict[str, Any] = {}
    blocks = [block for chapter in chapters() for block in python_blocks(chapter)]
    assert len(blocks) >= len(CHAPTERS)
    for block in blocks:
        exec(compile(block.text, "README.md", "exec"), names)
    assert names["rows"].tolist() == list(range(20))
    assert names["patches"].left_out == {"no such slide": 1}
    assert names["splits"].parts == ("train", "val", "test")
