"""HDF5 files of unknown origin, read with care: nothing but plain arrays that lie whole in the file itself.

An HDF5 file can lead elsewhere (links, external and virtual data) and can claim more than it holds; h5py
follows the first, and fills in the second with zeros.
"""

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import FeatureFileError, SlidelakeError

__all__ = ["FeatureFile"]

#: Bytes that a stored byte may unfold to: deflate reaches 1,032.
_UNFOLDS = 2000
#: Larger attributes are none that a reader needs.
_ATTRIBUTE_BYTES = 64 << 10
_KINDS = "fiub"
_AGAIN = "Make the file again with the program that wrote it."


class FeatureFile:
    """An HDF5 file, open for reading; a context manager. What h5py raises becomes FeatureFileError."""

    def __init__(self, path: Path) -> None:
        import h5py

        self.path = path
        if not path.is_file():
            raise FeatureFileError("there is no such file", remedy="Check the path.", slide=str(path))
        try:
            # A writer that is at it still holds the lock; file systems without locks are no reason to refuse.
            self._file: Any = h5py.File(path, "r", locking="best-effort")
        except (OSError, RuntimeError, ValueError) as exc:
            raise FeatureFileError(
                f"it is no HDF5 file that can be read ({_short(exc)})",
                remedy="If it was cut off, make it again with the program that wrote it.",
                slide=str(path),
            ) from exc

    def __enter__(self) -> "FeatureFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if isinstance(error, SlidelakeError):
            return  # says it better
        if isinstance(error, OSError | RuntimeError | KeyError | TypeError | ValueError):
            raise self.refused(f"it cannot be read ({_short(error)})") from error

    def refused(self, problem: str, remedy: str = _AGAIN) -> FeatureFileError:
        """The error for something about this file."""
        return FeatureFileError(problem, remedy=remedy, slide=str(self.path))

    def has(self, name: str) -> bool:
        """Whether there is a dataset, a group or a link of this name at the file's top."""
        return self._file.get(name, getlink=True) is not None

    def is_group(self, name: str) -> bool:
        import h5py

        return self.has(name) and isinstance(self._object(name), h5py.Group)

    def names(self, group: str) -> list[str]:
        """The names in a group, sorted."""
        return sorted(self._object(group).keys())

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(int(side) for side in self._dataset(name).shape)

    def array(self, name: str) -> NDArray[Any]:
        """A whole dataset of numbers, in this machine's byte order."""
        dataset = self._dataset(name)
        self._check_whole(name, dataset)
        found = np.asarray(dataset[...])
        return np.ascontiguousarray(found, dtype=found.dtype.newbyteorder("="))

    def attributes(self, name: str = "/") -> dict[str, Any]:
        """An object's attributes as numbers, text and lists; the text 'None' as None. Others are left out."""
        import h5py

        attributes = self._object(name).attrs
        found = {}
        for key in attributes:
            if attributes.get_id(key).get_storage_size() > _ATTRIBUTE_BYTES:
                continue
            value = attributes[key]
            if not isinstance(value, h5py.Empty):
                found[str(key)] = _plain(value)
        return found

    def _object(self, name: str) -> Any:
        import h5py

        here: Any = self._file
        for part in filter(None, name.split("/")):
            link = here.get(part, getlink=True)
            if link is None:
                raise self.refused(f"it has no {name}", f"Check --format. {_AGAIN}")
            if not isinstance(link, h5py.HardLink):
                raise self.refused(f"its {name} is a link to another place, which is not followed")
            here = here[part]
        return here

    def _dataset(self, name: str) -> Any:
        import h5py

        found = self._object(name)
        if not isinstance(found, h5py.Dataset):
            raise self.refused(f"its {name} is no dataset")
        if found.is_virtual or found.external:
            raise self.refused(f"its {name} lies in other files, which are not followed")
        if found.shape is None or found.dtype.kind not in _KINDS or found.dtype.subdtype:
            raise self.refused(f"its {name} holds {found.dtype}, not numbers")
        return found

    def _check_whole(self, name: str, dataset: Any) -> None:
        claimed = int(np.prod([int(side) for side in dataset.shape], dtype=object)) * dataset.dtype.itemsize
        size = self.path.stat().st_size
        filtered = dataset.chunks is not None and dataset.id.get_create_plist().get_nfilters() > 0
        if claimed > size * (_UNFOLDS if filtered else 1):
            raise self.refused(
                f"its {name} claims {claimed:,} bytes ({dataset.shape} {dataset.dtype}), and the file has {size:,}"
            )
        if filtered:
            chunks = [-(-side // step) for side, step in zip(dataset.shape, dataset.chunks, strict=True)]
            expected, there = int(np.prod(chunks, dtype=np.int64)), int(dataset.id.get_num_chunks())
        else:
            expected, there = claimed, int(dataset.id.get_storage_size())
        if there < expected:
            # h5py would read what was never written as zeros.
            raise self.refused(f"part of its {name} was never written")


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = value.tolist()
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return None if isinstance(value, str) and value == "None" else value


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else f"{text[:200]}…"
