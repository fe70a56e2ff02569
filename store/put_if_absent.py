"""Put-if-absent, on local file systems and on object stores: exactly one of many writers wins.

Local: write aside, fsync, `link`, fsync of the folder; `link` fails if the name is taken, and the whole
content appears at once. Where hard links are refused (exFAT, some network mounts): `O_CREAT|O_EXCL`, write,
fsync; there a reader may see a beginning, so that a commit that does not parse is void after 60 s
(commits.py). Never fsspec's local `pipe_file(mode="create")`: it is `exists()` and then a truncating write.

Remote: fsspec's `mode="create"` (If-None-Match on S3). Clients resend, and then report "exists" for their
own write, so after any error the key is read back and compared with what was sent: the data of a writer
must therefore be its own (commits hold their attempt).
"""

import errno
import os
import secrets
import threading
from pathlib import Path
from typing import Any

from slidelake.store.durable import fsync_folder

__all__ = ["ASIDE", "links_work", "put_local", "put_remote", "remove_if_there"]

#: Files written aside start so; listings leave them out, and no slug starts with a dot.
ASIDE = ".aside-"
_NO_LINKS = {
    errno.EPERM,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EMLINK,
    errno.EXDEV,
    errno.EINVAL,
}
# memory:// tests for the name and then writes: within one process a lock makes that one step.
_memory_lock = threading.Lock()


def put_local(path: Path, data: bytes) -> bool:
    """Writes `data` at `path` unless something is there; True = we won. The folder must exist."""
    aside = path.parent / f"{ASIDE}{secrets.token_hex(8)}"
    try:
        write_durably(aside, data)
        try:
            # pathlib's hardlink_to is the same call; os.link is what the fsync-order test records.
            os.link(aside, path)
            won = True
        except FileExistsError:
            # Over NFS a resent request reports "exists" for its own success; the link count tells.
            won = aside.stat().st_nlink == 2
        except OSError as exc:
            if exc.errno not in _NO_LINKS:
                raise
            won = _put_exclusively(path, data)
    finally:
        remove_if_there(aside)
    if won:
        fsync_folder(path.parent)
    return won


def links_work(folder: Path) -> bool:
    """Whether hard links can be made in a folder."""
    one, other = (folder / f"{ASIDE}{secrets.token_hex(8)}" for _ in range(2))
    try:
        write_durably(one, b"")
        os.link(one, other)
    except OSError as exc:
        if exc.errno not in _NO_LINKS:
            raise
        return False
    finally:
        remove_if_there(one)
        remove_if_there(other)
    return True


def _put_exclusively(path: Path, data: bytes) -> bool:
    try:
        write_durably(path, data)
    except FileExistsError:
        return False
    except OSError:
        # The name is ours, its content is not whole: without this the slide would wait 60 s for it.
        path.unlink()
        raise
    return True


def write_durably(path: Path, data: bytes) -> None:
    """Makes a file that must not exist yet, writes it and syncs it."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def put_remote(fs: Any, path: str, data: bytes) -> bool:
    """The same through an fsspec file system; raises what the client raised if the key is not there after."""
    try:
        if "memory" in _protocols(fs):
            with _memory_lock:
                fs.pipe_file(path, data, mode="create")
        else:
            fs.pipe_file(path, data, mode="create")
        return True
    except Exception:  # clients differ in what they raise, and an error may follow a success
        try:
            there = fs.cat_file(path)
        except FileNotFoundError:
            there = None
        if there is None:
            raise
        return bytes(there) == data


def remove_if_there(path: Path) -> None:
    """Deletes a file; nothing happens where there is none."""
    path.unlink(missing_ok=True)


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
