"""Bad input that the tests make themselves: each function writes one file and returns what is to be named."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile

from tests.ingest.slides import tissue, tissue_slide, twenty_patches, write_slide

Maker = Callable[[Path], Path]


def tiles_of(path: Path, page: int = 0) -> list[tuple[int, int]]:
    """(offset, length) of each tile of a page."""
    with tifffile.TiffFile(path) as tiff:
        found = tiff.pages[page].aspage()
        return list(zip(found.dataoffsets, found.databytecounts, strict=True))


def destroy_tiles(path: Path, numbers: list[int], page: int = 0) -> Path:
    """Overwrite tiles in the middle of a file, headers and all; its length and directory stay."""
    places = tiles_of(path, page)
    with path.open("r+b") as file:
        for number in numbers:
            offset, length = places[number]
            file.seek(offset)
            file.write(b"\xff\xd8\xff" + b"\0" * (length - 3))
    return path


def set_tag(path: Path, name: str, value: object) -> Path:
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].aspage().tags[name].overwrite(value)
    return path


def not_an_image(folder: Path) -> Path:
    path = folder / "notes.svs"
    path.write_text("This is no slide.\n")
    return path


def empty(folder: Path) -> Path:
    path = folder / "empty.svs"
    path.touch()
    return path


def truncated(folder: Path) -> Path:
    """The directory stands in front, as SVS writers may put it, and the last third of the tiles is not there."""
    path = tissue_slide(folder / "truncated.tif")
    os.truncate(path, path.stat().st_size * 2 // 3)
    return path


def without_its_directory(folder: Path) -> Path:
    path = tissue_slide(folder / "headless.tif")
    with path.open("r+b") as file:
        file.seek(4)
        file.write(struct.pack("<I", path.stat().st_size + 100))
    return path


def without_tiles(folder: Path) -> Path:
    path = tissue_slide(folder / "hollow.tif")
    return set_tag(path, "TileByteCounts", [0] * len(tiles_of(path)))


def unknown_compression(folder: Path) -> Path:
    return set_tag(tissue_slide(folder / "codec.tif"), "Compression", 52479)


def of_16_px(folder: Path) -> Path:
    return write_slide(folder / "tiny.tif", tissue(16, 16, glass=0), tile=(16, 16))


def without_mpp(folder: Path) -> Path:
    return tissue_slide(folder / "unscaled.tif", mpp=None)


def print_resolution(folder: Path) -> Path:
    options = {"resolution": (72, 72), "resolutionunit": "INCH"}
    return tissue_slide(folder / "printed.tif", mpp=None, **options)


def too_coarse(folder: Path) -> Path:
    return tissue_slide(folder / "coarse.tif", mpp=2.0)


def sixteen_bits(folder: Path) -> Path:
    picture = np.full((512, 512, 3), 40_000, np.uint16)
    return write_slide(folder / "deep.tif", picture, compression="deflate")


def greyscale(folder: Path) -> Path:
    return write_slide(folder / "grey.tif", tissue(512, 512)[..., 0].copy(), compression="deflate")


def untiled(folder: Path) -> Path:
    return write_slide(folder / "strips.tif", tissue(512, 512), compression=None, tile=None)


def fluorescence(folder: Path) -> Path:
    return write_slide(
        folder / "channels.tif",
        tissue(512, 512),
        description="<Name>DAPI</Name> fluorescence",
        compression=None,
    )


def blank(folder: Path) -> Path:
    return write_slide(folder / "blank.tif", np.full((1024, 1024, 3), 243, np.uint8))


def many_bad_tiles(folder: Path) -> Path:
    """2 of 20 patches cannot be decoded; the thumbnail's level can."""
    path = write_slide(folder / "rotten.tif", twenty_patches(), levels=(4,))
    return destroy_tiles(path, [7, 13])


def never_written_tiles(folder: Path) -> Path:
    """A slide of which a third of the level-0 tiles have no bytes: they read white, without an error."""
    path = tissue_slide(folder / "gaps.tif", levels=(4,))
    lengths = [length for _, length in tiles_of(path)]
    return set_tag(path, "TileByteCounts", [0 if i % 3 == 0 else length for i, length in enumerate(lengths)])


def link_to_nothing(folder: Path) -> Path:
    path = folder / "gone.svs"
    path.symlink_to(folder / "nothing.svs")
    return path


def link_to_itself(folder: Path) -> Path:
    path = folder / "loop.svs"
    path.symlink_to(path)
    return path


def not_there(folder: Path) -> Path:
    return folder / "nowhere.svs"


#: Each bad file, its reason, and a piece of what a person is told.
BAD: list[tuple[Maker, str, str]] = [
    (not_an_image, "unsupported-format", "no slide that OpenSlide knows"),
    (empty, "unreadable", "empty"),
    (truncated, "damaged-pixels", "beyond the end of the file"),
    (without_its_directory, "damaged-pixels", "directory cannot be read"),
    (without_tiles, "damaged-pixels", "tiles are missing"),
    (unknown_compression, "unreadable", "52479"),
    (of_16_px, "too-small", "16 × 16 px"),
    (without_mpp, "mpp-missing", "how large its pixels are"),
    (print_resolution, "mpp-implausible", "72 dots an inch"),
    (too_coarse, "too-coarse", "2 µm/px"),
    (sixteen_bits, "fluorescence", "16 bits"),
    (greyscale, "unsupported-format", "greyscale"),
    (untiled, "unsupported-format", "without tiles"),
    (fluorescence, "fluorescence", "multi-channel"),
    (blank, "no-tissue", "no cell of the grid"),
    (many_bad_tiles, "damaged-pixels", "5% of its 20 patches"),
    (never_written_tiles, "damaged-pixels", "cannot be read"),
    (link_to_nothing, "unreadable", "no such file"),
    (link_to_itself, "unreadable", ""),
    (not_there, "unreadable", "no such file"),
]
