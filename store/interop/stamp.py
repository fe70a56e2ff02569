"""STAMP's layout (KatherLab/STAMP c54ce06, MIT; facts only).

    <extractor>-<hash>/<slide>.h5    feats (N, D) float16, coords (N, 2) float32 µm, top-left corners

Attributes of the file: `extractor`, `unit`, `tile_size_um`, `tile_size_px`, `stamp_version` since 2.1;
`tile_size` and `unit` in 2.0; `extractor` alone in 1.x, whose coordinates are px of 224 in 256 µm. No slide's mpp
stands anywhere, so that level-0 pixels need it from elsewhere.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import MissingMppError
from slidelake.store.ids import slug
from slidelake.store.interop.arrays import (
    check_inside,
    check_rows,
    encoder_name,
    features_of,
    places_of,
    slide_facts,
)
from slidelake.store.interop.base import BagToExport, Found, ImportedBag, ImportOptions
from slidelake.store.interop.files import files_below, read_marker, write_hdf5
from slidelake.store.interop.geometry import by_micrometres, number
from slidelake.store.interop.hdf5 import FeatureFile
from slidelake.store.interop.origin import ATTRIBUTE, read_stamp

__all__ = ["StampExporter", "StampImporter"]

#: The newest version whose files were looked at.
KNOWN = (2, 5, 0)
#: What exports say: the oldest version with this layout, since STAMP refuses files of a newer one than itself.
_WRITTEN = "2.1.0"
#: STAMP 1.x, and 2.0 where it does not say: tiles of 256 µm in 224 px.
_PX, _UM = 224, 256.0
_HASHED = re.compile(r"(?P<name>.+)-[0-9a-f]{8}")
_TOLD = ("stamp_version", "extractor", "code_hash", "tile_size_um", "tile_size", "tile_size_px")


class StampImporter:
    """Reads tile features of every version; coordinates become level-0 px, and are kept as they were."""

    rule = "stamp1"

    def find(self, path: Path) -> list[Found]:
        """Every `.h5`; the folder's name, without its hash, names the encoder where the file does not."""
        root = path if path.is_dir() else path.parent
        return [
            Found(path=file, root=root, stem=file.stem, encoder=_encoder_of_folder(file, root))
            for file in files_below(path, (".h5",))
        ]

    def read(self, found: Found, options: ImportOptions) -> ImportedBag:
        """One bag; see `Importer.read`."""
        where = str(found.path)
        with FeatureFile(found.path) as file:
            said = file.attributes()
            kind = said.get("feat_type") or ("tile" if "encoder" not in said else "slide")
            if kind != "tile":
                raise file.refused(
                    f"it holds a {kind}'s embedding, without patches",
                    "Import the tile features; `slidelake embed` makes slide embeddings of them.",
                )
            if not file.has("coords") and file.has("patch_embeddings"):
                raise file.refused("it is a KRONOS file, without places", "Import files that have coords.")
            raw, raw_coords = file.array("feats"), file.array("coords")
            augmented = file.array("augmented") if file.has("augmented") else None
        notes = _version_notes(said)
        if augmented is not None:
            raw, raw_coords, note = _without_augmented(file, raw, raw_coords, augmented)
            notes += note
        own = read_stamp(said.get(ATTRIBUTE))
        slide = slide_facts(found, options, own.mpp)
        tile_um, tile_px, um, name, note = _unit(file, said, raw_coords, options)
        notes += note
        geometry = by_micrometres(tile_um, tile_px, where=where, mpp=slide.mpp, size=slide.size)
        geometry = own.put_right(geometry)
        mpp = slide.mpp or (1.0, 1.0)  # by_micrometres refuses a slide without
        unit = (mpp[0] / um, mpp[1] / um)
        features, dim = features_of(raw, options, where)
        coords, original = places_of(raw_coords, unit, where)
        check_rows(features, coords, where)
        check_inside(coords, geometry, where)
        return ImportedBag(
            features=features,
            dim=dim,
            coords=coords,
            geometry=geometry,
            encoder=_plain_name(encoder_name(said.get("extractor"), found.encoder, options, where)),
            slide=slide,
            original=original,
            original_unit={"unit": name, "per_level0_px": list(unit)} if original is not None else {},
            told={name: said[name] for name in _TOLD if said.get(name) is not None},
            notes=tuple(notes),
        )


