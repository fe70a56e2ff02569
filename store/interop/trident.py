"""TRIDENT's layout (mahmoodlab/TRIDENT a91fa84; facts only, none of its code).

    <mag>x_<px>px_<overlap>px_overlap/patches/<slide>_patches.h5     coords (N, 2) int64, level-0 px
                                     /features_<encoder>/<slide>.h5  features (N, D), coords

What describes the grid stands as attributes of the dataset `coords`. There is no mpp: magnifications are whole
numbers rounded from it, so that "20x" may be 0.40 to 0.60 µm/px.
"""

from pathlib import Path
from typing import Any

import numpy as np

from slidelake.errors import MissingFactError, MissingMppError
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
from slidelake.store.interop.geometry import MPP_AT_ONE, Geometry, by_level, by_magnification, number
from slidelake.store.interop.hdf5 import FeatureFile
from slidelake.store.interop.origin import ATTRIBUTE, read_stamp
from slidelake.store.interop.tensors import load_tensor

__all__ = ["TridentExporter", "TridentImporter"]

_FEATURES = "features_"
_TOLD = ("name", "encoder", "level0_magnification", "target_magnification")


class TridentImporter:
    """Reads features files; coordinates and attributes from their own copy, else from `patches/`."""

    rule = "trident1"

    def find(self, path: Path) -> list[Found]:
        """Every `.h5` and `.pt` but those of `patches/`; slide embeddings with the reason why they stay out."""
        found = []
        for file in files_below(path, (".h5", ".pt")):
            place = file.parent.name
            if place in ("patches", "patch_labels") or file.name.endswith("_patches.h5"):
                continue
            encoder = place.removeprefix(_FEATURES) if place.startswith(_FEATURES) else ""
            refusal = remedy = ""
            if place.startswith("slide_features_"):
                refusal = "it is a slide embedding, without patches"
                remedy = "Import the patch features; `slidelake embed` makes slide embeddings of them."
            found.append(
                Found(
                    path=file,
                    root=path if path.is_dir() else file.parent,
                    stem=file.stem,
                    encoder=encoder,
                    companion=file.parent.parent / "patches" / f"{file.stem}_patches.h5",
                    refusal=refusal,
                    remedy=remedy,
                )
            )
        return found

    def read(self, found: Found, options: ImportOptions) -> ImportedBag:
        """One bag; see `Importer.read`."""
        where = str(found.path)
        said: dict[str, Any] = {}
        of_features: dict[str, Any] = {}
        raw_coords = None
        if found.path.suffix.lower() == ".pt":
            raw = load_tensor(found.path)
        else:
            with FeatureFile(found.path) as file:
                raw = file.array("features")
                of_features = file.attributes("features")
                if file.has("coords"):
                    raw_coords, said = file.array("coords"), file.attributes("coords")
        features, dim = features_of(raw, options, where)
        companion = _patches(found, options)
        if (raw_coords is None or number(said, "patch_size", where) is None) and companion is not None:
            with FeatureFile(companion) as file:
                raw_coords = file.array("coords") if raw_coords is None else raw_coords
                said = {**file.attributes("coords"), **said}
        if raw_coords is None:
            raise MissingFactError(
                "it has no coordinates, and there is no file of patches for it",
                remedy="Pass --patches DIR, the folder with SLIDE_patches.h5.",
                slide=where,
            )
        own = read_stamp(said.get(ATTRIBUTE))
        slide = slide_facts(found, options, own.mpp)
        coords, original = places_of(raw_coords, (1.0, 1.0), where)
        check_rows(features, coords, where)
        given = {"patch_size": options.patch_size, "patch_size_level0": options.patch_size_level0}
        known: dict[str, Any] = {"where": where, "size": slide.size, **given}
        # Its own reader takes CLAM's coordinates too, whose attributes speak of levels.
        if said.get("patch_level") is not None and said.get("patch_size_level0") is None:
            geometry = by_level(said, coords, mpp=slide.mpp, **known)
        else:
            geometry = by_magnification(said, mpp=slide.mpp, **known)
        geometry = own.put_right(geometry)
        check_inside(coords, geometry, where)
        return ImportedBag(
            features=features,
            dim=dim,
            coords=coords,
            geometry=geometry,
            encoder=encoder_name(of_features.get("encoder"), found.encoder, options, where),
            slide=slide,
            original=original,
            original_unit={"unit": "level-0 px"} if original is not None else {},
            told={name: value for name in _TOLD if (value := {**said, **of_features}.get(name)) is not None},
        )


