"""What a TIFF's directory says, before any pixel is believed.

A truncated slide opens, and reads white or black without an error, because the tiles that lie beyond the end of
the file count as missing. So the offsets are compared with the file's size first. Files that are no brightfield
RGB are refused here by name.
"""

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
import tifffile

from slidelake.errors import (
    DamagedSlideError,
    FluorescenceError,
    SlideError,
    UnreadableSlideError,
    UnsupportedSlideError,
)
from slidelake.ingest.tile_table import TileTable

__all__ = ["check_structure"]

_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MINISBLACK = 1
#: Scanners leave out tiles of background; a file with more missing than this was never written to its end.
SPARSE = 0.98


def check_structure(path: str, uri: str) -> TileTable:
    """The tiles that a TIFF lacks; none for what is no TIFF, which another check opens.

    Raises UnreadableSlideError for an empty or closed file, DamagedSlideError for a truncated one,
    FluorescenceError or UnsupportedSlideError for no brightfield RGB.
    """
    file = Path(path)
    tiles = TileTable()
    if not file.is_file():
        return tiles
    size = file.stat().st_size
    if size == 0:
        raise UnreadableSlideError(
            "the file is empty", remedy="Fetch the file again from where it was scanned.", slide=uri
        )
    with _opened(file, uri) as stream:
        if stream.read(4) not in _MAGICS:
            return tiles
    try:
        with tifffile.TiffFile(file) as tiff:
            first = tiff.pages[0]
            if not isinstance(first, tifffile.TiffPage):
                return tiles
            refused = _not_brightfield(tiff, first, uri)
            if refused is not None:
                raise refused
            for page in tiff.pages:
                _check_tiles(page.aspage(), size, uri)
                tiles.add(page.aspage())
    except (tifffile.TiffFileError, ValueError, KeyError, IndexError, TypeError, struct.error) as exc:
        # tifffile raises whatever a broken directory makes it stumble over.
        raise DamagedSlideError(
            f"its TIFF directory cannot be read ({type(exc).__name__}: {exc})",
            remedy="Fetch the file again from where it was scanned.",
            slide=uri,
        ) from exc
    return tiles


def _opened(file: Path, uri: str) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as exc:
        raise UnreadableSlideError(
            f"the file cannot be read: {exc.strerror}",
            remedy="Check the path and its permissions.",
            slide=uri,
        ) from exc


def _not_brightfield(tiff: tifffile.TiffFile, page: tifffile.TiffPage, uri: str) -> SlideError | None:
    # A tuple where the channels differ; tifffile's annotation says int.
    depth = int(np.max(page.bitspersample))
    if tiff.is_qpi or "fluor" in str(page.description)[:100_000].lower():
        return FluorescenceError(
            "it is a multi-channel fluorescence image, not a brightfield slide",
            remedy="Leave it out: the encoders here are made for brightfield RGB.",
            slide=uri,
        )
    if depth > 8:
        return FluorescenceError(
            f"its pixels have {depth} bits a channel, as fluorescence and other multi-channel images have",
            remedy="Leave it out, or export it as 8-bit RGB if it is brightfield.",
            slide=uri,
        )
    if page.photometric == _MINISBLACK and page.samplesperpixel == 1:
        return UnsupportedSlideError(
            "it is a greyscale image, not a brightfield RGB slide",
            remedy="Leave it out, or export the RGB original.",
            slide=uri,
        )
    if not page.is_tiled and page.imagewidth * page.imagelength > 0:
        return UnsupportedSlideError(
            "it is a plain TIFF without tiles, which cannot be read by region",
            remedy="Convert it to a tiled pyramid, for example with `vips tiffsave --tile --pyramid`.",
            slide=uri,
        )
    return None


def _check_tiles(page: tifffile.TiffPage, size: int, uri: str) -> None:
    offsets = np.asarray(page.dataoffsets, dtype=np.int64)
    lengths = np.asarray(page.databytecounts, dtype=np.int64)
    if len(offsets) == 0 or len(offsets) != len(lengths):
        return
    missing = int(np.count_nonzero(lengths == 0))
    if missing > SPARSE * len(offsets):
        raise DamagedSlideError(
            f"{missing:,} of {len(offsets):,} tiles are missing: nothing but white or black would be read",
            remedy="Fetch the file again from where it was scanned.",
            slide=uri,
        )
    beyond = int(np.count_nonzero((lengths > 0) & (offsets + lengths > size)))
    if beyond:
        raise DamagedSlideError(
            f"{beyond:,} of {len(offsets):,} tiles lie beyond the end of the file ({size:,} bytes): it is truncated",
            remedy="Fetch the file again from where it was scanned.",
            slide=uri,
        )
