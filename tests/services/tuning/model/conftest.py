"""A lake, its rows, and a tiny language model that several tests share."""

from pathlib import Path

import pytest

from slidelake.services.tuning.model.language_model import make_tiny
from slidelake.store import FeatureStore
from tests.services.tuning.model.cohort import make_lake, make_rows, write_rows


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return make_lake(tmp_path_factory.mktemp("lake") / "lake")


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", make_rows())


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random LLaMA of 2 layers, width 64, and a tokenizer without a chat template."""
    folder = tmp_path_factory.mktemp("llama")
    texts = [turn.text for row in make_rows() for turn in row.turns]
    make_tiny(folder, texts, context=128)
    return folder
