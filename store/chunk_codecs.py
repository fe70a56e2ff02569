"""The compression profiles of a store: which codec packs its inner chunks, and that codec at work.

Features in float16 shrink by a tenth at most, and are then read several times slower (benchmarks/compression.py):
a store is uncompressed unless it is made otherwise. The codec lies inside the sharding codec, so each inner chunk
can be read alone; any Zarr reader that has the codec opens the arrays.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import MissingDependencyError, UsageError

__all__ = ["COMPRESSIONS", "ChunkCodec", "chunk_codec", "codec_metadata", "require_compression"]

#: What a store can be made with.
COMPRESSIONS = ("none", "zstd", "blosc", "pcodec")

_LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
_ZSTD = {"level": 1, "checksum": True}
_BLOSC = {"cname": "zstd", "clevel": 1, "shuffle": "shuffle", "blocksize": 0}
_PCODEC = {"level": 4}


class ChunkCodec(Protocol):
    """Packs and unpacks one inner chunk. May raise any error of its library on broken bytes."""

    def encode(self, chunk: NDArray[Any]) -> bytes: ...

    def decode(self, data: bytes, out: NDArray[Any]) -> None: ...


def require_compression(name: str) -> str:
    """`name` if it is a profile that works here; raises UsageError, MissingDependencyError."""
    if name not in COMPRESSIONS:
        raise UsageError(f"there is no compression {name!r}", remedy=f"Use one of {', '.join(COMPRESSIONS)}.")
    if name == "pcodec":
        _Pcodec()
    return name


def codec_metadata(compression: str, dtype: np.dtype[Any]) -> list[dict[str, Any]]:
    """The codecs of an inner chunk, as zarr.json names them."""
    to_bytes = {"name": "bytes"} if dtype.itemsize == 1 else _LITTLE
    match _codec_of(compression, dtype):
        case "zstd":
            return [to_bytes, {"name": "zstd", "configuration": dict(_ZSTD)}]
        case "blosc":
            return [
                to_bytes,
                {"name": "blosc", "configuration": {"typesize": dtype.itemsize, **_BLOSC}},
            ]
        case "pcodec":
            return [{"name": "numcodecs.pcodec", "configuration": dict(_PCODEC)}]
    return [to_bytes]


def chunk_codec(compression: str, dtype: np.dtype[Any]) -> ChunkCodec | None:
    """What packs the inner chunks of an array of `dtype`; None where they are not packed.

    Raises MissingDependencyError.
    """
    match _codec_of(compression, dtype):
        case "zstd":
            return _Zstd()
        case "blosc":
            return _Blosc(dtype.itemsize)
        case "pcodec":
            return _Pcodec()
    return None


def _codec_of(compression: str, dtype: np.dtype[Any]) -> str:
    # pcodec packs numbers, not bytes: masks, flags and thumbnails take zstd.
    return "zstd" if compression == "pcodec" and dtype.itemsize == 1 else compression


class _Zstd:
    def __init__(self) -> None:
        from numcodecs.zstd import Zstd

        self._codec = Zstd(**_ZSTD)

    def encode(self, chunk: NDArray[Any]) -> bytes:
        return bytes(self._codec.encode(chunk))

    def decode(self, data: bytes, out: NDArray[Any]) -> None:
        self._codec.decode(data, out)


class _Blosc:
    def __init__(self, itemsize: int) -> None:
        from numcodecs import blosc

        self._codec = blosc.Blosc(
            cname="zstd", clevel=1, shuffle=blosc.SHUFFLE, blocksize=0, typesize=itemsize
        )

    def encode(self, chunk: NDArray[Any]) -> bytes:
        return bytes(self._codec.encode(chunk))

    def decode(self, data: bytes, out: NDArray[Any]) -> None:
        # It fills a buffer that is too large as far as it comes, and says nothing.
        size = int.from_bytes(data[4:8], "little")  # nbytes in Blosc's header of 16 bytes
        if size != out.nbytes:
            raise ValueError(f"a chunk holds {size} bytes, not {out.nbytes}")
        self._codec.decode(data, out)


class _Pcodec:
    def __init__(self) -> None:
        try:
            from numcodecs.pcodec import PCodec
        except ImportError as exc:
            raise MissingDependencyError(
                f"this store is compressed with pcodec, which is not installed ({exc})",
                remedy="pip install 'slidelake[pcodec]'",
            ) from exc
        self._codec = PCodec(**_PCODEC)

    def encode(self, chunk: NDArray[Any]) -> bytes:
        return bytes(self._codec.encode(chunk))

    def decode(self, data: bytes, out: NDArray[Any]) -> None:
        values = self._codec.decode(data)
        if values.size != out.size or values.dtype != out.dtype:
            raise ValueError(f"a chunk holds {values.size} {values.dtype}, not {out.size} {out.dtype}")
        out[...] = values.reshape(out.shape)