def _patches(found: Found, options: ImportOptions) -> Path | None:
    places = [found.companion] if found.companion else []
    if options.patches is not None:
        places.insert(0, options.patches / f"{found.stem}_patches.h5")
    return next((place for place in places if place.is_file()), None)


class TridentExporter:
    """Writes `patches/` and `features_<encoder>/`. Chunks are of 256 rows: TRIDENT's own, of one, read slowly."""

    def marker(self, folder: Path, bag: BagToExport) -> Path:
        """The features file."""
        return self._base(folder, bag) / f"{_FEATURES}{slug(bag.encoder)}" / f"{bag.slide_id}.h5"

    def write(self, bag: BagToExport, folder: Path) -> list[str]:
        """The file of patches, then that of features."""
        grid, notes = bag.geometry, []
        base, marker = self._base(folder, bag), self.marker(folder, bag)
        side = grid.footprint[0]
        if abs(grid.footprint[1] - side) > 0.5:
            notes.append("patches that are not square at level 0: TRIDENT has one number, the width")
        if grid.stride_px > grid.patch_px:
            notes.append("gaps between patches: TRIDENT has none, and says an overlap of 0")
        if bag.original is not None:
            notes.append("coordinates of another unit: TRIDENT has whole level-0 px")
        said: dict[str, Any] = {
            "patch_size": grid.patch_px,
            "patch_size_level0": int(side) if side == int(side) else float(side),
            "level0_magnification": max(1, round(MPP_AT_ONE / _slide_mpp(bag))),
            "target_magnification": _magnification(bag),
            "overlap": max(0, grid.patch_px - grid.stride_px),
            "name": bag.slide_id,
            "savetodir": "patches",
        }
        if grid.slide_size is not None:
            said |= {"level0_width": grid.slide_size[0], "level0_height": grid.slide_size[1]}
        else:
            notes.append("the slide's size, which is not known")
        coords = np.asarray(bag.coords, np.int64)
        write_hdf5(
            base / "patches" / f"{bag.slide_id}_patches.h5",
            {"coords": coords},
            {"coords": {**said, ATTRIBUTE: bag.stamp}},
        )
        write_hdf5(
            marker,
            {"features": bag.features, "coords": coords},
            {
                "features": {"name": bag.slide_id, "savetodir": marker.parent.name, "encoder": bag.encoder},
                "coords": {**said, ATTRIBUTE: bag.stamp},
            },
        )
        return notes

    stamp = staticmethod(read_marker("coords"))

    def _base(self, folder: Path, bag: BagToExport) -> Path:
        grid = bag.geometry
        overlap = max(0, grid.patch_px - grid.stride_px)
        return folder / f"{_magnification(bag):g}x_{grid.patch_px}px_{overlap}px_overlap"


def _slide_mpp(bag: BagToExport) -> float:
    if bag.mpp is not None:
        return bag.mpp[0]
    if bag.geometry.mpp is not None:
        return bag.geometry.mpp * bag.geometry.patch_px / bag.geometry.footprint[0]
    raise MissingMppError(
        "TRIDENT's layout speaks of magnifications, and the slide's mpp is not known",
        remedy="Pass --mpp X (µm per level-0 pixel).",
        slide=bag.slide_id,
    )


def _magnification(bag: BagToExport) -> float:
    grid: Geometry = bag.geometry
    mpp = grid.mpp if grid.mpp is not None else _slide_mpp(bag) * grid.footprint[0] / grid.patch_px
    exact = MPP_AT_ONE / mpp
    # A level of 0.2521 µm/px is 40x to everyone; a grid of 1.14 µm/px is 8.75x.
    return round(exact) if abs(exact / max(1, round(exact)) - 1) <= 0.02 else round(exact, 6)
