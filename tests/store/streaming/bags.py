"""Small stores for loaders: bags of given lengths whose values say whose they are, and batches compared."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from slidelake.store import BagLoader, Batch, FeatureStore
from slidelake.store.testing import ENCODER_ID, GRID_ID

DIM = 8
SPACE = f"{GRID_ID}/{ENCODER_ID}"


def features_of(number: int, rows: int, dim: int = DIM) -> NDArray[np.float16]:
    """Slide n's features: the first column holds n, the second the row."""
    found = np.random.default_rng(number).normal(size=(rows, dim)).astype(np.float16)
    found[:, 0], found[:, 1] = number, np.arange(rows) % 2048
    return found


def add_bag(
    store: FeatureStore,
    number: int,
    rows: int,
    *,
    grid_id: str = GRID_ID,
    encoder_id: str = ENCODER_ID,
    patient: str = "",
    invalid: Sequence[int] = (),
    dtype: str = "float16",
    dim: int = DIM,
) -> None:
    """Commits slide S<nn> with a grid (where there is none) and a bag."""
    slide_id = f"S{number:02d}"
    told = {"source_uri": f"file:///{slide_id}.svs", "patient_id": patient or f"P{number:02d}"}
    coords = np.stack([np.arange(rows) % 16, np.arange(rows) // 16], axis=1) * 256
    attributes = {"slide_size": [8192, 8192], "footprint_level0": [256.0, 256.0]}
    store.put_grid(slide_id, grid_id, coords=coords, columns={}, attributes=attributes, provenance=told)
    valid = np.ones(rows, np.uint8)
    valid[list(invalid)] = 0
    with store.bag_writer(slide_id, grid_id, encoder_id, dim=dim, dtype=dtype) as writer:
        writer.write(features_of(number, rows, dim).astype(dtype), valid)
        writer.commit(told)


def make_store(path: Path | str, lengths: Iterable[int], **options: Any) -> FeatureStore:
    """A store of slides S00, S01, … with so many rows each."""
    store = FeatureStore.open(path, create=True)
    for number, rows in enumerate(lengths):
        add_bag(store, number, rows, **options)
    return store


def same(one: Batch, other: Batch) -> bool:
    """Whether two batches hold the same, tensor for tensor."""
    pairs = list(zip(one.tensors(), other.tensors(), strict=True))
    return (
        one.bag_ids == other.bag_ids
        and (one.epoch, one.step) == (other.epoch, other.step)
        and all(a.dtype == b.dtype and torch.equal(a, b) for a, b in pairs)
    )


def all_same(ones: Sequence[Batch], others: Sequence[Batch]) -> bool:
    return len(ones) == len(others) and all(same(a, b) for a, b in zip(ones, others, strict=True))


def bags_in(loader: BagLoader | Iterable[Batch]) -> list[str]:
    return [bag_id for batch in loader for bag_id in batch.bag_ids]
