"""Reads one array of the default profile from a remote store: only the byte ranges that are wanted, many in flight.

A whole array comes as a few large ranges; chosen rows come as the ranges they lie in, adjacent ones merged: to read
past a small gap costs less than another request.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import SlidelakeError
from slidelake.store.clients import meaning
from slidelake.store.damage import damaged
from slidelake.store.objects import Objects
from slidelake.store.profile import ArrayProfile
from slidelake.store.shard_index import contiguous, index_bytes, parse_index

__all__ = ["RemoteShard", "merged_ranges"]

#: Bytes of one request for a large range; one connection to S3 gives 50 to 100 MB/s, so larger ones only wait.
PART = 1 << 24
#: Rows that lie no further apart than this come in one request: at 20 ms a request and 100 MB/s.
GAP = 1 << 18
#: Bytes asked for at once, which is what a read holds beside its result.
IN_FLIGHT = 1 << 27
#: Requests at once: at 20 ms of latency, 64 KiB ranges need 16 for 0.7 of the rate without latency.
REQUESTS = 64


class RemoteShard:
    """The shard object of one array; `tail` is what a read of its index gave. Opening checks it.

    Raises DamagedStoreError where the object is gone, truncated, or its index has the wrong crc32c; StoreError
    where it cannot be reached. `whole` says whether the rows lie end to end.
    """

    def __init__(
        self, objects: Objects, folder: str, profile: ArrayProfile, slide: str, tail: bytes | Exception
    ) -> None:
        self.profile = profile
        self._objects, self._key, self._slide = objects, f"{folder}/{profile.shard_name}", slide
        self.path = objects.url_of(self._key)
        self.whole = self._look(tail)

    @staticmethod
    def tail(folder: str, profile: ArrayProfile) -> tuple[str, int, int]:
        """Which range to read for `tail`: the index, and one byte more, which must not be there."""
        size = profile.file_bytes
        return f"{folder}/{profile.shard_name}", size - index_bytes(profile.chunks), size + 1

    def read_into(self, out: NDArray[Any]) -> None:
        """Reads the whole array into a C-contiguous buffer of its shape and dtype."""
        self._fill(out, 0)

    def take(self, rows: NDArray[np.intp], out: NDArray[Any]) -> None:
        """Reads the rows of these numbers (checked already) into a buffer of their number, in their order."""
        profile = self.profile
        width = profile.row_bytes
        order = np.argsort(rows, kind="stable")
        spans = merged_ranges(rows[order], max(1, GAP // width), max(1, PART // width))
        for batch in _batches(spans, width):
            for (first, last), data in zip(
                batch, self._read([(a * width, b * width) for a, b in batch]), strict=True
            ):
                block = np.frombuffer(data, profile.numpy_dtype).reshape(last - first, *profile.shape[1:])
                low, high = np.searchsorted(rows[order], [first, last])
                places = order[low:high]
                out[places] = block[rows[places] - first]

    def read_chunks(self) -> NDArray[Any]:
        """All inner chunks, padding and all: (chunks, *chunk)."""
        chunks = np.empty((self.profile.chunks, *self.profile.chunk), self.profile.numpy_dtype)
        self._fill(chunks, 0)
        return chunks

    def mapped(self) -> None:
        """Nothing: there is no file here to map."""
        return None

    def blocks(self) -> Iterator[NDArray[Any]]:
        """The array's rows in order, some 128 MiB at a time."""
        profile = self.profile
        step = max(1, IN_FLIGHT // profile.row_bytes)
        for start in range(0, profile.rows, step):
            block = np.empty((min(step, profile.rows - start), *profile.shape[1:]), profile.numpy_dtype)
            self._fill(block, start * profile.row_bytes)
            yield block

    def _fill(self, array: NDArray[Any], offset: int) -> None:
        """Reads as many bytes as the array has, from `offset` on."""
        view = array.reshape(-1).view(np.uint8)
        parts = max(1, round(len(view) / PART))
        cuts = [len(view) * part // parts for part in range(parts + 1)]
        spans = list(pairwise(cuts))
        for batch in _batches(spans, 1):
            wanted = [(offset + start, offset + end) for start, end in batch]
            for (start, end), data in zip(batch, self._read(wanted), strict=True):
                view[start:end] = np.frombuffer(data, np.uint8)

    def _read(self, spans: list[tuple[int, int]]) -> list[bytes]:
        found = self._objects.ranges([(self._key, start, end) for start, end in spans])
        for (start, end), data in zip(spans, found, strict=True):
            if isinstance(data, Exception):
                raise self._failure(data) from data
            if len(data) != end - start:
                raise damaged(self.path, f"is truncated: it ends before byte {end}", self._slide)
        return [data for data in found if not isinstance(data, Exception)]

    def _look(self, tail: bytes | Exception) -> bool:
        profile = self.profile
        wanted = index_bytes(profile.chunks)
        if isinstance(tail, Exception) or len(tail) != wanted:
            # Of another size than the rows end to end have: cut off, or chunks were left out.
            size = self._size(tail)
            (tail,) = self._objects.ranges([(self._key, max(0, size - wanted), size)])
            if isinstance(tail, Exception):
                raise self._failure(tail) from tail
        else:
            size = profile.file_bytes
        try:
            index = parse_index(tail, profile.chunks)
        except ValueError as exc:
            short = f"; it has {size} bytes, not {profile.file_bytes}" if size != profile.file_bytes else ""
            raise damaged(self.path, f"is damaged: {exc}{short}", self._slide) from exc
        return size == profile.file_bytes and contiguous(index, profile.chunk_bytes)

    def _size(self, error: bytes | Exception) -> int:
        try:
            return self._objects.size(self._key)
        except FileNotFoundError as exc:
            raise damaged(self.path, "is gone", self._slide) from exc
        except Exception as exc:
            # Clients raise what they like; what failed first is what is told.
            raise self._unreachable(error if isinstance(error, Exception) else exc) from exc

    def _failure(self, error: Exception) -> SlidelakeError:
        if isinstance(error, FileNotFoundError):
            return damaged(self.path, "is gone", self._slide)
        size = self._size(error)
        if size < self.profile.file_bytes:
            # Servers refuse a range that begins past the end.
            problem = f"is truncated: it has {size} bytes, not {self.profile.file_bytes}"
            return damaged(self.path, problem, self._slide)
        return self._unreachable(error)

    def _unreachable(self, error: Exception) -> SlidelakeError:
        if isinstance(error, SlidelakeError):
            error.slide = self._slide
            return error
        return meaning(self._objects.url, error, slide=self._slide)


def merged_ranges(rows: NDArray[np.intp], gap: int, longest: int) -> list[tuple[int, int]]:
    """[first, last) ranges that hold all of some sorted rows.

    Rows that lie at most `gap` rows apart share one; no range is longer than `longest` rows.
    """
    ranges: list[tuple[int, int]] = []
    if not len(rows):
        return ranges
    breaks = np.flatnonzero(np.diff(rows) > gap) + 1
    for part in np.split(rows, breaks):
        first, last = int(part[0]), int(part[-1]) + 1
        ranges += [(start, min(start + longest, last)) for start in range(first, last, longest)]
    return ranges


def _batches(spans: list[tuple[int, int]], width: int) -> Iterator[list[tuple[int, int]]]:
    """The spans in order, as many at a time as may be in flight."""
    batch: list[tuple[int, int]] = []
    held = 0
    for start, end in spans:
        size = (end - start) * width
        if batch and (held + size > IN_FLIGHT or len(batch) == REQUESTS):
            yield batch
            batch, held = [], 0
        batch.append((start, end))
        held += size
    if batch:
        yield batch
