"""The contract of a format: what an importer and an exporter give and take.

A format is one file beside this one with a class for each direction, and a line in registry.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from slidelake.store.ids import slide_id_of, slug_of_path
from slidelake.store.interop.geometry import Geometry

__all__ = [
    "BagToExport",
    "ExportOptions",
    "Exporter",
    "Found",
    "ImportOptions",
    "ImportedBag",
    "Importer",
    "SlideFacts",
]


@dataclass(frozen=True)
class SlideFacts:
    """What a slide's own file tells: µm per level-0 px in x and y, and who says so; (width, height) in level-0
    px; and the keys of a provenance that name the file (`source_uri`, `source_size`, …)."""

    mpp: tuple[float, float] | None = None
    mpp_source: str = ""
    size: tuple[int, int] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ImportOptions:
    """What a person says beside the files. What is None is taken from the files, or asked for.

    `mpp` is µm per level-0 pixel of every slide; `slide_of` gives a slide's facts by its id, or None where it
    has no such slide. `patch_size` and `patch_size_level0` are a patch's side in the encoder's and in level-0
    pixels, for files that do not tell. `dtype` converts features; without it they keep theirs. `tissue_rule`
    names the other program's choice of patches in the grid's id (`<format>1` by default).
    """

    mpp: float | None = None
    encoder: str | None = None
    slide_of: Callable[[str], SlideFacts | None] | None = None
    patient_pattern: str | None = None
    patches: Path | None = None
    patch_size: int | None = None
    patch_size_level0: float | None = None
    dtype: str | None = None
    tissue_rule: str | None = None
    id_from: str = "stem"

    def asked(self) -> dict[str, Any]:
        """What decides how a file goes in, as JSON values; kept in its provenance."""
        said = {
            "mpp": self.mpp,
            "encoder": self.encoder,
            "slides": True if self.slide_of else None,
            "patch_size": self.patch_size,
            "patch_size_level0": self.patch_size_level0,
            "dtype": self.dtype,
            "tissue_rule": self.tissue_rule,
        }
        return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True)
class Found:
    """A file that may hold a bag: `path` below `root`, what its slide is called after (`stem`), the encoder
    that its place names, the dataset in it where it holds several, and the file with its coordinates where
    that is another one. `refusal` and `remedy`: known, and why it cannot go in."""

    path: Path
    root: Path
    stem: str
    encoder: str = ""
    dataset: str = ""
    companion: Path | None = None
    refusal: str = ""
    remedy: str = ""

    def slide_id(self, id_from: str) -> str:
        """The slug of the stem, or of the path below `root` (`id_from="path"`); as ingest names slides."""
        if id_from == "path":
            return slug_of_path(str(self.path.parent.relative_to(self.root) / f"{self.stem}.tif"))
        # With a slide's suffix put back, so that `.ome` goes as it does at ingest.
        return slide_id_of(f"{self.stem}.tif")


@dataclass(frozen=True)
class ImportedBag:
    """One bag as read: features (N, D) float16 or float32, coords (N, 2) int32 level-0 px.

    `dim` is D, None where an empty file does not tell. `original` (N, 2) are the coordinates in the file's own
    unit where level-0 px do not hold them, `original_unit` says which. `told` is what the file says of itself;
    `notes` are for people.
    """

    features: NDArray[Any]
    dim: int | None
    coords: NDArray[np.int32]
    geometry: Geometry
    encoder: str
    slide: SlideFacts
    original: NDArray[Any] | None = None
    original_unit: Mapping[str, Any] = field(default_factory=dict)
    told: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExportOptions:
    """`mpp`: µm per level-0 pixel of slides whose commits do not tell. `overwrite`: replace files there."""

    mpp: float | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class BagToExport:
    """One bag to be written: its valid rows only. `features` (N, D) float16 or float32, `coords` (N, 2) int32,
    `original` as `Grid.coords_original`, and its unit. `stamp` is the JSON text that says which commit it is."""

    slide_id: str
    features: NDArray[Any]
    coords: NDArray[np.int32]
    geometry: Geometry
    encoder: str
    encoder_id: str
    mpp: tuple[float, float] | None
    stamp: str
    original: NDArray[Any] | None = None
    original_unit: Mapping[str, Any] = field(default_factory=dict)


class Importer(Protocol):
    """Reads one format. Both methods look at files only; nothing is written."""

    #: What its grids' ids say of who chose the patches: `-t<rule>`.
    rule: str

    def find(self, path: Path) -> list[Found]:
        """Every file at or below `path` that may hold a bag, in sorted order; damaged ones too."""
        ...

    def read(self, found: Found, options: ImportOptions) -> ImportedBag:
        """One bag. Raises FeatureFileError, NotFiniteError, MissingMppError and MissingFactError, which name
        the flag that would tell."""
        ...


class Exporter(Protocol):
    """Writes one format, so that the other program's own readers take it."""

    def marker(self, folder: Path, bag: BagToExport) -> Path:
        """The HDF5 file that is written last: where it is, the slide is there. Of the bag, arrays are not
        looked at."""
        ...

    def write(self, bag: BagToExport, folder: Path) -> list[str]:
        """Writes a slide's files, each whole or not at all, the marker last; returns what the layout could not
        hold. Raises MissingMppError where the layout needs one."""
        ...

    def stamp(self, marker: Path) -> str | None:
        """The stamp in a marker; None where it has none. Raises FeatureFileError."""
        ...
