"""Slides that no reader of ours can take, each by the name of what is wrong with it."""

from pathlib import Path

from slidelake.errors import (
    DamagedSlideError,
    FluorescenceError,
    SlideError,
    UnreadableSlideError,
    UnsupportedSlideError,
)
from slidelake.ingest.readers.tiff_layout import TiffPage, TiffTiles, is_tiff

__all__ = ["refuse_damaged_tiles", "refuse_pages", "why_not_opened"]

_COLOUR = {"RGB", "YCBCR", "ICCLAB", "CIELAB"}
#: Of level 0's tiles: beyond the end of the file at most this share …
MAX_BEYOND = 0.05
#: … and never written at most this share. Sparse files leave out background, but not all but a tile or two.
MAX_MISSING = 0.99
_TO_TILED = "Convert it to a tiled RGB pyramid, for example with `vips tiffsave IN OUT.tif --tile --pyramid`."


def refuse_pages(pages: list[TiffPage], uri: str) -> None:
    """Raises FluorescenceError or UnsupportedSlideError where the largest page is no 8-bit colour image."""
    if not pages:
        return
    largest = max(pages, key=lambda page: page.width * page.height)
    if largest.width < 1 or largest.height < 1:
        raise UnsupportedSlideError(
            f"the image is {largest.width} x {largest.height} px and holds no pixels",
            remedy="Leave this file out.",
            slide=uri,
        )
    if largest.samples == 1 and largest.photometric in ("MINISBLACK", "MINISWHITE"):
        alike = sum((p.width, p.height, p.samples) == (largest.width, largest.height, 1) for p in pages)
        if alike > 1 or largest.bits > 8:
            raise FluorescenceError(
                f"{alike} greyscale channel{'s' * (alike > 1)} of {largest.bits} bits: this is a fluorescence or "
                "multi-channel image, not a stained slide in RGB",
                remedy="Leave it out: the encoders here are made for brightfield slides in RGB.",
                slide=uri,
            )
        raise UnsupportedSlideError(
            "the image is greyscale (one channel of 8 bits)",
            remedy="Give the colour scan of this slide; stains cannot be told apart in grey.",
            slide=uri,
        )
    if largest.bits > 8:
        raise UnsupportedSlideError(
            f"the image has {largest.bits} bits a sample", remedy="Convert it to 8 bits a sample.", slide=uri
        )
    if largest.photometric not in _COLOUR and largest.photometric != "PALETTE":
        raise UnsupportedSlideError(
            f"the image's colours are {largest.photometric}, not RGB", remedy=_TO_TILED, slide=uri
        )


def refuse_damaged_tiles(tiles: TiffTiles, uri: str) -> None:
    """Raises DamagedSlideError where level 0 reads white or black without an error: see `TiffTiles`."""
    total = tiles.beyond.size
    beyond, missing = int(tiles.beyond.sum()), int(tiles.missing.sum())
    remedy = "Copy the file again from where it came from, and compare the sizes."
    if beyond > MAX_BEYOND * total:
        raise DamagedSlideError(
            f"{beyond:,} of {total:,} tiles lie beyond the end of the file: it was cut off",
            remedy=remedy,
            slide=uri,
        )
    if missing > MAX_MISSING * total and total >= 16:
        raise DamagedSlideError(
            f"{missing:,} of {total:,} tiles were never written and would read as plain white or black",
            remedy=remedy,
            slide=uri,
        )


def why_not_opened(path: Path, uri: str, pages: list[TiffPage], said: str) -> SlideError:
    """The error for a file that a reader would not open; `said` is what the reader said."""
    if path.stat().st_size == 0:
        return UnreadableSlideError("the file is empty", remedy="Copy it again.", slide=uri)
    if is_tiff(path):
        if not pages:
            return UnreadableSlideError(
                "the TIFF's directory cannot be read: the file is damaged or was cut off",
                remedy="Copy the file again from where it came from, and compare the sizes.",
                slide=uri,
            )
        if "compression" in said.lower():
            return UnsupportedSlideError(
                f"its compression cannot be decoded here ({said})", remedy=_TO_TILED, slide=uri
            )
        if max(pages, key=lambda page: page.width * page.height).tiles is None:
            return UnsupportedSlideError(
                "the TIFF is stored in strips, not in tiles, and is no format of a scanner that is known here",
                remedy=_TO_TILED,
                slide=uri,
            )
        return UnsupportedSlideError(
            f"no reader knows this kind of TIFF ({said})", remedy=_TO_TILED, slide=uri
        )
    if _is_dicom(path):
        return UnsupportedSlideError(
            f"this DICOM file is not a whole-slide image that can be read here ({said})",
            remedy="Give the folder of one series of VL Whole Slide Microscopy images, as JPEG or JPEG 2000.",
            slide=uri,
        )
    if path.suffix.lower() in (
        ".svs",
        ".tif",
        ".tiff",
        ".btf",
        ".qptiff",
        ".ndpi",
        ".scn",
        ".bif",
        ".svslide",
    ):
        return UnreadableSlideError(
            f"the file is named {path.suffix} but does not begin as a TIFF: it is damaged or something else",
            remedy="Copy the file again from where it came from, or leave it out.",
            slide=uri,
        )
    return UnsupportedSlideError(
        f"this is not a slide ({said})",
        remedy="Leave it out, or convert it to a tiled TIFF pyramid.",
        slide=uri,
    )


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"
