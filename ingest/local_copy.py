"""A local path for a slide: itself, or a temporary copy of a remote one, bounded and removed after."""

import os
import shutil
import tempfile
from pathlib import Path

from slidelake.errors import StoreFullError, UnreadableSlideError

__all__ = ["LocalCopy", "absolute", "is_remote", "local_path"]

#: Free space left untouched when a remote slide is copied (bytes).
SPARE = 1 << 30


def is_remote(uri: str) -> bool:
    """Whether the URI names something that is not on this machine's file system."""
    return "://" in uri and not uri.startswith("file://")


def local_path(uri: str) -> str:
    """A local URI as a path."""
    return uri.removeprefix("file://")


def absolute(path: Path) -> str:
    """The path from the root on, by the file's own name where that is a link: the name is what people know it
    by, and what lies behind may be called by a hash (DVC, git-annex, Nextflow)."""
    return os.path.join(os.path.realpath(path.parent), path.name)  # noqa: PTH118 (a name may be anything)


class LocalCopy:
    """`path` is where the slide can be opened; `close` removes it again if it was copied."""

    def __init__(self, uri: str) -> None:
        self._folder: str | None = None
        if not is_remote(uri):
            self.path = local_path(uri)
            return
        import fsspec

        try:
            filesystem, remote = fsspec.core.url_to_fs(uri)
            size = int(filesystem.size(remote) or 0)
        except (OSError, ImportError, ValueError) as exc:
            raise UnreadableSlideError(
                f"it cannot be reached: {exc}",
                remedy="Check the URL, the credentials, and that the fsspec back end is installed.",
                slide=uri,
            ) from exc
        self._folder = tempfile.mkdtemp(prefix="slidelake-")
        if shutil.disk_usage(self._folder).free < size + SPARE:
            self.close()
            raise StoreFullError(
                f"no room for a local copy of {size / 1e9:.1f} GB",
                remedy="Free space in the temporary folder, or point TMPDIR to a larger disk.",
                slide=uri,
            )
        self.path = str(Path(self._folder) / Path(remote).name)
        try:
            filesystem.get_file(remote, self.path)
        except OSError as exc:
            self.close()
            raise UnreadableSlideError(
                f"it cannot be fetched: {exc}", remedy="Run the same command again.", slide=uri
            ) from exc

    def close(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
