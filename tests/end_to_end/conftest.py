"""One small archive, made once a session: four slides of two patients, ingested, embedded, indexed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from slidelake.ingest.synthetic import synthesise
from slidelake.services.cli.app import app
from slidelake.services.lake import Lake
from slidelake.services.lake import open as open_lake

Run = Callable[..., Result]


@pytest.fixture(scope="session")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    synthesise(folder, slides=4, seed=11, size=1536)
    return folder


@pytest.fixture(scope="session")
def filled(slides: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake that tests read and do not change."""
    folder = tmp_path_factory.mktemp("filled") / "lake"
    lake = open_lake(folder)
    lake.ingest(manifest=slides / "manifest.csv")
    lake.embed()
    lake.index.sync()
    return folder


@pytest.fixture
def lake(filled: Path) -> Lake:
    return open_lake(filled)


@pytest.fixture
def run() -> Run:
    """Run a command of the command line: run("status", "--store", folder)."""
    runner = CliRunner()

    def call(*arguments: Any) -> Result:
        return runner.invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)

    return call
