"""Bags of random features to read and to write: in a store, as .npy, and as HDF5 the way TRIDENT and CLAM write it."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from slidelake.store import Bag, FeatureStore

__all__ = ["GRID_ID", "SPACE", "commit_bag", "put_grid", "random_features", "save_h5"]

GRID_ID = "256px-0.5mpp"
ENCODER_ID = "benchmark.00000000"
SPACE = f"{GRID_ID}/{ENCODER_ID}"
_BATCH = 1024


def random_features(rows: int, dim: int = 1024, seed: int = 0) -> NDArray[np.float16]:
    """(rows, dim) float16 normal numbers."""
    generator = np.random.default_rng(seed)
    features = np.empty((rows, dim), np.float16)
    for start in range(0, rows, 8192):
        part = features[start : start + 8192]
        part[...] = generator.standard_normal(part.shape, dtype=np.float32)
    return features


def put_grid(store: FeatureStore, slide_id: str, rows: int) -> None:
    """Commits a grid of so many patches."""
    coords = np.stack([np.arange(rows) % 300, np.arange(rows) // 300], axis=1).astype(np.int32) * 256
    store.put_grid(slide_id, GRID_ID, coords=coords, columns={}, attributes={}, provenance={})


def commit_bag(store: FeatureStore, slide_id: str, features: NDArray[Any]) -> Bag:
    """Commits a bag in the space SPACE, its grid too where there is none yet, batch by batch as an encoder would."""
    if store.commit(slide_id, "grid", GRID_ID) is None:
        put_grid(store, slide_id, len(features))
    with store.bag_writer(
        slide_id, GRID_ID, ENCODER_ID, dim=features.shape[1], dtype=features.dtype.name
    ) as writer:
        for start in range(0, len(features), _BATCH):
            writer.write(features[start : start + _BATCH])
        writer.commit({})
    return store.bag(slide_id, SPACE)


def save_h5(path: Path, features: NDArray[Any]) -> None:
    """As TRIDENT's save_h5 and CLAM's save_hdf5 do: float32, chunks of one row, growing, not compressed."""
    dim = features.shape[1]
    with h5py.File(path, "w") as file:
        data = file.create_dataset(
            "features", (len(features), dim), "float32", chunks=(1, dim), maxshape=(None, dim)
        )
        for start in range(0, len(features), _BATCH):
            data[start : start + _BATCH] = features[start : start + _BATCH]
