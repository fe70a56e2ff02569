"""One archive for all tests of answers, and no endpoint but theirs."""

from pathlib import Path

import pytest

from slidelake.services.lake import Lake
from tests.services.answers.archive import make_archive


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Nobody changes it."""
    return make_archive(tmp_path_factory.mktemp("answers") / "lake")


@pytest.fixture(autouse=True)
def _no_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("URL", "MODEL", "KEY"):
        monkeypatch.delenv(f"SLIDELAKE_LLM_{name}", raising=False)


@pytest.fixture
def folder(lake: Lake) -> Path:
    return Path(lake.store.url)