def _unit(
    file: FeatureFile, said: dict[str, Any], coords: NDArray[Any], options: ImportOptions
) -> tuple[float, int, float, str, list[str]]:
    """Tile side in µm and px, µm that a unit of the coordinates is, the unit's name, and notes."""
    where = str(file.path)
    px = number(said, "tile_size_px", where) or options.patch_size
    tile = number(said, "tile_size", where) if said.get("unit") == "um" else None  # 2.0
    tile = tile or number(said, "tile_size_um", where)
    if tile:
        notes = [] if px else [f"it does not say a tile's px: {_PX} was taken, as STAMP 2.0 has it"]
        return tile, int(px or _PX), 1.0, "um", notes
    if not _steps_of(coords, _PX):
        raise file.refused(
            "it does not say the unit of its coordinates, and they are not STAMP 1's tiles of 224 px",
            "Check --format; if it is STAMP's, extract the features again with 2.1 or later.",
        )
    return _UM, _PX, _UM / _PX, f"px of {_PX} in {_UM:g} um", ["taken as STAMP 1: 224 px are 256 µm"]


def _steps_of(coords: NDArray[Any], step: int) -> bool:
    """Whether neighbours lie `step` apart, to a pixel; True where there are none."""
    if coords.ndim != 2 or coords.shape[1] != 2 or not np.isfinite(coords).all():
        return True  # refused for that, when they are looked at
    gaps = [np.diff(np.unique(coords[:, axis])) for axis in (0, 1)]
    positive = np.concatenate(gaps)
    return not len(positive) or round(float(positive.min())) == step


def _without_augmented(
    file: FeatureFile, raw: NDArray[Any], coords: NDArray[Any], augmented: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], list[str]]:
    """Only the rows of real tiles: STAMP 1 could add augmented copies of them."""
    if not augmented.shape == raw.shape[:1] == coords.shape[:1]:
        raise file.refused(f"its {augmented.shape} augmented flags do not fit its {raw.shape} feats")
    real = ~augmented.astype(bool)
    left_out = int(np.count_nonzero(~real))
    notes = [f"{left_out} augmented rows were left out"] if left_out else []
    return raw[real], coords[real], notes


def _version_notes(said: dict[str, Any]) -> list[str]:
    version = said.get("stamp_version") or said.get("version")
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", str(version))
    if found is None or tuple(int(part or 0) for part in found.groups()) <= KNOWN:
        return []
    known = ".".join(map(str, KNOWN))
    return [f"written by STAMP {version}, newer than {known}, the newest known here: read as that is"]


def _encoder_of_folder(file: Path, root: Path) -> str:
    """The name in the nearest folder `<extractor>-<hash>` up to the root."""
    for folder in file.parents:
        if (found := _HASHED.fullmatch(folder.name)) is not None:
            return found["name"]
        if folder == root:
            break
    return ""


def _plain_name(name: str) -> str:
    found = _HASHED.fullmatch(name)
    return found["name"] if found else name


class StampExporter:
    """Writes one file a slide, contiguous. Float32 features stay so: STAMP's reader converts what it reads."""

    def marker(self, folder: Path, bag: BagToExport) -> Path:
        """The slide's file."""
        return folder / f"{slug(bag.encoder)}-{_hash(bag)}" / f"{bag.slide_id}.h5"

    def write(self, bag: BagToExport, folder: Path) -> list[str]:
        """The slide's file. Raises MissingMppError where the slide's mpp is not known."""
        grid, mpp = bag.geometry, bag.mpp
        if mpp is None:
            raise MissingMppError(
                "STAMP's layout is in micrometres, and the slide's mpp is not known",
                remedy="Pass --mpp X (µm per level-0 pixel).",
                slide=bag.slide_id,
            )
        notes = []
        if bag.original is not None and _is_um(bag, mpp):
            coords = np.asarray(bag.original, np.float32)
        else:
            coords = (bag.coords.astype(np.float64) * np.asarray(mpp)).astype(np.float32)
        if bag.features.dtype == np.float32:
            notes.append("float32 features in a layout of float16: they stay float32, which STAMP reads")
        if grid.stride_px != grid.patch_px:
            notes.append("the stride: STAMP's tiles lie side by side")
        said = {
            "stamp_version": _WRITTEN,
            "extractor": bag.encoder,
            "unit": "um",
            "tile_size_um": float(grid.footprint[0] * mpp[0]),
            "tile_size_px": grid.patch_px,
            "code_hash": _hash(bag),
            "feat_type": "tile",
            ATTRIBUTE: bag.stamp,
        }
        write_hdf5(
            self.marker(folder, bag),
            {"coords": coords, "feats": bag.features},
            {"/": said},
            chunked=False,
        )
        return notes

    stamp = staticmethod(read_marker("/"))


def _is_um(bag: BagToExport, mpp: tuple[float, float]) -> bool:
    unit = bag.original_unit
    return unit.get("unit") == "um" and unit.get("per_level0_px") == list(mpp)


def _hash(bag: BagToExport) -> str:
    """STAMP puts its code's hash here; ours is the mark of the encoder's id."""
    return bag.encoder_id.rpartition(".")[2]
