"""Rows into inner chunks: packs each one as soon as it is full, so that memory holds one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidelake.store.checksums import little_endian
from slidelake.store.chunk_codecs import ChunkCodec
from slidelake.store.new_file import NewFile
from slidelake.store.profile import ArrayProfile

__all__ = ["ChunkPacker"]


class ChunkPacker:
    """Writes rows to `file` as packed inner chunks; `sizes` are theirs, in order."""

    def __init__(self, file: NewFile, profile: ArrayProfile, codec: ChunkCodec) -> None:
        self._file, self._codec = file, codec
        self._chunk = np.zeros(profile.chunk, profile.numpy_dtype)
        self._held = 0
        self.sizes: list[int] = []

    def write(self, rows: NDArray[Any]) -> None:
        """Appends rows along the first axis."""
        rows, size = little_endian(rows), len(self._chunk)
        while len(rows):
            if not self._held and len(rows) >= size:
                # A whole chunk lies there already: it is not copied.
                self.write_chunk(rows[:size])
                rows = rows[size:]
                continue
            part = rows[: size - self._held]
            self._chunk[self._held : self._held + len(part)] = part
            self._held += len(part)
            rows = rows[len(part) :]
            if self._held == size:
                self.write_chunk(self._chunk)
                self._held = 0

    def write_chunk(self, chunk: NDArray[Any]) -> None:
        """Appends a whole chunk of the profile's shape."""
        data = self._codec.encode(chunk)
        self._file.write(data)
        self.sizes.append(len(data))

    def finish(self) -> None:
        """Packs what is left, with zeros up to a whole chunk."""
        if self._held:
            self._chunk[self._held :] = 0
            self.write_chunk(self._chunk)
            self._held = 0
