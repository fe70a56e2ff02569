"""Readers by name: each registers beside its implementation; `auto` takes the first that knows the file."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, TypeVar

from slidelake.errors import UsageError
from slidelake.ingest.slide import SlideReader

__all__ = ["ReaderClass", "reader_names", "readers", "register_reader"]


class ReaderClass(Protocol):
    """How a reader is chosen and made."""

    def knows(self, path: Path) -> bool:
        """Whether this reader would try a local file; looks at the file's first bytes at most."""
        ...

    def __call__(self, path: Path, uri: str, *, owned: TemporaryDirectory[str] | None = None) -> SlideReader:
        """Opens a local file; `uri` is what errors and provenance name, `owned` a folder to
        remove on close (the copy of a remote slide). Raises SlideError."""
        ...


_Class = TypeVar("_Class", bound=ReaderClass)
_READERS: dict[str, ReaderClass] = {}


def register_reader(name: str) -> Callable[[_Class], _Class]:
    """Class decorator: registers a reader under `name`; a name that is taken raises UsageError."""

    def add(reader: _Class) -> _Class:
        if name in _READERS:
            raise UsageError(f"a reader named {name!r} is registered already", remedy="Choose another name.")
        _READERS[name] = reader
        return reader

    return add


def reader_names() -> list[str]:
    """The registered readers, in the order in which `auto` asks them."""
    return list(_READERS)


def readers(name: str = "auto") -> list[ReaderClass]:
    """The readers to try: one by its name, or all; raises UsageError, which lists the known ones."""
    if name == "auto":
        return list(_READERS.values())
    if name not in _READERS:
        raise UsageError(
            f"there is no slide reader named {name!r}", remedy=f"Use auto, or one of {', '.join(_READERS)}."
        )
    return [_READERS[name]]
