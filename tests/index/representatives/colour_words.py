"""A small encoder of images and text: a patch is its mean colour, a text the mean of the colours that it names; and
lakes of coloured patches with reports about them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slidelake.encoders import EncoderSpec
from slidelake.encoders.base import check_patches
from slidelake.index.reports import find_sections
from slidelake.store import FeatureStore, Report
from tests.index.lakes import FOOTPRINT, GRID, coords

NAME = "tests.index.representatives.colour_words:create"
COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 200, 60),
    "blue": (50, 60, 220),
    "yellow": (230, 220, 50),
    "purple": (150, 40, 170),
}
#: So many dimensions, by a fixed rotation: three would be too few for patches to differ much.
DIM = 12


class ColourWords:
    """Patches and texts in one space; grey is its origin."""

    spec = EncoderSpec(NAME, DIM, normalisation="mean colour minus grey")

    def encode(self, patches: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        check_patches(patches, encoder=self.spec.name)
        return _lifted(patches.reshape(len(patches), -1, 3).mean(axis=1, dtype=np.float64))

    def encode_text(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        named = [
            [COLOURS[word] for word in re.findall(r"[a-z]+", text.lower()) if word in COLOURS]
            for text in texts
        ]
        # A text without a colour says something all the same: nearly grey, a little warm.
        return _lifted(np.array([np.mean(each or [(130, 128, 126)], axis=0) for each in named]))


def create(*, weights: str | None = None, device: str = "auto") -> ColourWords:
    """What `create_encoder` finds by the name."""
    return ColourWords()


def _lifted(colours: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(DIM, DIM)))[0][:3]
    return ((colours - 128) @ turn).astype(np.float32)


def patches_of(names: Sequence[str], seed: int = 0, noise: float = 30.0) -> npt.NDArray[np.uint8]:
    """(n, 32, 32, 3) patches of these colours, each a little off."""
    rng = np.random.default_rng(seed)
    base = np.array([COLOURS[name] for name in names], np.float64)
    shades = base + rng.normal(scale=noise, size=base.shape)
    return np.clip(shades[:, None, None] + rng.normal(scale=4, size=(len(names), 32, 32, 3)), 0, 255).astype(
        np.uint8
    )


def put_coloured(
    store: FeatureStore,
    slide_id: str,
    names: Sequence[str],
    *,
    patient: str = "P1",
    noise: float = 30.0,
    columns: dict[str, np.ndarray] | None = None,
    features: np.ndarray | None = None,
    valid: np.ndarray | None = None,
    footprint: bool = True,
    stride: int = FOOTPRINT,
    thumbnail: bool = False,
) -> str:
    """Commit a slide of patches of these colours, six a line; returns its space."""
    encoder = ColourWords()
    made = encoder.encode(patches_of(names, noise=noise)) if features is None else features
    at = coords(len(names)) // FOOTPRINT * stride
    lines = max(1, -(-len(names) // 6))
    facts: dict[str, Any] = {
        "spec": {"patch_px": 256, "mpp": 0.5, "stride_px": 256},
        "effective_mpp": [0.5, 0.5],
        "slide_size": [6 * FOOTPRINT, lines * FOOTPRINT],
    }
    if footprint:
        facts |= {"footprint_level0": [float(FOOTPRINT)] * 2, "stride_level0": [float(stride)] * 2}
    rows = len(names)
    if columns is None:
        columns = {"tissue": np.full(rows, 200, np.uint8), "blur": np.full(rows, 20, np.uint8)}
    origin = {"patient_id": patient, "encoder": encoder.spec.fingerprint()}
    if thumbnail:
        cells = np.full((lines, 6, 3), 240, np.uint8)
        for place, name in enumerate(names):
            cells[place // 6, place % 6] = COLOURS[name]
        picture = cells.repeat(20, 0).repeat(20, 1)
        mask = np.ones(picture.shape[:2], np.uint8)
        store.put_overview(slide_id, thumbnail=picture, tissue_mask=mask, attributes={}, provenance={})
    store.put_grid(slide_id, GRID, coords=at, columns=columns, attributes=facts, provenance=origin)
    encoder_id = encoder.spec.encoder_id
    with store.bag_writer(
        slide_id, GRID, encoder_id, dim=made.shape[1], dtype="float32", attributes=facts
    ) as writer:
        writer.write(made, valid)
        writer.commit(origin)
    return f"{GRID}/{encoder_id}"


def put_report(
    store: FeatureStore, text: str, *, report_id: str = "R1", patient: str = "P1", **more: Any
) -> None:
    """Keep a report of the patient."""
    store.reports.put(Report(report_id, patient, text, sections=find_sections(text), **more))


def new_store(folder: Path) -> FeatureStore:
    return FeatureStore.open(folder / "lake", create=True)


#: 60 patches: of four colours many, of purple three.
MIXED = [*(["red", "green", "blue", "yellow"] * 15)[:57], "purple", "purple", "purple"]
