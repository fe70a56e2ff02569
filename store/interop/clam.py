"""CLAM's layout (mahmoodlab/CLAM 53e2409; facts only, none of its code).

    <patches dir>/<slide>.h5          coords (N, 2), level-0 px; attributes: patch_size, patch_level, downsample
    <features dir>/h5_files/<slide>.h5  features (N, D) float32, coords (N, 2); no attributes at all
                  /pt_files/<slide>.pt  the same features as a tensor

Neither the encoder nor a mpp stands anywhere, and the patch's size only in the file of patches.
"""

from pathlib import Path
from typing import Any

import numpy as np

from slidelake.errors import MissingFactError
from slidelake.store.interop.arrays import (
    check_inside,
    check_rows,
    encoder_name,
    features_of,
    places_of,
    slide_facts,
)
from slidelake.store.interop.base import BagToExport, Found, ImportedBag, ImportOptions
from slidelake.store.interop.files import files_below, read_marker, whole_file, write_hdf5
from slidelake.store.interop.geometry import by_level, number
from slidelake.store.interop.hdf5 import FeatureFile
from slidelake.store.interop.origin import ATTRIBUTE, read_stamp
from slidelake.store.interop.tensors import load_tensor

__all__ = ["ClamExporter", "ClamImporter"]

_TOLD = ("name", "patch_level", "patch_size", "custom_downsample")


