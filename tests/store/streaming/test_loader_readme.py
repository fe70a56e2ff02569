"""The examples in the folder's README about loaders run, in order."""

from pathlib import Path
from typing import Any

import pytest

from slidelake.store import FeatureStore
from tests.readme_commands import python_blocks
from tests.repository import ROOT
from tests.store.streaming.conftest import fill

LAST = "## Labels and targets"


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fill(FeatureStore.open("lake", create=True))
    Path("patches.csv").write_text("slide_id,x,y,label\nS1,10,10,tumour\nS1,300,10,stroma\nS9,0,0,stroma\n")
    names: dict[str, Any] = {}
    text = (ROOT / "store/streaming/README.md").read_text(encoding="utf-8")
    blocks = python_blocks(text[: text.index(LAST)])
    assert len(blocks) == 5
    for block in blocks:
        exec(compile(block.text, "README.md", "exec"), names)
    assert names["loader"].spaces == names["stream"].loader.spaces
    assert len(names["batch"]) == 2
    assert names["checkpoint"]["loader"]["epoch"] == 1
