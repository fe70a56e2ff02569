"""Small stores made by hand for the index's tests: random clustered features, no slides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from slidelake.store import FeatureStore

GRID = "256px-0.5mpp"
ENCODER = "toy.0123abcd"
SPACE = f"{GRID}/{ENCODER}"
MEAN = "mean.4567cdef"
DIM = 16
FOOTPRINT = 512


def features(slide: int, rows: int = 12, dim: int = DIM, *, seed: int = 0) -> np.ndarray:
    """(rows, dim) float16: four clusters that every slide shares, its own noise and scale."""
    rng = np.random.default_rng([seed, slide])
    centres = np.random.default_rng(seed).normal(size=(4, dim))
    picked = centres[np.arange(rows) % 4] + 0.3 * rng.normal(size=(rows, dim))
    return (picked * rng.uniform(0.5, 20, size=(rows, 1))).astype(np.float16)


def coords(rows: int) -> np.ndarray:
    """(rows, 2) int32: six patches a line, side by side."""
    index = np.arange(rows)
    return np.stack([index % 6 * FOOTPRINT, index // 6 * FOOTPRINT], axis=1).astype(np.int32)


def put_slide(
    store: FeatureStore,
    slide_id: str,
    data: np.ndarray,
    *,
    grid: str = GRID,
    encoder: str = ENCODER,
    valid: np.ndarray | None = None,
    patient: str | None = None,
    provenance: dict[str, Any] | None = None,
    at: np.ndarray | None = None,
    facts: dict[str, Any] | None = None,
) -> None:
    """Commit overview, grid and bag of one slide; again: the next generation of its bag."""
    rows = len(data)
    origin = {"patient_id": patient or slide_id, "encoder": {"name": encoder.rpartition(".")[0]}} | (
        provenance or {}
    )
    lines = -(-rows // 6)
    facts = facts or {
        "spec": {"patch_px": 256, "mpp": 0.5, "stride_px": 256},
        "footprint_level0": [float(FOOTPRINT)] * 2,
        "stride_level0": [float(FOOTPRINT)] * 2,
        "effective_mpp": [0.5, 0.5],
        "slide_size": [6 * FOOTPRINT, max(lines, 1) * FOOTPRINT],
    }
    store.put_grid(
        slide_id,
        grid,
        coords=coords(rows) if at is None else at,
        columns={"tissue": np.full(rows, 200, np.uint8), "blur": (np.arange(rows) % 256).astype(np.uint8)},
        attributes=facts,
        provenance=origin,
    )
    with store.bag_writer(
        slide_id, grid, encoder, dim=data.shape[1], dtype=data.dtype.name, attributes=facts
    ) as writer:
        writer.write(data, valid)
        writer.commit(origin)


def put_pooled(store: FeatureStore, slide_id: str, *, aggregator: str = MEAN) -> None:
    """Commit the mean of the slide's bag, (1, D) float32."""
    mean = np.asarray(store.bag(slide_id, SPACE).features, np.float32).mean(axis=0, keepdims=True)
    store.put_pooled(slide_id, SPACE, aggregator, embedding=mean, provenance={"aggregator": aggregator})


def make_lake(folder: Path, *, slides: int = 6, rows: int = 12) -> FeatureStore:
    """Slides S0, S1, …: two a patient (P0, P1, …), with metadata of each kind."""
    store = FeatureStore.open(folder, create=True)
    for i in range(slides):
        put_slide(store, f"S{i}", features(i, rows), patient=f"P{i // 2}")
    store.metadata.merge(
        pd.DataFrame(
            {
                "slide_id": [f"S{i}" for i in range(slides)],
                "site": [["larynx", "lung", "O'Brien; DROP"][i % 3] for i in range(slides)],
                "age": [40 + 5 * i for i in range(slides)],
                "ratio": [i / 4 for i in range(slides)],
                "fixed": [bool(i % 2) for i in range(slides)],
            }
        )
    )
    return store


def true_cosines(store: FeatureStore, query: np.ndarray) -> dict[tuple[str, int], float]:
    """Cosine of every live patch with `query`, from the bags themselves, in float64."""
    found = {}
    for slide_id in store.slide_ids():
        bag = store.bag(slide_id, SPACE)
        data = np.asarray(bag.features, np.float64)
        for row in range(len(data)):
            if bag.valid[row] and data[row].any():
                cosine = data[row] @ query / np.linalg.norm(data[row]) / np.linalg.norm(query)
                found[slide_id, row] = float(cosine)
    return found
