"""An object while it is being written: a real local file, in its place or to be uploaded."""

import os
import tempfile
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from slidelake.store.durable import writing

if TYPE_CHECKING:
    from slidelake.store.objects import Objects

__all__ = ["NewFile"]


class NewFile:
    """An object being written: `path` is a real local file; `finish()` makes it the object.

    On a local store `sync_tree` makes it durable, together with all of its attempt.
    Until its array's zarr.json names it nobody looks at it, so a local one is written in its place;
    or aside, where `place` says to where it is moved in the end, over what is there.
    """

    def __init__(self, objects: "Objects", key: str, path: Path | None, place: Path | None = None) -> None:
        self._objects, self._key, self._place = objects, key, place
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
        if self._place is not None:
            with writing(self._objects.url):
                self.path.replace(self._place)
        self.discard()

    def discard(self) -> None:
        """Closes the file as it is; nothing is uploaded, nor moved to its place."""
        self._file.close()
        if self._place is not None:
            self.path.unlink(missing_ok=True)
        if self._folder is not None:
            self._folder.cleanup()
