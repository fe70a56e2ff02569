"""Files that are there whole or not at all: written beside their place, then renamed onto it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["whole_file"]


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives the path to write to. What a killed process left there is written over by the next one."""
    beside = path.with_name(f".{path.name}.part")
    yield beside
    beside.replace(path)
