"""Reads one array whose inner chunks are packed, chunk by chunk, from a folder or a remote store.

zarr-python would read it too, in about the time; but not single rows without their whole shard's bookkeeping, and
it takes chunks that are gone for zeros.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import SlidelakeError
from slidelake.store.chunk_codecs import chunk_codec
from slidelake.store.clients import meaning
from slidelake.store.damage import damaged
from slidelake.store.objects import Objects
from slidelake.store.profile import ArrayProfile
from slidelake.store.shard_index import MISSING, index_bytes, parse_index

__all__ = ["PackedShard"]

#: Bytes of packed chunks that are asked for at once.
AT_ONCE = 1 << 25


class PackedShard:
    """The shard file of one array. Opening checks its index.

    Raises DamagedStoreError where the file is gone, truncated, or its index is not sound; MissingDependencyError
    where the codec is not installed. `whole` says whether each chunk is there.
    """

    def __init__(self, objects: Objects, folder: str, profile: ArrayProfile, slide: str) -> None:
        self.profile = profile
        self._objects, self._key, self._slide = objects, f"{folder}/{profile.shard_name}", slide
        self.path = objects.url_of(self._key)
        codec = chunk_codec(profile.compression, profile.numpy_dtype)
        if codec is None:
            raise ValueError("the chunks of this array are not packed")
        self._codec = codec
        self._index = self._read_index()
        self.whole = not (self._index == MISSING).any()

    def read_into(self, out: NDArray[Any]) -> None:
        """Reads the whole array into a C-contiguous buffer of its shape and dtype."""
        profile = self.profile
        size = profile.chunk[0]
        for number, chunk in self._chunks(range(profile.chunks), out):
            start = number * size
            part = out[start : start + size]
            if not np.may_share_memory(chunk, out):
                part[...] = chunk[: len(part)]

    def take(self, rows: NDArray[np.intp], out: NDArray[Any]) -> None:
        """Reads the rows of these numbers (checked already), unpacking only the chunks that they lie in."""
        profile = self.profile
        size = profile.chunk[0]
        order = np.argsort(rows, kind="stable")
        numbers, starts = np.unique(rows[order] // size, return_index=True)
        places = np.split(order, starts[1:])
        for (number, chunk), place in zip(self._chunks(numbers.tolist()), places, strict=True):
            out[place] = chunk[rows[place] - number * size]

    def read_chunks(self) -> NDArray[Any]:
        """All inner chunks, padding and all: (chunks, *chunk)."""
        return np.stack([chunk.copy() for _, chunk in self._chunks(range(self.profile.chunks))])

    def mapped(self) -> None:
        """Nothing: packed rows cannot be mapped."""
        return None

    def blocks(self) -> Iterator[NDArray[Any]]:
        """The array's rows in order, an inner chunk at a time, each valid until the next."""
        profile = self.profile
        for number, chunk in self._chunks(range(profile.chunks)):
            yield chunk[: profile.rows - number * profile.chunk[0]]

    def _chunks(self, numbers: Any, into: NDArray[Any] | None = None) -> Iterator[tuple[int, NDArray[Any]]]:
        """(number, chunk) of the chunks asked for, each valid until the next; whole ones unpacked in `into`."""
        profile, spare = self.profile, np.empty(self.profile.chunk, self.profile.numpy_dtype)
        size = profile.chunk[0]
        for batch in self._batches(list(numbers)):
            wanted = [
                (self._key, int(start), int(start + count)) for start, count in self._index[batch].tolist()
            ]
            for number, (_, start, end), data in zip(
                batch, wanted, self._objects.ranges(wanted), strict=True
            ):
                if isinstance(data, Exception):
                    raise self._failure(data) from data
                if len(data) != end - start:
                    raise damaged(self.path, "is truncated", self._slide)
                here = spare if into is None else into[number * size : (number + 1) * size]
                chunk = here if here.shape == spare.shape else spare
                try:
                    self._codec.decode(data, chunk)
                except Exception as exc:
                    # Whatever a codec raises about broken bytes.
                    raise damaged(
                        self.path, f"is damaged: its chunk {number} does not unpack ({exc})", self._slide
                    ) from exc
                yield number, chunk

    def _batches(self, numbers: list[int]) -> Iterator[list[int]]:
        batch: list[int] = []
        held = 0
        for number in numbers:
            count = int(self._index[number, 1])
            if batch and held + count > AT_ONCE:
                yield batch
                batch, held = [], 0
            batch.append(number)
            held += count
        if batch:
            yield batch

    def _read_index(self) -> NDArray[np.uint64]:
        tail = index_bytes(self.profile.chunks)
        try:
            size = self._objects.size(self._key)
        except FileNotFoundError as exc:
            raise damaged(self.path, "is gone", self._slide) from exc
        if size < tail:
            raise damaged(self.path, f"is truncated: it has {size} bytes", self._slide)
        (data,) = self._objects.ranges([(self._key, size - tail, size)])
        if isinstance(data, Exception):
            raise self._failure(data) from data
        try:
            index = parse_index(data, self.profile.chunks)
        except ValueError as exc:
            raise damaged(self.path, f"is damaged: {exc}", self._slide) from exc
        offsets, sizes = index[index[:, 0] != MISSING].T
        end = np.uint64(size - tail)
        if ((sizes > end) | (offsets > end - np.minimum(sizes, end))).any():
            raise damaged(self.path, "is damaged: its index names bytes past its end", self._slide)
        return index

    def _failure(self, error: Exception) -> SlidelakeError:
        if isinstance(error, FileNotFoundError):
            return damaged(self.path, "is gone", self._slide)
        if self._objects.local is not None:
            return damaged(self.path, f"cannot be read ({error})", self._slide)
        # A server that is away is no damage.
        return meaning(self._objects.url, error, slide=self._slide)
