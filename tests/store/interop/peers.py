"""Files as the other programs write them, made by h5py: their names, datasets, dtypes, chunks and attributes."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

DIM = 12


def features(rows: int = 30, dim: int = DIM, dtype: str = "float32", seed: int = 0) -> NDArray[Any]:
    """(rows, dim) random numbers of which each bit counts."""
    return np.random.default_rng([seed, rows]).normal(size=(rows, dim)).astype(dtype)


def lattice(rows: int = 30, step: float = 512, across: int = 6) -> NDArray[np.int64]:
    """(rows, 2) corners, `across` a line."""
    index = np.arange(rows)
    places = np.stack([index % across, index // across], axis=1) * step
    return np.round(places).astype(np.int64)


def trident(
    job: Path,
    slide: str,
    data: NDArray[Any],
    coords: NDArray[Any] | None = None,
    *,
    encoder: str | None = "uni_v1",
    folder: str = "20x_256px_0px_overlap",
    own_attributes: bool = True,
    **attributes: Any,
) -> Path:
    """A TRIDENT features file and its file of patches; chunks of one row. Attributes of value ... are left out."""
    coords = lattice(len(data)) if coords is None else coords
    said: dict[str, Any] = {
        "patch_size": 256,
        "patch_size_level0": 512,
        "level0_magnification": 40,
        "target_magnification": 20.0,
        "overlap": 0,
        "name": slide,
        "savetodir": "/elsewhere",
        "level0_width": 100_000,
        "level0_height": 80_000,
        **attributes,
    }
    said = {name: value for name, value in said.items() if value is not ...}
    base = job / folder
    path = base / "features_uni_v1" / f"{slide}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    (base / "patches").mkdir(exist_ok=True)
    with h5py.File(base / "patches" / f"{slide}_patches.h5", "w") as file:
        _chunked(file, "coords", coords).attrs.update(said)
    with h5py.File(path, "w") as file:
        made = _chunked(file, "features", data)
        made.attrs.update({"name": slide, "savetodir": "/elsewhere"})
        if encoder is not None:
            made.attrs["encoder"] = encoder
        _chunked(file, "coords", coords).attrs.update(said if own_attributes else {})
    return path


def clam(
    out: Path,
    slide: str,
    data: NDArray[Any],
    *,
    level: int = 0,
    downsample: float = 1.0,
    pt: bool = False,
    h5: bool = True,
    patches: bool = True,
    step: int | None = None,
    **attributes: Any,
) -> None:
    """CLAM's files of patches and features."""
    coords = lattice(len(data), step or 256 * downsample)
    (out / "patches").mkdir(parents=True, exist_ok=True)
    if patches:
        with h5py.File(out / "patches" / f"{slide}.h5", "w") as file:
            _chunked(file, "coords", coords).attrs.update(
                {
                    "patch_size": 256,
                    "patch_level": level,
                    "downsample": (downsample, downsample),
                    "downsampled_level_dim": (int(40_000 / downsample), int(30_000 / downsample)),
                    "level_dim": (int(40_000 / downsample), int(30_000 / downsample)),
                    "name": slide,
                    "save_path": "/elsewhere",
                    **attributes,
                }
            )
    if h5:
        (out / "h5_files").mkdir(exist_ok=True)
        with h5py.File(out / "h5_files" / f"{slide}.h5", "w") as file:
            file.create_dataset("features", data=data, chunks=(min(32, len(data)), data.shape[1]))
            file.create_dataset("coords", data=coords.astype(np.int32), chunks=(min(32, len(data)), 2))
    if pt:
        (out / "pt_files").mkdir(exist_ok=True)
        torch.save(torch.from_numpy(data), out / "pt_files" / f"{slide}.pt")


def stamp(
    path: Path,
    data: NDArray[Any],
    coords: NDArray[Any] | None = None,
    *,
    augmented: NDArray[np.bool_] | None = None,
    **attributes: Any,
) -> Path:
    """A STAMP file of tiles with these attributes, contiguous."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["coords"] = lattice(len(data), 256.0).astype(np.float32) if coords is None else coords
        file["feats"] = data
        if augmented is not None:
            file["augmented"] = augmented
        file.attrs.update(attributes)
    return path


STAMP_24 = {
    "stamp_version": "2.4.0",
    "extractor": "uni2",
    "unit": "um",
    "tile_size_um": 256.0,
    "tile_size_px": 224,
    "code_hash": "0123abcd",
    "feat_type": "tile",
}


def atlaspatch(path: Path, encoders: dict[str, NDArray[Any]]) -> Path:
    """An AtlasPatch file with features of several encoders."""
    rows = len(next(iter(encoders.values())))
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        read = np.tile(np.asarray([512, 512, 0], np.int32), (rows, 1))
        file["coords"] = np.concatenate([lattice(rows).astype(np.int32), read], axis=1)
        file["passports"] = np.asarray([b"x" * 160] * rows, "S160")
        for name, data in encoders.items():
            file[f"features/{name}"] = data
        file.attrs.update(
            {
                "patch_size": 256,
                "patch_size_level0": 512,
                "level0_magnification": 40,
                "target_magnification": 20,
                "overlap": 0,
                "level0_width": 100_000,
                "level0_height": 80_000,
                "wsi_path": "/elsewhere/slide.svs",
                "passport_version": 2,
            }
        )
    return path


def _chunked(file: h5py.File, name: str, data: NDArray[Any]) -> Any:
    chunks = (1, *data.shape[1:]) if data.ndim > 1 and data.shape[1] else None
    maxshape = (None, *data.shape[1:]) if chunks else None
    return file.create_dataset(name, data=data, chunks=chunks, maxshape=maxshape)
