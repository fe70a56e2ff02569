"""Stores with one slide, its thumbnail and a grid, made by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from slidelake.store import FeatureStore

GRID, ENCODER = "256px-0.5mpp", "toy.0123abcd"
SPACE = f"{GRID}/{ENCODER}"
ABMIL = "abmil.89abcdef"


def corners(size: int, stride: float, footprint: float) -> np.ndarray:
    starts = np.floor(np.arange(int(size / stride) + 1) * stride + 0.5)
    return starts[starts + footprint <= size].astype(np.int32)


def lattice(size: tuple[int, int], stride: float, footprint: float) -> np.ndarray:
    """(N, 2) level-0 corners of all cells of a slide, along x first."""
    xs, ys = (corners(each, stride, footprint) for each in size)
    return np.stack([grid.ravel() for grid in np.meshgrid(xs, ys)], 1).astype(np.int32)


def put(
    store: FeatureStore,
    slide_id: str,
    coords: np.ndarray,
    *,
    size: tuple[int, int],
    footprint: float,
    stride: float | None = None,
    thumbnail: np.ndarray | None = None,
    columns: Mapping[str, np.ndarray] | None = None,
    valid: np.ndarray | None = None,
) -> None:
    facts: dict[str, Any] = {
        "spec": {"patch_px": 256, "mpp": 0.5, "stride_px": 256},
        "footprint_level0": [footprint, footprint],
        "stride_level0": [stride or footprint] * 2,
        "effective_mpp": [0.5, 0.5],
        "slide_size": list(size),
    }
    if thumbnail is not None:
        mask = np.ones(thumbnail.shape[:2], np.uint8)
        store.put_overview(slide_id, thumbnail=thumbnail, tissue_mask=mask, attributes={}, provenance={})
    store.put_grid(slide_id, GRID, coords=coords, columns=columns or {}, attributes=facts, provenance={})
    with store.bag_writer(slide_id, GRID, ENCODER, dim=3) as writer:
        writer.write(np.random.default_rng(0).normal(size=(len(coords), 3)).astype(np.float16), valid)
        writer.commit({})


def put_scores(store: FeatureStore, slide_id: str, scores: np.ndarray, aggregator: str = ABMIL) -> np.ndarray:
    """Commit (K, N) scores with their lse; returns the attention (K, N), 0 where a score is −inf."""
    top = scores.max(1, keepdims=True)
    lse = (top[:, 0] + np.log(np.exp(scores - top).sum(1))).astype(np.float32)
    store.put_pooled(
        slide_id,
        SPACE,
        aggregator,
        embedding=np.ones((len(scores), 3)),
        scores=scores.astype(np.float32),
        lse=lse,
        provenance={"bag": store.bag(slide_id, SPACE).commit.attempt},
    )
    return np.exp(scores.astype(np.float32).astype(np.float64) - lse[:, None].astype(np.float64))


def new_store(folder: Path) -> FeatureStore:
    return FeatureStore.open(folder / "lake", create=True)
