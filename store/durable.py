"""Making local files durable: what is committed must survive a power cut, so order and fsync matter."""

import errno
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from slidelake.errors import StoreFullError, StoreNotWritableError

__all__ = ["fsync_file", "fsync_folder", "fsync_tree", "make_folders", "refuse_links_above", "writing"]

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


def refuse_links_above(path: Path, root: Path) -> None:
    """Raises StoreNotWritableError where a folder between `root` and `path` is a link: deleting through it would
    take away what is not the store's."""
    for above in path.parents:
        if above == root:
            return
        if above.is_symlink():
            raise StoreNotWritableError(
                f"{above} is a link, and nothing is deleted through links",
                remedy="Put a real folder in its place; a whole store may lie behind a link, its parts may not.",
            )


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
    """Makes `folder` and its parents, all of them durable in their parents, up to `root`.

    Those that are there are synced too: the process that made them may not have come to it yet, and what is
    committed below must not be lost with a name above it.
    """
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
    for above in folder.parents if folder != root else ():
        if above not in {each.parent for each in missing}:
            fsync_folder(above)
        if above == root:
            break
