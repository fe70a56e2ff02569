"""The objects of a store by key, on a local folder or any fsspec URL: the only module that touches fsspec."""

import builtins
import errno
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from io import FileIO
from pathlib import Path
from typing import Any, TypeVar

import fsspec

from slidelake.errors import MissingDependencyError, StoreNotWritableError, UsageError
from slidelake.store.clients import asking, client_options, read_options, tune
from slidelake.store.durable import fsync_tree, make_folders, refuse_links_above, writing
from slidelake.store.new_file import NewFile
from slidelake.store.put_if_absent import ASIDE, links_work, put_local, put_remote, write_durably

__all__ = ["Objects"]

_T = TypeVar("_T")
# How often a step is tried again that another process undid.
_TRIES = 20


# What Path makes of s3://lake; a drive has one letter.
_COLLAPSED = re.compile(r"[a-z][a-z0-9+.-]+:/[^/]")


class Objects:
    """Reads, lists and writes the objects of one store.

    Keys are `/`-separated and relative to the store. `url` is normalised (a local store's is its absolute
    path); `local` is set when the store is a local folder. Refusals become StoreNotWritableError and
    StoreFullError, a remote server that is away or wants other credentials StoreUnreachableError.
    """

    def __init__(self, url: str | os.PathLike[str]) -> None:
        text = os.fspath(url)
        if not text:
            raise UsageError("the store's URL is empty", remedy="Give a folder or URL with --store.")
        if text.startswith("file://"):
            text = text.removeprefix("file://")
        self.storage_options: dict[str, Any] = {}
        self.local: Path | None = None
        if _COLLAPSED.match(text):
            raise UsageError(
                f"{text} is a URL that went through a Path", remedy="Give URLs as text, with both slashes."
            )
        if "://" not in text:
            self.local = Path(text).expanduser().absolute()
            self.url = str(self.local)
            return
        try:
            self._fs, root = fsspec.core.url_to_fs(text, **client_options(text))
        except ImportError as exc:
            raise MissingDependencyError(
                f"{text.partition('://')[0]}:// needs a package that is not installed ({exc})",
                remedy="For S3: pip install 'slidelake[s3]'.",
            ) from exc
        except ValueError as exc:
            raise UsageError(
                f"{text} is no URL of a store ({exc})",
                remedy="Give a folder, or a URL that fsspec knows: s3://, gs://, memory://.",
            ) from exc
        tune(self._fs, text)
        self._root = root.rstrip("/")
        self.url = text.rstrip("/")

    def __repr__(self) -> str:
        return f"Objects({self.url!r})"

    def __reduce__(self) -> tuple[type["Objects"], tuple[str]]:
        return Objects, (self.url,)

    def read(self, key: str) -> bytes:
        """The object's bytes; raises FileNotFoundError."""
        if self.local is not None:
            # A Path takes longer to make than a commit to read.
            with FileIO(self.url_of(key)) as file:
                return file.readall()
        with asking(self.url):
            return bytes(self._fs.cat_file(self._remote(key), **read_options(self.url)))

    def ranges(self, wanted: Sequence[tuple[str, int, int]]) -> builtins.list[bytes | Exception]:
        """Bytes start to end (not included) of objects, less where one ends before; all in flight at once.

        Each is given as (key, start, end). What failed is there as its error: FileNotFoundError for a key that is
        not there, and what the client raises, for a start past the end too.
        """
        if self.local is not None:
            return [self._local_range(*each) for each in wanted]
        if not wanted:
            return []
        keys, starts, ends = zip(*wanted, strict=True)
        paths = [self._remote(key) for key in keys]
        found: builtins.list[bytes | Exception] = self._fs.cat_ranges(
            paths, [*starts], [*ends], on_error="return"
        )
        return found

    def read_json(self, key: str) -> Any:
        """The object's JSON; raises FileNotFoundError, or ValueError where it does not parse."""
        return json.loads(self.read(key))

    def size(self, key: str) -> int:
        """The object's size in bytes; raises FileNotFoundError."""
        if self.local is not None:
            return self._local(key).stat().st_size
        with asking(self.url):
            return int(self._fs.info(self._remote(key))["size"])

    def age(self, key: str) -> float | None:
        """Seconds since a local object was written, by the file system's clock; None on remote stores."""
        if self.local is None:
            return None
        return time.time() - os.stat(self.url_of(key)).st_mtime  # noqa: PTH116 - as in read

    def exists(self, key: str) -> bool:
        """Whether there is an object under this key (a folder is none)."""
        if self.local is not None:
            return self._local(key).is_file()
        with asking(self.url):
            return bool(self._fs.isfile(self._remote(key)))

    def list(self, prefix: str) -> list[str]:
        """Every key below a folder, sorted; [] when there is none."""
        if self.local is not None:
            folder = self.url_of(prefix)
            start = len(self.url.rstrip(os.sep)) + 1
            keys = [
                os.path.join(below, name)[start:].replace(os.sep, "/")  # noqa: PTH118 - a Path per file is 5 × slower
                for below, _, names in os.walk(folder)
                for name in names
                if not name.startswith(ASIDE)
            ]
            return sorted(keys)
        try:
            with asking(self.url):
                found = self._fs.find(self._remote(prefix))
        except FileNotFoundError:
            return []
        start = len(self._root) + 1
        return sorted(path[start:] for path in found)

    def folders(self, prefix: str) -> builtins.list[str]:
        """Names of the direct children that are folders, sorted; [] when there are none."""
        if self.local is not None:
            folder = self._local(prefix)
            if not folder.is_dir():
                return []
            with os.scandir(folder) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir())
        try:
            with asking(self.url):
                found = self._fs.ls(self._remote(prefix), detail=True)
        except FileNotFoundError:
            return []
        return sorted(
            each["name"].rstrip("/").rpartition("/")[2] for each in found if each["type"] == "directory"
        )

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Writes an object unless there is one, atomically and durably; True = this writer won.

        `data` must be the writer's own (hold a token): see put_if_absent.py.
        """
        with writing(self.url):
            if self.local is not None:
                path, root = self._local(key), self.local

                def put() -> bool:
                    make_folders(path.parent, root)
                    return put_local(path, data)

                return _insist(put)
        with asking(self.url, writing=True):
            return put_remote(self._fs, self._remote(key), data)

    def replace(self, key: str, data: bytes) -> None:
        """Writes an object, over an older one if there is one; readers see the old or the new, whole."""
        if self.local is None:
            with asking(self.url, writing=True):
                self._fs.pipe_file(self._remote(key), data)
            return
        with writing(self.url):
            path = self._local(key)
            make_folders(path.parent, self.local)
            aside = path.parent / f"{ASIDE}{secrets.token_hex(8)}"
            try:
                write_durably(aside, data)
                aside.replace(path)
            finally:
                aside.unlink(missing_ok=True)

    def delete(self, key: str) -> None:
        """Deletes an object; nothing happens where there is none."""
        if self.local is not None:
            path = self._local(key)
            refuse_links_above(path, self.local)
            with writing(self.url):
                path.unlink(missing_ok=True)
            return
        with asking(self.url, writing=True):
            if self._fs.isfile(self._remote(key)):
                self._fs.rm_file(self._remote(key))

    def delete_tree(self, prefix: str) -> None:
        """Deletes everything below a folder, and the folder; nothing happens where there is none."""
        if not prefix.strip("/"):
            raise UsageError(
                "deleting the whole store is not done here", remedy="Delete its folder yourself."
            )
        if self.local is not None:
            folder = self._local(prefix)
            refuse_links_above(folder, self.local)
            with writing(self.url):
                _remove_tree(folder)
            return
        with asking(self.url, writing=True):
            if self._fs.exists(self._remote(prefix)):
                self._fs.rm(self._remote(prefix), recursive=True)

    def prune(self, prefix: str) -> None:
        """Removes a local folder and those above it that hold nothing; object stores have no folders."""
        if self.local is None:
            return
        here = self._local(prefix)
        while here != self.local:
            try:
                here.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                return  # it holds something
            here = here.parent

    def new_file(self, key: str, *, aside: bool = False) -> NewFile:
        """A file to write a new, large object to, in its place (local) or to be uploaded (remote).

        With `aside` a local one is written aside and then moved to its place, over what is there.
        """
        if self.local is None:
            return NewFile(self, key, None)
        path = self._local(key)

        def begin() -> NewFile:
            with writing(self.url):
                path.parent.mkdir(parents=True, exist_ok=True)
            if aside:
                return NewFile(self, key, path.parent / f"{ASIDE}{secrets.token_hex(8)}", path)
            return NewFile(self, key, path)

        return _insist(begin)

    def upload(self, path: Path, key: str) -> None:
        """Copies a local file to a key of a remote store."""
        with asking(self.url, writing=True):
            self._fs.put_file(str(path), self._remote(key))

    def sync_tree(self, prefix: str) -> None:
        """Makes a written tree, and the folders above it, durable (local stores; an upload is so already)."""
        if self.local is not None:
            with writing(self.url):
                fsync_tree(self._local(prefix), self.local)

    def url_of(self, key: str) -> str:
        """What zarr.open_group, pyarrow and lancedb take for this key."""
        if self.local is None:
            return f"{self.url}/{key}".rstrip("/")
        return os.path.join(self.url, _checked(key)) if key else self.url  # noqa: PTH118 - as in read

    def zarr_store(self, key: str) -> Any:
        """What zarr.open_group, zarr.open_array and xarray.open_zarr take to read what is below this key.

        On a remote store all of them share one client: by its URL fsspec would make one for every thread that
        asks, and keep its connections open for ever.
        """
        if self.local is not None:
            return self.url_of(key)
        from zarr.storage import FsspecStore

        return FsspecStore(self._zarr_client, path=self._remote(key), read_only=True)

    @cached_property
    def _zarr_client(self) -> Any:
        # zarr wants a client that lives on its own event loop.
        from zarr.storage import FsspecStore

        options = {**client_options(self.url), **read_options(self.url)}
        fs = FsspecStore.from_url(self.url, storage_options=options).fs
        tune(fs, self.url)
        return fs

    def bucket_exists(self) -> bool:
        """Whether the bucket of a remote store is there; True where there are no buckets."""
        if self.local is not None or "memory" in self._fs.protocol:
            return True
        with asking(self.url):
            return bool(self._fs.exists(self._root.partition("/")[0]))

    def check_put_if_absent(self) -> None:
        """Tries it; raises StoreNotWritableError where the endpoint takes a second put for the same key."""
        key = f"probe~{secrets.token_hex(8)}"
        first, second = (json.dumps({"probe": secrets.token_hex(8)}).encode() for _ in range(2))
        try:
            won = self.put_if_absent(key, first)
            if not won or self.put_if_absent(key, second) or self.read(key) != first:
                raise StoreNotWritableError(
                    f"{self.url} ignores conditional writes: two writers could both believe they had won",
                    remedy="Use a file system, or an object store that honours If-None-Match.",
                )
        finally:
            self.delete(key)

    def check_writable(self) -> None:
        """Nothing here; the objects of a snapshot's readers raise UsageError."""

    def put_mode(self) -> str:
        """How put-if-absent is done here, in words; a local store is tried."""
        if self.local is None:
            return "conditional put"
        with writing(self.url):
            return "hard links" if links_work(self.local) else "exclusive create (no hard links here)"

    def _local_range(self, key: str, start: int, end: int) -> bytes | Exception:
        try:
            with FileIO(self.url_of(key)) as file:
                file.seek(start)
                parts = []
                # A read returns 2 GiB - 4 KiB at most.
                while start < end and (part := file.read(end - start)):
                    parts.append(part)
                    start += len(part)
                return parts[0] if len(parts) == 1 else b"".join(parts)
        except OSError as exc:
            return exc

    def _local(self, key: str) -> Path:
        if self.local is None:
            raise RuntimeError("not a local store")
        return self.local / _checked(key) if key else self.local

    def _remote(self, key: str) -> str:
        return f"{self._root}/{_checked(key)}" if key else self._root


def _insist(step: Callable[[], _T]) -> _T:
    """Does a step that makes a folder and then a file in it; another process may take the empty folder away."""
    for _ in range(_TRIES):
        try:
            return step()
        except FileNotFoundError:
            continue
    return step()


def _remove_tree(folder: Path) -> None:
    """Removes a folder with all in it, also while others remove the same or a late writer adds to it."""
    for left in reversed(range(_TRIES)):
        if folder.is_symlink():
            folder.unlink(missing_ok=True)
        if not folder.is_dir():
            return
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            continue
        except OSError as exc:
            if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not left:
                raise


def _checked(key: str) -> str:
    parts = key.rstrip("/").split("/")
    if ".." in parts or "" in parts or "\\" in key or "\0" in key:
        raise UsageError(f"{key!r} is not a key of a store", remedy="Keys are relative, without '..'.")
    return "/".join(parts)
