"""What a TIFF says of itself, read without decoding a pixel: its pages, and which tiles are really there.

A TIFF whose tiles lie beyond its end, or were never written, reads as plain white or black without an
error in most readers; the tables of offsets and byte counts show it beforehand.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

__all__ = ["TiffPage", "TiffTiles", "is_tiff", "read_layout"]

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class TiffTiles:
    """Where a page's tiles lie: (rows, columns) bool maps of those beyond the end of the file and of those
    that were never written, and the tile's size in px."""

    width: int
    height: int
    beyond: NDArray[np.bool_]
    missing: NDArray[np.bool_]

    def window(self, x: float, y: float, width: float, height: float) -> tuple[slice, slice]:
        """The tiles that a region, in this page's pixels, touches."""
        rows, columns = self.beyond.shape
        return (
            slice(max(0, int(y // self.height)), min(rows, int((y + height - 1e-6) // self.height) + 1)),
            slice(max(0, int(x // self.width)), min(columns, int((x + width - 1e-6) // self.width) + 1)),
        )


@dataclass(frozen=True)
class TiffPage:
    """One image of a TIFF: size, samples, and its tiles (None where it is stored in strips)."""

    width: int
    height: int
    samples: int
    bits: int
    photometric: str
    compression: str
    tiles: TiffTiles | None


def is_tiff(path: Path) -> bool:
    """Whether a file begins as TIFF or BigTIFF files do."""
    with path.open("rb") as file:
        return file.read(4) in _MAGIC


def read_layout(path: Path) -> list[TiffPage]:
    """The main pages of a TIFF, in file order; empty where its directories cannot be read."""
    pages = []
    try:
        with tifffile.TiffFile(path) as tiff:
            size = tiff.filehandle.size
            for page in tiff.pages:
                pages.append(_page(page, size))
    # tifffile raises whatever its parsing of damaged directories runs into; a reader will say what it cannot read.
    except Exception:  # noqa: BLE001
        return pages
    return pages


def _page(page: tifffile.TiffPage, file_size: int) -> TiffPage:
    tiles = None
    if page.is_tiled and page.tilewidth and page.tilelength:
        columns = -(-page.imagewidth // page.tilewidth)
        rows = -(-page.imagelength // page.tilelength)
        offsets = np.asarray(page.dataoffsets, np.int64)
        counts = np.asarray(page.databytecounts, np.int64)
        if offsets.size == counts.size >= rows * columns > 0:
            offsets, counts = offsets[: rows * columns], counts[: rows * columns]
            missing = (counts == 0) | (offsets == 0)
            beyond = (offsets + counts > file_size) & ~missing
            shape = (rows, columns)
            tiles = TiffTiles(page.tilewidth, page.tilelength, beyond.reshape(shape), missing.reshape(shape))
    return TiffPage(
        width=page.imagewidth,
        height=page.imagelength,
        samples=page.samplesperpixel,
        bits=int(page.bitspersample) if np.isscalar(page.bitspersample) else int(max(page.bitspersample)),
        photometric=getattr(page.photometric, "name", str(page.photometric)),
        compression=getattr(page.compression, "name", str(page.compression)),
        tiles=tiles,
    )
