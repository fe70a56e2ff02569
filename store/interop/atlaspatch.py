"""AtlasPatch's layout (AtlasAnalyticsLab/AtlasPatch 31146af; facts only, none of its code).

    <out>/patches/<slide>.h5    coords (N, 5) int32: x, y, width and height read, level
                                features/<encoder> (N, D) float32, one dataset an encoder

Attributes of the file: patch_size, patch_size_level0, magnifications, overlap, level0_width, level0_height.
"""

from pathlib import Path

import numpy as np

from slidelake.errors import FeatureFileError
from slidelake.store.interop.arrays import (
    check_inside,
    check_rows,
    encoder_name,
    features_of,
    places_of,
    slide_facts,
)
from slidelake.store.interop.base import Found, ImportedBag, ImportOptions
from slidelake.store.interop.files import files_below
from slidelake.store.interop.geometry import by_magnification
from slidelake.store.interop.hdf5 import FeatureFile

__all__ = ["AtlasPatchImporter"]

_TOLD = ("passport_version", "creation_date", "level0_magnification", "target_magnification")


class AtlasPatchImporter:
    """Reads each encoder's features of each file as a bag of its own."""

    rule = "atlaspatch1"

    def find(self, path: Path) -> list[Found]:
        """One for each encoder in each `.h5`; one for a file that cannot be looked into, which `read` refuses."""
        found = []
        for file in files_below(path, (".h5",)):
            root = path if path.is_dir() else file.parent
            found += [
                Found(path=file, root=root, stem=file.stem, encoder=encoder, dataset=f"features/{encoder}")
                for encoder in _encoders(file) or [""]
            ]
        return found

    def read(self, found: Found, options: ImportOptions) -> ImportedBag:
        """One bag; see `Importer.read`."""
        where = str(found.path)
        with FeatureFile(found.path) as file:
            if not found.encoder:
                raise file.refused("it has no features/<encoder>", "Run AtlasPatch's feature extraction.")
            said, raw_coords, raw = file.attributes(), file.array("coords"), file.array(found.dataset)
        if raw_coords.ndim != 2 or raw_coords.shape[1] not in (2, 5):
            raise file.refused(f"its coords are {raw_coords.shape}, not (patches, 5)", "Check --format.")
        slide = slide_facts(found, options)
        features, dim = features_of(raw, options, where)
        coords, original = places_of(np.ascontiguousarray(raw_coords[:, :2]), (1.0, 1.0), where)
        check_rows(features, coords, where)
        geometry = by_magnification(
            said,
            where=where,
            mpp=slide.mpp,
            size=slide.size,
            patch_size=options.patch_size,
            patch_size_level0=options.patch_size_level0,
        )
        check_inside(coords, geometry, where)
        told = {name: said[name] for name in _TOLD if said.get(name) is not None}
        if raw_coords.shape[1] == 5 and len(raw_coords):
            # Patches of one slide are read alike; where they are not, nobody needs more than their places.
            alike = np.unique(raw_coords[:, 2:], axis=0)
            told |= {"read": [int(value) for value in alike[0]]} if len(alike) == 1 else {}
        return ImportedBag(
            features=features,
            dim=dim,
            coords=coords,
            geometry=geometry,
            encoder=encoder_name(found.encoder, "", options, where),
            slide=slide,
            original=original,
            original_unit={"unit": "level-0 px"} if original is not None else {},
            told=told,
        )


def _encoders(path: Path) -> list[str]:
    try:
        with FeatureFile(path) as file:
            return file.names("features") if file.is_group("features") else []
    except FeatureFileError:
        return []  # `read` opens it again, and says what is wrong with it
