"""The checksum of an array: over its logical bytes, so that workers, codecs and copies agree."""

from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

__all__ = ["checksum", "little_endian", "raw"]


def checksum(array: NDArray[Any]) -> str:
    """xxh3-128 (32 hex digits) of an array's elements, little-endian, in C order; no padding, no codec."""
    return xxhash.xxh3_128(raw(array)).hexdigest()


def raw(array: NDArray[Any]) -> memoryview:
    """The bytes of `little_endian(array)`, not copied where they need not be."""
    return little_endian(array).reshape(-1).view(np.uint8).data


def little_endian(array: NDArray[Any]) -> NDArray[Any]:
    """The array C-contiguous and little-endian; itself where it is so already."""
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
