"""Making local files durable: what is committed must survive a power cut, so order and fsync matter."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slidelake.errors import StoreFullError, StoreNotWritableError

__all__ = ["fsync_folder", "fsync_tree", "make_folders", "writing"]

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def writing(url: str) -> Iterator[None]:
    """Turns the operating system's refusals into the store's errors, with the store's name and a remedy."""
    try:
        yield
    except OSError as exc:
        if exc.errno in _FULL:
            raise StoreFullError(
                f"no space is left in the store {url}",
                remedy="Free some space or raise the quota, then run the same command again: "
                "what is committed stays.",
            ) from exc
        if exc.errno in _FORBIDDEN or (exc.errno is None and isinstance(exc, PermissionError)):
            raise StoreNotWritableError(
                f"the store {url} cannot be written ({exc.strerror or exc})",
                remedy="Give this user the right to write there, or choose another --store.",
            ) from exc
        raise


def fsync_folder(folder: Path) -> None:
    """Makes the names in a folder durable. Windows has no such call; there the file's own fsync must do."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_tree(folder: Path, root: Path) -> None:
    """Makes every folder at or below `folder`, then each above it up to `root`, durable (files are already).

    The folders above are synced even if another process made them: it may not have come to it yet.
    """
    for below, _, _ in os.walk(folder, topdown=False):
        fsync_folder(Path(below))
    for above in folder.parents:
        fsync_folder(above)
        if above == root:
            break


def make_folders(folder: Path, root: Path) -> None:
    """Makes `folder` and its parents, each new one durable in its parent, up to `root`."""
    missing = []
    here = folder
    while not here.is_dir():
        missing.append(here)
        if here in (root, here.parent):
            break
        here = here.parent
    for each in reversed(missing):
        each.mkdir(parents=True, exist_ok=True)
        fsync_folder(each.parent)
