"""Reads one array of the default profile from a local folder: its rows are the bytes of its file.

A whole array is read into a buffer, its chosen rows are taken from a memory map. Never a map that is copied whole:
cold, it is read page fault by page fault, five times slower (STORE.md's measurements).
"""

import mmap
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidelake.store.damage import damaged
from slidelake.store.profile import ArrayProfile
from slidelake.store.shard_index import contiguous, index_bytes, parse_index

__all__ = ["LocalShard"]

#: Up to so many rows are read one by one: cheaper than to map and unmap.
FEW = 16
# Several threads read an array of which each gets at least so much: below, starting them costs more than it saves.
_THREADS, _PART = 4, 48 << 20
#: Bytes read at a time where an array is gone through in blocks.
BLOCK = 1 << 23


class LocalShard:
    """The shard file of one array. Opening checks its size and its index; no handle stays open.

    Raises DamagedStoreError where the file is gone, truncated, or its index has the wrong crc32c. `whole` says
    whether the rows lie end to end; where they do not (chunks left out, another order) nothing else works.
    """

    def __init__(self, folder: str, profile: ArrayProfile, slide: str) -> None:
        self.path = f"{folder}/{profile.shard_name}"
        self.profile = profile
        self._slide = slide
        with self._open() as file:
            self.whole = self._look(file)

    def read_into(self, out: NDArray[Any]) -> None:
        """Reads the whole array into a C-contiguous buffer of its shape and dtype."""
        with self._open() as file:
            threads = min(_THREADS, _cores(), out.nbytes // _PART)
            if threads > 1 and hasattr(os, "preadv"):
                self._fill_at_once(file, out, threads)
            else:
                self._fill(file, out)

    def take(self, rows: NDArray[np.intp], out: NDArray[Any]) -> None:
        """Reads the rows of these numbers (checked already) into a buffer of their number, in their order."""
        profile = self.profile
        with self._open() as file:
            if len(rows) <= FEW:
                for place, row in enumerate(rows.tolist()):
                    file.seek(row * profile.row_bytes)
                    self._fill(file, out[place : place + 1])
                return
            mapped = self._map(file)
        # Without mode="clip" numpy fills a buffer of its own first, in case a number is out of range.
        np.take(self._view(mapped), rows, axis=0, out=out, mode="clip")
        mapped.close()

    def read_chunks(self) -> NDArray[Any]:
        """All inner chunks, padding and all: (chunks, *chunk)."""
        chunks = np.empty((self.profile.chunks, *self.profile.chunk), self.profile.numpy_dtype)
        with self._open() as file:
            self._fill(file, chunks)
        return chunks

    def mapped(self) -> NDArray[Any]:
        """The rows as a read-only memory map, which is let go of with the array."""
        with self._open() as file:
            return self._view(self._map(file))

    def blocks(self) -> Iterator[NDArray[Any]]:
        """The array's rows in order, some 8 MiB at a time, each valid until the next."""
        profile = self.profile
        step = max(1, BLOCK // profile.row_bytes)
        buffer = np.empty((min(step, profile.rows), *profile.shape[1:]), profile.numpy_dtype)
        with self._open() as file:
            for start in range(0, profile.rows, step):
                block = buffer[: min(step, profile.rows - start)]
                self._fill(file, block)
                yield block

    def _open(self) -> FileIO:
        try:
            # Unbuffered: reads are as large as they are wanted.
            return FileIO(self.path)
        except FileNotFoundError as exc:
            raise damaged(self.path, "is gone", self._slide) from exc
        except OSError as exc:
            raise damaged(self.path, f"cannot be read ({exc.strerror})", self._slide) from exc

    def _look(self, file: FileIO) -> bool:
        profile, size = self.profile, file.seek(0, 2)
        tail = index_bytes(profile.chunks)
        if size < tail:
            raise damaged(self.path, f"is truncated: it has {size} bytes", self._slide)
        file.seek(size - tail)
        data = np.empty(tail, np.uint8)
        self._fill(file, data)
        try:
            index = parse_index(data.tobytes(), profile.chunks)
        except ValueError as exc:
            short = f"; it has {size} bytes, not {profile.file_bytes}" if size != profile.file_bytes else ""
            raise damaged(self.path, f"is damaged: {exc}{short}", self._slide) from exc
        return size == profile.file_bytes and contiguous(index, profile.chunk_bytes)

    def _fill(self, file: FileIO, array: NDArray[Any]) -> None:
        view = array.reshape(-1).view(np.uint8).data
        try:
            # A read returns 2 GiB - 4 KiB at most.
            while view:
                count = file.readinto(view)
                if not count:
                    raise damaged(
                        self.path, f"is truncated: it ends {len(view)} bytes too early", self._slide
                    )
                view = view[count:]
        except OSError as exc:
            raise damaged(self.path, f"cannot be read ({exc.strerror})", self._slide) from exc

    def _fill_at_once(self, file: FileIO, array: NDArray[Any], threads: int) -> None:
        """Fills a large buffer by several threads: most of the time goes into the memory, not the file."""
        view = array.reshape(-1).view(np.uint8).data
        cuts = [len(view) * part // threads for part in range(threads + 1)]

        def fill(span: tuple[int, int]) -> None:
            start, end = span
            while start < end:
                count = os.preadv(file.fileno(), [view[start:end]], start)
                if not count:
                    problem = f"is truncated: it ends {end - start} bytes too early"
                    raise damaged(self.path, problem, self._slide)
                start += count

        try:
            with ThreadPoolExecutor(threads) as pool:
                for _ in pool.map(fill, pairwise(cuts)):
                    pass
        except OSError as exc:
            raise damaged(self.path, f"cannot be read ({exc.strerror})", self._slide) from exc

    def _map(self, file: FileIO) -> mmap.mmap:
        length = self.profile.rows * self.profile.row_bytes
        # Past the end of a file that was cut off a map ends the process (SIGBUS).
        if file.seek(0, 2) < length:
            raise damaged(self.path, f"is truncated: it has less than {length} bytes", self._slide)
        return mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ)

    def _view(self, mapped: mmap.mmap) -> NDArray[Any]:
        return np.frombuffer(mapped, self.profile.numpy_dtype).reshape(self.profile.shape)


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
