"""Labelled patches to measure encoders on: the synthetic atlas, and the real sets where they lie beside the project."""

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from slidelake.encoders import stain_shift

__all__ = [
    "LABORATORIES",
    "PatchSet",
    "atlas_patches",
    "real_sets",
    "shared_data",
    "shift_all",
    "shifts_inside",
]

PATCH_PX = 256
_SUFFIXES = {".png", ".jpeg", ".jpg", ".tif", ".tiff"}

#: Other laboratories, at the ends of the range: haematoxylin and eosin 30 % weaker or stronger, hue 8 degrees
#: either way.
LABORATORIES: tuple[tuple[float, float, float], ...] = tuple(
    (haematoxylin, eosin, hue) for haematoxylin in (0.7, 1.3) for eosin in (0.7, 1.3) for hue in (-8.0, 8.0)
)


@dataclass(frozen=True)
class PatchSet:
    """Labelled patches (H, W, 3) uint8, not necessarily of one size; an empty group is nobody's."""

    name: str
    images: list[npt.NDArray[np.uint8]]
    labels: npt.NDArray[np.str_]
    groups: npt.NDArray[np.str_]


def shared_data() -> Path | None:
    """The folder of real data beside the checkout (or SLIDELAKE_SHARED), or None."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("SLIDELAKE_SHARED", beside)) / "data"
    return folder if folder.is_dir() else None


def atlas_patches(
    folder: Path, *, slides: int, seed: int, size: tuple[int, int] | None = None, patients: int | None = None
) -> PatchSet:
    """Make the atlas in `folder` unless it is there; its labelled patches of 256 px at level 0, by patient."""
    import openslide

    from slidelake.ingest.synthetic import DEFAULT_SIZE, synthesise

    if not (folder / "labels.csv").exists():
        synthesise(folder, slides=slides, seed=seed, patients=patients, size=size or DEFAULT_SIZE)
    with (folder / "manifest.csv").open(newline="") as file:
        manifest = {row["slide_id"]: row for row in csv.DictReader(file)}
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    images: list[npt.NDArray[np.uint8]] = []
    labels: list[str] = []
    groups: list[str] = []
    for slide_id, entry in manifest.items():
        with openslide.OpenSlide(folder / entry["uri"]) as slide:
            for row in rows:
                if row["slide"] != slide_id:
                    continue
                region = slide.read_region((int(row["x"]), int(row["y"])), 0, (PATCH_PX, PATCH_PX))
                images.append(np.asarray(region.convert("RGB")))
                labels.append(row["class"])
                groups.append(entry["patient_id"])
    return PatchSet("atlas", images, np.array(labels), np.array(groups))


def real_sets() -> list[PatchSet]:
    """kather2016, lc25000_lung and idc (grouped by patient) where the shared data has them."""
    folder = shared_data()
    if folder is None:
        return []
    return [
        _labelled_folder(folder / "patches" / name, name, patients=name == "idc")
        for name in ("kather2016", "lc25000_lung", "idc")
        if (folder / "patches" / name).is_dir()
    ]


def shift_all(
    images: list[npt.NDArray[np.uint8]], shifts: list[tuple[float, float, float]]
) -> list[npt.NDArray[np.uint8]]:
    """Each image in its own shifted stain."""
    return [stain_shift(image, *shift) for image, shift in zip(images, shifts, strict=True)]


def shifts_inside(count: int, seed: int) -> list[tuple[float, float, float]]:
    """Shifts drawn evenly within the same range: for each image its own."""
    generator = np.random.default_rng(seed)
    drawn = generator.uniform((0.7, 0.7, -8.0), (1.3, 1.3, 8.0), (count, 3))
    return [(float(a), float(b), float(c)) for a, b, c in drawn]


def _labelled_folder(folder: Path, name: str, *, patients: bool) -> PatchSet:
    files = sorted(path for path in folder.glob("*/*") if path.suffix.lower() in _SUFFIXES)
    images = [np.asarray(Image.open(path).convert("RGB")) for path in files]
    # idc: the file's name begins with the patient.
    groups = [path.name.partition("_")[0] if patients else "" for path in files]
    return PatchSet(name, images, np.array([path.parent.name for path in files]), np.array(groups))
