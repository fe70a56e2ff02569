"""Small slides that the tests make themselves: tissue-like pictures as tiled TIFFs that OpenSlide opens."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from slidelake.store import FeatureStore

TILE = 256
#: What `tissue_slide` gives at 256px@0.5mpp: 2 of 4 columns of cells are tissue.
PATCHES = 8


def tissue(width: int, height: int, seed: int = 0, glass: float = 0.5) -> NDArray[np.uint8]:
    """(height, width, 3): pink ground with purple nuclei; the right `glass` share of it is empty."""
    rng = np.random.default_rng(seed)
    picture = np.full((height, width, 3), (226, 158, 196), np.int16)
    picture += rng.integers(-14, 15, (height, width, 1), np.int16)
    for y, x in rng.integers(0, (height, width), (width * height // 2500, 2)):
        picture[y : y + 9, x : x + 9] = (108, 66, 142)
    picture += rng.integers(-6, 7, picture.shape, np.int16)
    picture[:, round(width * (1 - glass)) :] = 243
    return np.clip(picture, 0, 255).astype(np.uint8)


def twenty_patches() -> NDArray[np.uint8]:
    """4 × 5 cells of tissue, in rows of 6 tiles: one patch is 5 % of the slide."""
    return tissue(1536, 1280, glass=1 / 3)


def write_slide(
    path: Path,
    picture: NDArray[Any],
    *,
    mpp: float | None = 0.5,
    compression: str | None = "jpeg",
    levels: tuple[int, ...] = (),
    **options: Any,
) -> Path:
    """A tiled TIFF at `mpp`, its coarser levels by taking every n-th pixel."""
    resolution = {} if mpp is None else {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}
    rgb = {"photometric": "rgb"} if picture.ndim == 3 else {}
    options = {"tile": (TILE, TILE), "compression": compression, "metadata": None, **rgb, **options}
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(picture, **options, **resolution)
        for factor in levels:
            tiff.write(np.ascontiguousarray(picture[::factor, ::factor]), subfiletype=1, **options)
    return path


def tissue_slide(path: Path, *, seed: int = 0, size: int = 1024, **options: Any) -> Path:
    """A slide of `size`² px at 0.5 µm/px; `PATCHES` patches at 256px@0.5mpp where the size is 1024."""
    return write_slide(path, tissue(size, size, seed), **options)


def checksums(store: FeatureStore) -> dict[str, str]:
    """Every array of every live commit, by slide, kind and name."""
    found = {}
    for slide_id in store.slide_ids():
        for kind in store.state(slide_id).keys:
            for name, array in commit_of(store, slide_id, kind).arrays.items():
                found[f"{slide_id} {kind} {name}"] = array["checksum"]
    return found


def commit_of(store: FeatureStore, slide_id: str, subject: Any) -> Any:
    commit = store.commit(slide_id, subject.kind, subject.grid_id, subject.encoder_id)
    assert commit is not None
    return commit


def folders_of_attempts(store: FeatureStore) -> Iterator[Path]:
    """Folders below slides/ that hold arrays; each belongs to a commit in a clean store."""
    assert store.objects.local is not None
    for file in (store.objects.local / "slides").rglob("zarr.json"):
        if any(part in ("features", "coords", "valid") for part in file.parent.parts[-1:]):
            yield file.parent.parent
