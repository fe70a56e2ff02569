"""Files of a data set: each is whole or not there, whatever happens while it is written."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from slidelake.errors import StoreFullError, StoreNotWritableError

__all__ = ["json_line", "new_bytes", "new_text", "refusals"]

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def new_bytes(path: Path) -> Iterator[Path]:
    """A place beside `path` to write to; it takes the place of `path` when the block ends without an error.

    Raises StoreFullError where the disk is full, StoreNotWritableError where it may not be written; then `path` is as
    it was.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with refusals(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield aside
            with aside.open("rb+") as handle:
                os.fsync(handle.fileno())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)


@contextmanager
def new_text(path: Path) -> Iterator[IO[str]]:
    """`new_bytes`, opened for UTF-8 text with line ends of one kind."""
    with new_bytes(path) as aside, aside.open("w", encoding="utf-8", newline="\n") as handle:
        yield handle


def json_line(value: Any) -> str:
    """A value as one line of JSON, the same for the same value; raises ValueError for a number that is not finite."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Turns the operating system's refusals into errors that name the file and say what to do."""
    try:
        yield
    except OSError as exc:
        if exc.errno in _FULL:
            raise StoreFullError(
                f"no space is left for {path}",
                remedy="Free some space and run the same command again: what is done stays done.",
            ) from exc
        if exc.errno in _FORBIDDEN:
            raise StoreNotWritableError(
                f"{path} cannot be written ({exc.strerror})", remedy="Choose a folder that you may write to."
            ) from exc
        raise
