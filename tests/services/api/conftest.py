"""A lake that tests read, made once, and clients of it."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from slidelake.services.lake import Lake
from slidelake.services.lake import open as open_lake
from tests.services.api.lakes import fill, served


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `slides` and `lake`; nobody changes them."""
    folder = tmp_path_factory.mktemp("archive")
    fill(folder)
    return folder


@pytest.fixture
def lake(archive: Path) -> Lake:
    return open_lake(archive / "lake")


@pytest.fixture(scope="session")
def client(archive: Path) -> Iterator[TestClient]:
    """For tests that only ask: an app takes a third of a second to make."""
    with served(open_lake(archive / "lake")) as made:
        yield made


@pytest.fixture
def heard() -> Iterator[list[logging.LogRecord]]:
    """What our loggers say; commands that ran before may have stopped them from passing it on."""
    records: list[logging.LogRecord] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    logger, ear = logging.getLogger("slidelake"), Ear()
    level = logger.level
    logger.addHandler(ear)
    logger.setLevel(logging.DEBUG)
    yield records
    logger.removeHandler(ear)
    logger.setLevel(level)
