"""Finding files to import, and writing exported ones whole or not at all."""

import errno
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from slidelake.errors import StoreFullError, StoreNotWritableError, UsageError
from slidelake.store.durable import fsync_folder
from slidelake.store.interop.hdf5 import FeatureFile
from slidelake.store.interop.origin import ATTRIBUTE

__all__ = ["files_below", "read_marker", "whole_file", "write_hdf5"]

#: Rows of a chunk: the other programs' own chunks of one row make reading 30 to 80 times slower.
CHUNK_ROWS = 256


def files_below(path: Path, suffixes: Iterable[str]) -> list[Path]:
    """The file itself, or every file below a folder with one of these suffixes, sorted; hidden ones left out.
    Links to folders are not followed. Raises UsageError where there is nothing."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UsageError(
            f"there is no {path}", remedy="Give a file of features, or a folder with such files."
        )
    wanted = tuple(suffixes)
    found = [
        Path(folder) / name
        for folder, _, names in os.walk(path)
        for name in names
        if name.lower().endswith(wanted) and not name.startswith(".")
    ]
    return sorted(found)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A place to write a file at; it appears under its own name, synced, when all went well."""
    with _writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.parent / f".{secrets.token_hex(8)}{path.suffix}"
        try:
            yield aside
            with aside.open("rb+") as file:
                os.fsync(file.fileno())
            aside.replace(path)
            fsync_folder(path.parent)
        finally:
            aside.unlink(missing_ok=True)


def write_hdf5(
    path: Path,
    arrays: Mapping[str, NDArray[Any]],
    attributes: Mapping[str, Mapping[str, Any]],
    *,
    chunked: bool = True,
) -> None:
    """Writes a file of datasets, in chunks of at least 256 rows and without limit of rows, or contiguous; and
    attributes by object (`/` is the file)."""
    import h5py

    with whole_file(path) as aside, h5py.File(aside, "w") as file:
        for name, array in arrays.items():
            layout: dict[str, Any] = {}
            if chunked and array.ndim:
                layout = {
                    "chunks": (max(1, min(CHUNK_ROWS, len(array))), *array.shape[1:]),
                    "maxshape": (None, *array.shape[1:]),
                }
            file.create_dataset(name, data=array, **layout)
        for place, values in attributes.items():
            for key, value in values.items():
                file[place].attrs[key] = value


def read_marker(place: str) -> Callable[[Path], str | None]:
    """A reader of our stamp at an object of a file."""

    def read(path: Path) -> str | None:
        with FeatureFile(path) as file:
            found = file.attributes(place).get(ATTRIBUTE)
        return found if isinstance(found, str) else None

    return read


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFullError(
                f"no space is left in {folder}",
                remedy="Free some space, then run the same command again: what is written stays.",
            ) from exc
        if isinstance(exc, PermissionError) or exc.errno == errno.EROFS:
            raise StoreNotWritableError(
                f"{folder} cannot be written ({exc.strerror or exc})", remedy="Choose another folder."
            ) from exc
        raise