class ClamImporter:
    """Reads `h5_files/`, and `pt_files/` where a slide has no HDF5 file."""

    rule = "clam1"

    def find(self, path: Path) -> list[Found]:
        """Every `.h5` and `.pt` but files of patches; of two with one stem the HDF5 file, which has coords."""
        files = [file for file in files_below(path, (".h5", ".pt")) if file.parent.name != "patches"]
        whole = {_slide_place(file) for file in files if file.suffix.lower() == ".h5"}
        root = path if path.is_dir() else path.parent
        return [
            Found(path=file, root=root, stem=file.stem, companion=_beside(file, root))
            for file in files
            if file.suffix.lower() == ".h5" or _slide_place(file) not in whole
        ]

    def read(self, found: Found, options: ImportOptions) -> ImportedBag:
        """One bag; see `Importer.read`."""
        where = str(found.path)
        said: dict[str, Any] = {}
        raw_coords = None
        if found.path.suffix.lower() == ".pt":
            raw = load_tensor(found.path)
        else:
            with FeatureFile(found.path) as file:
                raw = file.array("features")
                if file.has("coords"):
                    raw_coords, said = file.array("coords"), file.attributes("coords")
        features, dim = features_of(raw, options, where)
        if number(said, "patch_size", where) is None or raw_coords is None:
            raw_coords, said = self._from_patches(found, options, raw_coords, said)
        own = read_stamp(said.get(ATTRIBUTE))
        slide = slide_facts(found, options, own.mpp)
        if own.dtype == "float16" and np.array_equal(features.astype(np.float16), features):
            features = features.astype(np.float16)  # CLAM's layout is float32, the bag was not
        coords, original = places_of(raw_coords, (1.0, 1.0), where)
        check_rows(features, coords, where)
        geometry = own.put_right(
            by_level(
                said,
                coords,
                where=where,
                mpp=slide.mpp,
                size=slide.size,
                patch_size=options.patch_size,
                patch_size_level0=options.patch_size_level0,
            )
        )
        check_inside(coords, geometry, where)
        return ImportedBag(
            features=features,
            dim=dim,
            coords=coords,
            geometry=geometry,
            encoder=encoder_name(None, "", options, where),
            slide=slide,
            original=original,
            original_unit={"unit": "level-0 px"} if original is not None else {},
            told={name: said[name] for name in _TOLD if said.get(name) is not None},
        )

    def _from_patches(
        self, found: Found, options: ImportOptions, coords: Any, said: dict[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        """Coordinates and attributes from the file of patches, where it is needed and there."""
        place = found.companion
        if options.patches is not None:
            place = options.patches / f"{found.stem}.h5"
        if place is not None and place.is_file():
            with FeatureFile(place) as file:
                more = file.attributes("coords")
                # Before its fast pipeline CLAM kept the pixels, and the attributes with them.
                if more.get("patch_level") is None and file.has("imgs"):
                    shape = file.shape("imgs")
                    size = shape[1] if len(shape) == 4 else None
                    more = {**file.attributes("imgs"), "patch_size": size, **more}
                coords = file.array("coords") if coords is None else coords
                return coords, {**more, **said}
        if coords is None:
            raise MissingFactError(
                "it has no coordinates, and there is no file of patches for it",
                remedy="Pass --patches DIR, the folder that create_patches wrote them to.",
                slide=str(found.path),
            )
        if options.patch_size is None:
            raise MissingFactError(
                "it does not say how large its patches are, and there is no file of patches for it",
                remedy="Pass --patches DIR, or --patch-size PX with --patch-size-level0 PX.",
                slide=str(found.path),
            )
        return coords, said


def _slide_place(file: Path) -> tuple[Path, str]:
    """The same for `h5_files/S.h5` and `pt_files/S.pt`."""
    folder = file.parent
    return folder.parent if folder.name in ("h5_files", "pt_files") else folder, file.stem


def _beside(file: Path, root: Path) -> Path | None:
    """The slide's file of patches, in a folder `patches` beside or above the features."""
    for above in (*list(file.parents)[:3], root, root.parent):
        place = above / "patches" / f"{file.stem}.h5"
        if place.is_file():
            return place
    return None


class ClamExporter:
    """Writes `patches/`, `pt_files/` and `h5_files/`; features as float32, as CLAM's are."""

    def marker(self, folder: Path, bag: BagToExport) -> Path:
        """The HDF5 file of features."""
        return folder / "h5_files" / f"{bag.slide_id}.h5"

    def write(self, bag: BagToExport, folder: Path) -> list[str]:
        """The file of patches, the tensor, then the HDF5 file of features."""
        import torch

        grid = bag.geometry
        notes = [f"the encoder's name ({bag.encoder}): CLAM has no place for it"]
        native = grid.footprint[0] / grid.patch_px
        level = 0 if native == 1 else None
        downsample = [grid.footprint[0] / grid.patch_px, grid.footprint[1] / grid.patch_px]
        if level is None:
            # Which level CLAM would read them from depends on the slide's pyramid, which a bag does not hold.
            notes.append("the pyramid level of its patches: patch_level is 1, downsample is what counts")
        if bag.original is not None:
            notes.append("coordinates of another unit: CLAM has whole level-0 px")
        said: dict[str, Any] = {
            "patch_size": grid.patch_px,
            "patch_level": 1 if level is None else level,
            "downsample": np.asarray(downsample),
            "name": bag.slide_id,
            "save_path": "patches",
            ATTRIBUTE: bag.stamp,
        }
        if grid.slide_size is not None:
            scaled = np.asarray([int(grid.slide_size[i] / downsample[i]) for i in (0, 1)])
            said |= {"level_dim": scaled, "downsampled_level_dim": scaled}
        else:
            notes.append("the slide's size, which is not known")
        features = np.ascontiguousarray(bag.features, np.float32)
        write_hdf5(
            folder / "patches" / f"{bag.slide_id}.h5",
            {"coords": np.asarray(bag.coords, np.int64)},
            {"coords": said},
        )
        with whole_file(folder / "pt_files" / f"{bag.slide_id}.pt") as aside:
            torch.save(torch.from_numpy(features), aside)
        write_hdf5(
            self.marker(folder, bag),
            {"features": features, "coords": np.asarray(bag.coords, np.int32)},
            {"coords": {ATTRIBUTE: bag.stamp}},
        )
        return notes

    stamp = staticmethod(read_marker("coords"))
