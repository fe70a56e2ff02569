"""The objects of a store by key, on a local folder or any fsspec URL: the only module that touches fsspec."""

import builtins
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from functools import cached_property
from io import FileIO
from pathlib import Path
from typing import Any

import fsspec

from slidelake.errors import MissingDependencyError, StoreNotWritableError, UsageError
from slidelake.store.clients import asking, client_options, read_options, tune
from slidelake.store.durable import fsync_tree, make_folders, refuse_links_above, writing
from slidelake.store.put_if_absent import ASIDE, links_work, put_local, put_remote, write_durably

__all__ = ["Objects"]


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
            return self._local(key).read_bytes()
        with asking(self.url):
            return bytes(self._fs.cat_file(self._remote(key), **read_options(self.url)))

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
        return time.time() - self._local(key).stat().st_mtime

    def exists(self, key: str) -> bool:
        """Whether there is an object under this key (a folder is none)."""
        if self.local is not None:
            return self._local(key).is_file()
        with asking(self.url):
            return bool(self._fs.isfile(self._remote(key)))

    def list(self, prefix: str) -> list[str]:
        """Every key below a folder, sorted; [] when there is none."""
        if self.local is not None:
            folder = self._local(prefix)
            start = len(str(self.local).rstrip(os.sep)) + 1
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
                path = self._local(key)
                make_folders(path.parent, self.local)
                return put_local(path, data)
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
                if folder.is_symlink():
                    folder.unlink()
                elif folder.is_dir():
                    shutil.rmtree(folder)
            return
        with asking(self.url, writing=True):
            if self._fs.exists(self._remote(prefix)):
                self._fs.rm(self._remote(prefix), recursive=True)

    def new_file(self, key: str) -> "NewFile":
        """A file to write a new, large object to, in its place (local) or to be uploaded (remote)."""
        if self.local is None:
            return NewFile(self, key, None)
        path = self._local(key)
        with writing(self.url):
            path.parent.mkdir(parents=True, exist_ok=True)
        return NewFile(self, key, path)

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
        return str(self._local(key)) if self.local is not None else f"{self.url}/{key}".rstrip("/")

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

    def put_mode(self) -> str:
        """How put-if-absent is done here, in words; a local store is tried."""
        if self.local is None:
            return "conditional put"
        with writing(self.url):
            return "hard links" if links_work(self.local) else "exclusive create (no hard links here)"

    def _local(self, key: str) -> Path:
        if self.local is None:
            raise RuntimeError("not a local store")
        return self.local / _checked(key) if key else self.local

    def _remote(self, key: str) -> str:
        return f"{self._root}/{_checked(key)}" if key else self._root


class NewFile:
    """An object being written: `path` is a real local file; `finish()` makes it the object.

    On a local store `sync_tree` makes it durable, together with all of its attempt.
    Until its array's zarr.json names it nobody looks at it, so a local one is written in its place.
    """

    def __init__(self, objects: Objects, key: str, path: Path | None) -> None:
        self._objects, self._key = objects, key
        self._folder = tempfile.TemporaryDirectory(prefix="slidelake-") if path is None else None
        self.path = path if path is not None else Path(self._folder.name if self._folder else "") / "object"
        # Unbuffered: batches are large, and a disk's error should come from the write that met it.
        with writing(objects.url):
            self._file: FileIO = self.path.open("xb", buffering=0)

    def write(self, data: bytes | memoryview) -> None:
        """Appends all of `data`."""
        view = memoryview(data)
        with writing(self._objects.url):
            while view:
                view = view[self._file.write(view) :]

    def skip(self, count: int) -> None:
        """Appends `count` zero bytes, as a hole where the file system knows holes."""
        with writing(self._objects.url):
            self._file.truncate(self._file.seek(count, os.SEEK_CUR))

    def finish(self) -> None:
        """Closes the file; uploads it where the store is remote."""
        with writing(self._objects.url):
            self._file.close()
        if self._folder is not None:
            self._objects.upload(self.path, self._key)
        self.discard()

    def discard(self) -> None:
        """Closes the file as it is; nothing is uploaded."""
        self._file.close()
        if self._folder is not None:
            self._folder.cleanup()


def _checked(key: str) -> str:
    parts = key.rstrip("/").split("/")
    if ".." in parts or "" in parts or "\\" in key or "\0" in key:
        raise UsageError(f"{key!r} is not a key of a store", remedy="Keys are relative, without '..'.")
    return "/".join(parts)
