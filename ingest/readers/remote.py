"""Slides on object stores: copied to a local folder of their own for readers that want files."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import fsspec

from slidelake.errors import UnreadableSlideError

__all__ = ["fetch", "is_remote", "local_path"]

_CHUNK = 1 << 24
#: What must stay free on the local disk beside the copy.
_SPARE = 1 << 28


def is_remote(uri: str) -> bool:
    """Whether a URI is neither a path nor `file://`."""
    return "://" in uri and urlsplit(uri).scheme not in ("file", "local")


def local_path(uri: str) -> Path:
    """The path that a local URI names."""
    return Path(uri.partition("://")[2]) if "://" in uri else Path(uri)


def fetch(uri: str) -> tuple[Path, TemporaryDirectory[str]]:
    """Copies a slide and its companions (MRXS, a DICOM folder) into a folder that goes with its owner.

    Raises UnreadableSlideError: nothing there, no access, or more bytes than the local disk has room for.
    """
    try:
        files, root = fsspec.core.url_to_fs(uri)
        wanted = _wanted(files, root)
        folder: TemporaryDirectory[str] = TemporaryDirectory(prefix="slidelake-")
    # Each file system raises its own errors, from FileNotFoundError to botocore's: all mean the same here.
    except Exception as exc:
        raise _unreadable(uri, exc) from exc
    try:
        total = sum(size for _, size in wanted)
        room = shutil.disk_usage(folder.name).free - _SPARE
        if total > room:
            raise UnreadableSlideError(
                f"its {total:,} bytes do not fit on the local disk ({max(0, room):,} bytes free)",
                remedy="Make room, or point TMPDIR to a larger disk.",
                slide=uri,
            )
        parent = root.rstrip("/").rpartition("/")[0]
        for key, _ in wanted:
            target = Path(folder.name) / key[len(parent) :].lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            with files.open(key, "rb") as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink, _CHUNK)
    except UnreadableSlideError:
        folder.cleanup()
        raise
    except Exception as exc:
        folder.cleanup()
        raise _unreadable(uri, exc) from exc
    return Path(folder.name) / root.rstrip("/").rpartition("/")[2], folder


def _wanted(files: Any, root: str) -> list[tuple[str, int]]:
    """(key, size) of everything that belongs to a slide."""
    if files.isdir(root):
        found = files.find(root, detail=True)
    else:
        found = {root: files.info(root)}
        stem, dot, suffix = root.rpartition(".")
        if dot and suffix.lower() == "mrxs" and files.isdir(stem):
            found |= files.find(stem, detail=True)
    return [(key, int(info["size"])) for key, info in sorted(found.items())]


def _unreadable(uri: str, exc: Exception) -> UnreadableSlideError:
    return UnreadableSlideError(
        f"it cannot be fetched ({type(exc).__name__}: {exc})",
        remedy="Look whether it exists, and whether the credentials for it are set.",
        slide=uri,
    )
