"""Files that are written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slidelake.errors import SlidelakeError

__all__ = ["whole_file"]


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to: it becomes `path` where the context ends well, and goes where it does not.

    Raises SlidelakeError where it cannot be written: the disk is full, mostly.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield beside
        beside.replace(path)
    # torch.save has no other word for a full disk than RuntimeError.
    except (OSError, RuntimeError) as exc:
        raise SlidelakeError(
            f"{path} cannot be written ({exc})",
            remedy="Check the folder, its permissions and its space; --resume then goes on from what was saved last.",
        ) from exc
    finally:
        beside.unlink(missing_ok=True)
