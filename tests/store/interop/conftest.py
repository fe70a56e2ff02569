"""An empty store for each test."""

from pathlib import Path

import pytest

from slidelake.store import FeatureStore


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore.open(tmp_path / "lake", create=True)
