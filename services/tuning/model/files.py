"""Files that are written whole or not at all."""

import os
from collections.abc import Callable
from pathlib import Path

from slidelake.errors import SlidelakeError

__all__ = ["put_text", "put_whole"]


def put_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Lets `write` fill a file beside `path`, which then takes its place. Raises SlidelakeError where it cannot be."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(beside)
        beside.replace(path)
    # torch.save has no other word for a full disk than RuntimeError.
    except (OSError, RuntimeError) as exc:
        raise SlidelakeError(
            f"{path} cannot be written ({exc})",
            remedy="Check the folder, its permissions and its space; --resume then goes on from what was saved last.",
        ) from exc
    finally:
        beside.unlink(missing_ok=True)


def put_text(path: Path, text: str) -> None:
    """Writes text in UTF-8, whole or not at all."""
    put_whole(path, lambda beside: beside.write_text(text, encoding="utf-8"))
