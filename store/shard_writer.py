"""Writes one array of the store's profiles: rows streamed into one shard file, as zarr-python would make it.

The file: inner chunks end to end, the last one padded with zeros, packed where the profile says so, then the index
(shard_index.py). Memory stays constant whatever the number of rows: zarr-python would rewrite the whole shard at
each append.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from slidelake.errors import GridMismatchError, UsageError
from slidelake.store.checksums import checksum, raw
from slidelake.store.chunk_codecs import chunk_codec
from slidelake.store.chunk_packer import ChunkPacker
from slidelake.store.new_file import NewFile
from slidelake.store.objects import Objects
from slidelake.store.profile import ArrayProfile
from slidelake.store.shard_index import make_index

__all__ = ["ShardWriter", "write_array", "write_group"]


class ShardWriter:
    """Appends rows to a new array in `folder`; `close()` finishes the file and writes zarr.json.

    Left without `close()` it leaves an unfinished file behind, which no zarr.json names. The profile's axis
    must be 0 (rows end to end); `write_array` takes the others.
    """

    def __init__(self, objects: Objects, folder: str, profile: ArrayProfile) -> None:
        if profile.axis != 0:
            raise ValueError("rows can only be streamed along the first axis")
        self._objects, self._folder, self._profile = objects, folder, profile
        self._hash = xxhash.xxh3_128()
        codec = chunk_codec(profile.compression, profile.numpy_dtype)
        self._file = objects.new_file(f"{folder}/{profile.shard_name}") if profile.file_bytes else None
        self._packer = ChunkPacker(self._file, profile, codec) if self._file and codec else None
        self.rows = 0

    def append(self, rows: NDArray[Any]) -> None:
        """Adds (B, …) rows of the array's dtype; raises GridMismatchError past the array's end."""
        profile = self._profile
        if rows.shape[1:] != profile.shape[1:] or rows.dtype.newbyteorder("<") != profile.numpy_dtype:
            raise ValueError(
                f"rows of shape {rows.shape} and {rows.dtype} do not fit {profile.shape} {profile.dtype}"
            )
        if self.rows + len(rows) > profile.rows:
            raise _wrong_count(self.rows + len(rows), profile.rows)
        self.rows += len(rows)
        if self._file is not None and len(rows):
            view = raw(rows)
            self._hash.update(view)
            if self._packer is None:
                self._file.write(view)
            else:
                self._packer.write(rows)

    def close(self) -> dict[str, Any]:
        """Pads and indexes; returns the array's entry of a commit: shape, dtype, checksum."""
        if self.rows != self._profile.rows:
            raise _wrong_count(self.rows, self._profile.rows)
        if self._file is not None:
            _finish_shard(self._file, self._profile, self.rows * self._profile.row_bytes, self._packer)
            self._file = None
        return _finish_array(self._objects, self._folder, self._profile, self._hash.hexdigest())

    def abandon(self) -> None:
        """Lets go of the file; what was written of it is garbage."""
        if self._file is not None:
            self._file.discard()
            self._file = None


def write_array(
    objects: Objects,
    folder: str,
    array: NDArray[Any],
    dimensions: tuple[str, ...],
    axis: int = 0,
    compression: str = "none",
) -> dict[str, Any]:
    """Writes a whole array, cut into chunks along `axis`; returns its entry of a commit."""
    profile = ArrayProfile(array.shape, array.dtype.name, dimensions, axis, compression)
    if axis == 0:
        writer = ShardWriter(objects, folder, profile)
        try:
            writer.append(array)
            return writer.close()
        finally:
            writer.abandon()
    if profile.file_bytes:
        codec = chunk_codec(compression, profile.numpy_dtype)
        file = objects.new_file(f"{folder}/{profile.shard_name}")
        packer = ChunkPacker(file, profile, codec) if codec else None
        try:
            for chunk in _chunks(array, profile):
                if packer is None:
                    file.write(raw(chunk))
                else:
                    packer.write_chunk(chunk)
            _finish_shard(file, profile, profile.chunks * profile.chunk_bytes, packer)
        finally:
            file.discard()
    return _finish_array(objects, folder, profile, checksum(array))


def _chunks(array: NDArray[Any], profile: ArrayProfile) -> Iterator[NDArray[Any]]:
    axis, size = profile.axis, profile.chunk[profile.axis]
    for start in range(0, profile.rows, size):
        chunk = np.zeros(profile.chunk, profile.numpy_dtype)
        part = np.take(array, range(start, min(start + size, profile.rows)), axis=axis)
        chunk[tuple(slice(0, n) for n in part.shape)] = part
        yield chunk


def _finish_shard(file: NewFile, profile: ArrayProfile, written: int, packer: ChunkPacker | None) -> None:
    if packer is None:
        # The last chunk is stored whole; its padding is a hole in the file, not bytes on the disk.
        file.skip(profile.chunks * profile.chunk_bytes - written)
        sizes = [profile.chunk_bytes] * profile.chunks
    else:
        packer.finish()
        sizes = packer.sizes
    file.write(make_index(sizes))
    file.finish()


def _finish_array(objects: Objects, folder: str, profile: ArrayProfile, digest: str) -> dict[str, Any]:
    write_json(objects, f"{folder}/zarr.json", profile.metadata())
    return {"shape": list(profile.shape), "dtype": profile.dtype, "checksum": digest}


def write_group(objects: Objects, folder: str, attributes: Mapping[str, Any]) -> None:
    """Writes a group's zarr.json: the last file of an attempt, after its arrays."""
    write_json(
        objects,
        f"{folder}/zarr.json",
        {"attributes": dict(attributes), "zarr_format": 3, "node_type": "group"},
    )


def write_json(objects: Objects, key: str, value: Mapping[str, Any]) -> None:
    """Writes a small JSON object of an attempt; raises UsageError for what JSON cannot hold."""
    try:
        text = json.dumps(value, indent=2, allow_nan=False)
    except (TypeError, ValueError) as exc:
        raise UsageError(
            f"attributes of {key} cannot be written as JSON ({exc})",
            remedy="Use strings, finite numbers, lists and dicts of them.",
        ) from exc
    file = objects.new_file(key)
    try:
        file.write(text.encode())
        file.finish()
    finally:
        file.discard()


def _wrong_count(written: int, rows: int) -> GridMismatchError:
    return GridMismatchError(
        f"{written} rows were written to an array of {rows}",
        remedy="Write exactly one row for each row of the grid, in its order.",
    )
