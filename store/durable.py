"""Making local files durable: what is committed must survive a power cut, so order and fsync matter."""

import errno
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from slidelake.errors import StoreFullError, StoreNotWritableError

__all__ = ["fsync_file", "fsync_folder", "fsync_tree", "make_folders", "writing"]

_FULL = {errno.ENOSPC, errno.EDQUOT}
_AT_ONCE = 8
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


def fsync_file(path: Path) -> None:
    """Makes a closed file's content durable."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_tree(folder: Path, root: Path) -> None:
    """Makes all below `folder` durable: its files, then its folders and those above it up to `root`.

    The folders above are synced even if another process made them: it may not have come to it yet.
    """
    files, folders = [], []
    for below, _, names in os.walk(folder):
        folders.append(Path(below))
        files += [Path(below) / name for name in names]
    for above in folder.parents:
        folders.append(above)
        if above == root:
            break
    # At once they share the file system's journal commits: the 16 files and folders of a bag take 4 ms, one
    # after the other 40 (ext4, 2 cores).
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(fsync_file, files):
            pass
        for _ in pool.map(fsync_folder, folders):
            pass


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
