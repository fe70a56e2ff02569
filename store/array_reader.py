"""One committed array, read the fastest way that its files allow; never anything but what the commit says.

Arrays of the store's own profiles are read directly. All others (written by other programs) are read by
zarr-python, and then held against their checksum, as it takes data that is gone for zeros.
"""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slidelake.errors import StoreError
from slidelake.store.buffers import filled_into, row_numbers
from slidelake.store.checksums import checksum
from slidelake.store.clients import is_client_error, meaning
from slidelake.store.cut_across import CutAcross
from slidelake.store.damage import damaged
from slidelake.store.objects import Objects
from slidelake.store.packed_reader import PackedShard
from slidelake.store.profile import ArrayProfile
from slidelake.store.remote_rows import RemoteShard
from slidelake.store.shard_reader import LocalShard

if TYPE_CHECKING:
    import torch

__all__ = ["ArrayReader"]

#: Bytes that a zarr.json may have; ours have one thousand.
_LONGEST = 1 << 20
#: Rows that zarr-python reads at a time where an array is gone through in blocks.
_BLOCK = 8192


class _Stored(Protocol):
    """One way to read an array."""

    def read_into(self, out: NDArray[Any]) -> None: ...

    def take(self, rows: NDArray[np.intp], out: NDArray[Any]) -> None: ...

    def mapped(self) -> NDArray[Any] | None: ...

    def blocks(self) -> Iterator[NDArray[Any]]: ...


class ArrayReader:
    """The array in a folder of the store, which its commit's entry (shape, dtype, checksum) describes.

    Opening looks at its zarr.json and its shard's index. Raises DamagedStoreError, then or when it reads, where the
    files are gone, truncated or broken, or hold another array.
    """

    def __init__(self, objects: Objects, folder: str, entry: Mapping[str, Any], slide: str) -> None:
        self.shape: tuple[int, ...] = tuple(entry["shape"])
        self.dtype = np.dtype(entry["dtype"])
        self._slide = slide
        self._stored = _stored(objects, folder, entry, slide)

    def read(self, out: "NDArray[Any] | torch.Tensor | None" = None) -> NDArray[Any]:
        """The whole array: fresh, or the view `out[:N]`; raises UsageError for a buffer that does not fit."""
        array = filled_into(out, self.shape, self.dtype, self._slide)
        if array.size:
            self._stored.read_into(array)
        return array

    def rows(self, rows: ArrayLike, out: "NDArray[Any] | torch.Tensor | None" = None) -> NDArray[Any]:
        """The rows of these numbers, in their order: fresh, or the view `out[:R]`; raises UsageError."""
        numbers = row_numbers(rows, self.shape[0], self._slide)
        array = filled_into(out, (len(numbers), *self.shape[1:]), self.dtype, self._slide)
        if array.size:
            self._stored.take(numbers, array)
        return array

    def mapped(self) -> NDArray[Any] | None:
        """The array as a read-only memory map; None where its files cannot be mapped."""
        return self._stored.mapped() if 0 not in self.shape else np.empty(self.shape, self.dtype)

    def blocks(self) -> Iterator[NDArray[Any]]:
        """The array's rows in order in blocks of bounded size, each valid until the next."""
        return self._stored.blocks() if 0 not in self.shape else iter(())


def _stored(objects: Objects, folder: str, entry: Mapping[str, Any], slide: str) -> _Stored:
    place = objects.url_of(folder)
    text: bytes | Exception
    tail: bytes | Exception | None = None
    if objects.local is not None:
        try:
            text = objects.read(f"{folder}/zarr.json")
        except OSError as exc:
            text = exc
    else:
        # The index is asked for before it is known to be there: then both come in the time of one.
        guess = _guess(folder, entry)
        text, *rest = objects.ranges([(f"{folder}/zarr.json", 0, _LONGEST), *([guess] if guess else [])])
        tail = rest[0] if rest else None
    if objects.local is None and isinstance(text, Exception) and is_client_error(text):
        raise meaning(objects.url, text, slide=slide) from text
    metadata = _parsed(text, f"{place}/zarr.json", slide)
    found = (metadata.get("shape"), metadata.get("data_type"))
    if found != (entry["shape"], entry["dtype"]):
        raise damaged(
            place,
            f"holds {found[0]} {found[1]}, its commit says {entry['shape']} {entry['dtype']}",
            slide,
        )
    profile = ArrayProfile.of(metadata)
    if profile is not None and profile.file_bytes:
        shard: LocalShard | RemoteShard | PackedShard
        if profile.packed:
            shard = PackedShard(objects, folder, profile, slide)
        elif objects.local is not None:
            shard = LocalShard(place, profile, slide)
        else:
            shard = RemoteShard(objects, folder, profile, slide, tail if tail is not None else b"")
        if shard.whole:
            return CutAcross(shard) if profile.axis else shard
    return _ByZarr(objects, folder, entry, slide)


def _guess(folder: str, entry: Mapping[str, Any]) -> tuple[str, int, int] | None:
    """Where the index is, if the array has the default profile."""
    # Only pooled scores are cut along their second axis; names of dimensions take no room.
    axis = int(folder.endswith("/scores"))
    profile = ArrayProfile(tuple(entry["shape"]), entry["dtype"], ("",) * len(entry["shape"]), axis)
    return RemoteShard.tail(folder, profile) if profile.file_bytes else None


def _parsed(text: bytes | Exception, path: str, slide: str) -> dict[str, Any]:
    if isinstance(text, FileNotFoundError):
        raise damaged(path, "is gone", slide) from text
    if isinstance(text, Exception):
        raise StoreError(
            f"{path} could not be read ({type(text).__name__}: {text})",
            remedy="Look at the disk and the rights, and try again.",
            slide=slide,
        ) from text
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise damaged(path, f"does not parse ({exc})", slide) from exc
    if not isinstance(metadata, dict):
        raise damaged(path, "is not a JSON object", slide)
    return metadata


class _ByZarr:
    """An array of another profile: read whole, and checked, whatever is asked for."""

    def __init__(self, objects: Objects, folder: str, entry: Mapping[str, Any], slide: str) -> None:
        self._objects, self._folder, self._entry, self._slide = objects, folder, entry, slide
        self._place = objects.url_of(folder)

    def read_into(self, out: NDArray[Any]) -> None:
        out[...] = self._whole()

    def take(self, rows: NDArray[np.intp], out: NDArray[Any]) -> None:
        np.take(self._whole(), rows, axis=0, out=out, mode="clip")

    def mapped(self) -> None:
        return None

    def blocks(self) -> Iterator[NDArray[Any]]:
        """Not held against the checksum: who goes through all blocks can do so."""
        for start in range(0, self._entry["shape"][0], _BLOCK):
            yield self._slice(start, start + _BLOCK)

    def _whole(self) -> NDArray[Any]:
        array = self._slice(0, self._entry["shape"][0])
        if checksum(array) != self._entry["checksum"]:
            raise damaged(self._place, "is not what was committed: its data is gone or changed", self._slide)
        return array

    def _slice(self, start: int, end: int) -> NDArray[Any]:
        import zarr

        try:
            store = self._objects.zarr_store(self._folder)
            return np.asarray(zarr.open_array(store, mode="r", zarr_format=3)[start:end])
        except Exception as exc:
            if self._objects.local is None and is_client_error(exc):
                # A server that is away is no damage.
                raise meaning(self._objects.url, exc, slide=self._slide) from exc
            # Whatever a codec raises about broken bytes.
            raise damaged(self._place, f"cannot be read ({type(exc).__name__}: {exc})", self._slide) from exc
