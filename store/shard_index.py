"""The index at a shard's end: (offset, nbytes) of each inner chunk, and its crc32c (Zarr v3 `sharding_indexed`)."""

from collections.abc import Sequence

import google_crc32c
import numpy as np
from numpy.typing import NDArray

__all__ = ["MISSING", "contiguous", "index_bytes", "make_index", "parse_index"]

#: What offset and nbytes of a chunk say that was never written: it holds the fill value.
MISSING = np.uint64(2**64 - 1)


def index_bytes(chunks: int) -> int:
    """Size of the index of a shard of so many inner chunks: 16 bytes each and the crc32c."""
    return 16 * chunks + 4


def make_index(sizes: Sequence[int] | NDArray[np.uint64]) -> bytes:
    """The index of chunks of these sizes that lie end to end from the file's first byte."""
    index = np.empty((len(sizes), 2), dtype="<u8")
    index[:, 1] = sizes
    index[:, 0] = np.cumsum(index[:, 1]) - index[:, 1]
    data = index.tobytes()
    crc: int = google_crc32c.value(data)
    return data + crc.to_bytes(4, "little")


def parse_index(data: bytes, chunks: int) -> NDArray[np.uint64]:
    """(chunks, 2) uint64 offsets and sizes; raises ValueError where the size or the crc32c is wrong."""
    if len(data) != index_bytes(chunks):
        raise ValueError(f"its index has {len(data)} bytes, not {index_bytes(chunks)}")
    body = data[:-4]
    if google_crc32c.value(body).to_bytes(4, "little") != data[-4:]:
        raise ValueError("the crc32c of its index is wrong")
    return np.frombuffer(body, dtype="<u8").reshape(chunks, 2).astype(np.uint64, copy=False)


def contiguous(index: NDArray[np.uint64], chunk_bytes: int) -> bool:
    """Whether the chunks lie in order, end to end, from the first byte, each of `chunk_bytes`."""
    wanted = np.arange(len(index), dtype=np.uint64) * np.uint64(chunk_bytes)
    return bool((index[:, 1] == chunk_bytes).all() and (index[:, 0] == wanted).all())
