"""The profile of an array: one shard, inner chunks of 1,024 rows, no codec by default (FORMAT.md, "Arrays").

A file without one is the rows end to end, zeros up to a whole chunk, then the index: any Zarr v3 reader reads it,
and it can be read straight into a buffer or mapped. STORE.md's measurements led to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import UsageError
from slidelake.store.chunk_codecs import COMPRESSIONS, codec_metadata

__all__ = ["ArrayProfile", "chunk_rows"]

#: Rows of an inner chunk; small arrays take the smaller one, as the last chunk is stored whole.
ROWS, ROWS_SMALL, SMALL = 1024, 256, 8192

_NAMES = {"float16": "<f2", "float32": "<f4", "float64": "<f8", "int32": "<i4", "uint8": "|u1"}
_LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}


def chunk_rows(rows: int) -> int:
    """Rows of an inner chunk: 1,024, or 256 where an array has fewer than 8,192, never more than it has."""
    return max(1, min(ROWS if rows >= SMALL else ROWS_SMALL, rows))


@dataclass(frozen=True)
class ArrayProfile:
    """One array's shape, dtype name, dimension names, the axis along which it is cut into chunks, its compression."""

    shape: tuple[int, ...]
    dtype: str
    dimensions: tuple[str, ...]
    axis: int = 0
    #: How the inner chunks are packed: see chunk_codecs.py.
    compression: str = "none"

    def __post_init__(self) -> None:
        if self.dtype not in _NAMES:
            raise UsageError(
                f"arrays of {self.dtype} are not stored", remedy=f"Use one of {', '.join(_NAMES)}."
            )
        if len(self.dimensions) != len(self.shape):
            raise UsageError(
                f"an array of shape {self.shape} cannot have the dimensions {self.dimensions}",
                remedy="Name each dimension once.",
            )

    @property
    def rows(self) -> int:
        return self.shape[self.axis]

    @cached_property
    def chunk(self) -> tuple[int, ...]:
        """Shape of an inner chunk: whole but for the cut axis."""
        return tuple(chunk_rows(n) if axis == self.axis else max(1, n) for axis, n in enumerate(self.shape))

    @cached_property
    def chunks(self) -> int:
        """How many inner chunks the shard has."""
        return -(-self.rows // self.chunk[self.axis])

    @cached_property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The stored dtype, little-endian."""
        return np.dtype(_NAMES[self.dtype])

    @cached_property
    def chunk_bytes(self) -> int:
        return prod(self.chunk) * self.numpy_dtype.itemsize

    @cached_property
    def row_bytes(self) -> int:
        """Bytes of one row along the first axis."""
        return prod(self.shape[1:]) * self.numpy_dtype.itemsize

    @property
    def file_bytes(self) -> int:
        """Size of an uncompressed shard's file: chunks, 16 bytes of index each, 4 of crc32c; 0: no file."""
        return self.chunks * (self.chunk_bytes + 16) + 4 if 0 not in self.shape else 0

    @property
    def packed(self) -> bool:
        """Whether inner chunks are compressed, so that their sizes are known from the index only."""
        return self.compression != "none"

    @property
    def shard_name(self) -> str:
        """The shard's place below the array's folder: `c/0/0` for two dimensions."""
        return "/".join(["c", *("0" for _ in self.shape)])

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> "ArrayProfile | None":
        """The profile that a zarr.json describes exactly; None where it is another one (written by others)."""
        try:
            dimensions = tuple(metadata["dimension_names"])
            # Only pooled scores, (K, N), are cut along their second axis.
            axis = 1 if dimensions == ("branch", "patch") else 0
            codecs = metadata["codecs"][0]["configuration"]["codecs"]
            profile = cls(tuple(metadata["shape"]), metadata["data_type"], dimensions, axis)
            for compression in COMPRESSIONS:
                if codecs == codec_metadata(compression, profile.numpy_dtype):
                    profile = replace(profile, compression=compression)
                    break
            return profile if profile.metadata() == metadata else None
        except (LookupError, TypeError, ValueError):
            return None

    def from_chunks(self, chunks: NDArray[Any]) -> NDArray[Any]:
        """The array that (chunks, *chunk) values of the inner chunks hold, without their padding."""
        along = np.moveaxis(chunks, 0, self.axis)
        whole = along.reshape(*self.shape[: self.axis], -1, *self.shape[self.axis + 1 :])
        return whole[tuple(slice(0, n) for n in self.shape)]

    def metadata(self) -> dict[str, Any]:
        """The array's zarr.json, as zarr-python writes it."""
        shard = list(self.chunk)
        shard[self.axis] *= max(1, self.chunks)
        return {
            "shape": list(self.shape),
            "data_type": self.dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shard}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0.0 if self.dtype.startswith("float") else 0,
            "codecs": [
                {
                    "name": "sharding_indexed",
                    "configuration": {
                        "chunk_shape": list(self.chunk),
                        "codecs": codec_metadata(self.compression, self.numpy_dtype),
                        "index_codecs": [_LITTLE, {"name": "crc32c"}],
                        "index_location": "end",
                    },
                }
            ],
            "attributes": {},
            "dimension_names": list(self.dimensions),
            "zarr_format": 3,
            "node_type": "array",
            "storage_transformers": [],
        }
