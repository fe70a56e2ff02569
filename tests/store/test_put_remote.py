"""Put-if-absent against servers and clients that lose answers: one's own success is known as such."""

from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from slidelake.store.put_if_absent import put_remote


class Faulty(MemoryFileSystem):
    """Stores as told, then fails as told: `after` is raised once the object is there, `before` instead."""

    protocol = "faulty"
    cachable = False
    store: dict[str, Any] = {}  # noqa: RUF012 - MemoryFileSystem keeps its objects in the class
    pseudo_dirs = [""]  # noqa: RUF012

    def __init__(self, before: Exception | None = None, after: Exception | None = None) -> None:
        super().__init__()
        self.before, self.after = before, after

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        if self.before is not None:
            raise self.before
        super().pipe_file(path, value, mode=mode)
        if self.after is not None:
            raise self.after


@pytest.fixture(autouse=True)
def _empty() -> None:
    Faulty.store.clear()


@pytest.mark.parametrize(
    "error", [FileExistsError(), OSError(121, "500"), TimeoutError(), RuntimeError("odd")]
)
def test_a_success_whose_answer_was_lost(error: Exception) -> None:
    assert put_remote(Faulty(after=error), "/s/k", b"mine")


@pytest.mark.parametrize(
    "error", [FileExistsError(), OSError(121, "500"), TimeoutError(), RuntimeError("odd")]
)
def test_another_was_first(error: Exception) -> None:
    Faulty().pipe_file("/s/k", b"theirs")
    assert not put_remote(Faulty(before=error), "/s/k", b"mine")
    assert Faulty().cat_file("/s/k") == b"theirs"


def test_a_failure_is_no_verdict() -> None:
    with pytest.raises(TimeoutError):
        put_remote(Faulty(before=TimeoutError()), "/s/k", b"mine")


def test_the_plain_case() -> None:
    assert put_remote(Faulty(), "/s/k", b"mine")
    assert not put_remote(Faulty(), "/s/k", b"theirs")
