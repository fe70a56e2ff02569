"""One slide's vectors as the index holds them, read from its bag or its pooled embedding in the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from slidelake.errors import DamagedStoreError
from slidelake.index.live import Version
from slidelake.index.tables import Collection, normalise, vectors_table

if TYPE_CHECKING:
    import pyarrow as pa

    from slidelake.store import FeatureStore

__all__ = ["Vectors", "read_vectors"]


@dataclass(frozen=True)
class Vectors:
    """(n, D) float16 unit vectors of one slide with their per-row columns, and the commit they are from."""

    slide_id: str
    version: Version
    attempt: str
    patient_id: str
    data: np.ndarray
    columns: dict[str, Any] = field(default_factory=dict)
    left_out: int = 0

    def to_arrow(self, schema: pa.Schema) -> pa.Table:
        width = schema.field("vector").type.list_size
        if self.data.shape[1] != width:
            raise DamagedStoreError(
                f"vectors have {self.data.shape[1]} dimensions where others of the space have {width}",
                remedy="Verify the store: `slidelake verify --deep`.",
                slide=self.slide_id,
            )
        own = {"slide_id": self.slide_id, "epoch": self.version.epoch, "generation": self.version.generation}
        return vectors_table(schema, self.columns | own, self.data)


def read_vectors(store: FeatureStore, collection: Collection, slide_id: str) -> Vectors:
    """The slide's live vectors; rows that are not valid, or all zero, are left out and counted."""
    if collection.aggregator:
        return _read_pooled(store, collection, slide_id)
    grid_id, _, _ = collection.space.partition("/")
    bag = store.bag(slide_id, collection.space)
    features = np.asarray(bag.features)
    coords = np.asarray(bag.coords)
    valid = np.asarray(bag.valid).astype(bool)
    vectors, usable = normalise(np.where(valid[:, None], features, 0), slide=slide_id)
    keep = np.flatnonzero(valid & usable)
    grid = store.grid(slide_id, grid_id)
    columns: dict[str, Any] = {
        "row": keep.astype(np.int32),
        "x": coords[keep, 0],
        "y": coords[keep, 1],
    }
    for name in ("tissue", "blur"):
        if name in grid.columns:
            columns[name] = np.asarray(grid.columns[name])[keep]
    return Vectors(
        slide_id=slide_id,
        version=Version(bag.commit.epoch, bag.commit.generation),
        attempt=bag.commit.attempt,
        patient_id=str(bag.provenance.get("patient_id") or slide_id),
        data=vectors[keep],
        columns=columns,
        left_out=len(features) - len(keep),
    )


def _read_pooled(store: FeatureStore, collection: Collection, slide_id: str) -> Vectors:
    pooled = store.pooled(slide_id, collection.space, collection.aggregator)
    grid_id, _, encoder_id = collection.space.partition("/")
    commit = pooled.commit
    vectors, usable = normalise(np.asarray(pooled.embedding), slide=slide_id)
    # Several branches (K > 1) are views of one slide, not several slides: they have no one cosine to rank by.
    keep = np.flatnonzero(usable) if len(vectors) == 1 else np.empty(0, np.int64)
    bag = store.commit(slide_id, "bag", grid_id, encoder_id)
    provenance = (bag.provenance if bag else None) or commit.provenance
    return Vectors(
        slide_id=slide_id,
        version=Version(commit.epoch, commit.generation),
        attempt=commit.attempt,
        patient_id=str(provenance.get("patient_id") or slide_id),
        data=vectors[keep],
        columns={"row": keep.astype(np.int32)},
        left_out=len(vectors) - len(keep),
    )
