"""Bags with a needle: rows of an encoded synthetic atlas, a few of them of one tissue in half of each patient's slides.

A patient of the lake is one patient of the atlas, so that no patch and no stain is on both sides of a split; each
patient has a mixture of tissues of its own, and each slide one around it. Half of a patient's slides are positive:
who the patient is tells nothing about the label.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.patch_sets import atlas_patches
from slidelake.encoders import create_encoder
from slidelake.store import FeatureStore

__all__ = ["NEEDLE", "SPACE_GRID", "Atlas", "DrawnSlide", "commit_slides", "draw_slides", "encoded_atlas"]

#: The tissue that makes a slide positive. A linear layer on labelled patches tells each of the nine from the others;
#: without labels attention finds this one in fewer steps than most (tumour is slower).
NEEDLE = "necrosis"
SPACE_GRID = "256px-0.5mpp"
ENCODER = "stain-texture"
#: Dirichlet: how unlike patients' mixtures of tissues are, and slides of one patient (the larger, the more alike).
PATIENT_SPREAD, SLIDE_SPREAD = 1.0, 20.0
_BATCH = 64


@dataclass(frozen=True)
class Atlas:
    """P encoded patches: `rows` (P, D) float16, the tissue and the patient of each, and who encoded them."""

    rows: npt.NDArray[np.float16]
    labels: npt.NDArray[np.str_]
    patients: npt.NDArray[np.str_]
    encoder_id: str


@dataclass(frozen=True)
class DrawnSlide:
    """One slide's bag: `patches` (N,) numbers of the atlas's patches, `planted` (N,) which of them are needles."""

    slide_id: str
    patient_id: str
    patches: npt.NDArray[np.int64]
    planted: npt.NDArray[np.bool_]

    @property
    def positive(self) -> bool:
        return bool(self.planted.any())


def encoded_atlas(cache: Path, *, patients: int, seed: int, size: tuple[int, int]) -> Atlas:
    """The labelled patches of one synthetic slide a patient, encoded; kept under `cache` for the next time."""
    encoder = create_encoder(ENCODER)
    encoder_id = encoder.spec.encoder_id
    kept = cache / f"atlas-{seed}-{patients}-{size[0]}x{size[1]}-{encoder_id}.npz"
    if not kept.exists():
        atlas = atlas_patches(kept.with_suffix(""), slides=patients, seed=seed, size=size, patients=patients)
        rows = [
            encoder.encode(np.stack(atlas.images[first : first + _BATCH]))
            for first in range(0, len(atlas.images), _BATCH)
        ]
        part = kept.with_suffix(".part.npz")
        np.savez(
            part,
            rows=np.concatenate(rows).astype(np.float16),
            labels=atlas.labels,
            patients=atlas.groups,
        )
        part.replace(kept)
    with np.load(kept) as arrays:
        return Atlas(arrays["rows"], arrays["labels"], arrays["patients"], encoder_id)


def draw_slides(
    atlas: Atlas, *, slides: int, rows: int, planted: int, seed: int, needle: str = NEEDLE
) -> list[DrawnSlide]:
    """`slides` slides of each patient (half of them positive) with `rows` rows, `planted` needles in positive ones.

    Background is drawn tissue by tissue from the patient's own patches, each as often as it comes. A patient who
    has no needle, or nothing else, is left out: all slides would be of one class. ValueError where none is left.
    """
    generator = np.random.default_rng([seed, slides, rows])
    drawn = []
    for patient in sorted(set(atlas.patients.tolist())):
        mine = np.flatnonzero(atlas.patients == patient)
        needles = mine[atlas.labels[mine] == needle]
        tissues = {
            name: mine[atlas.labels[mine] == name]
            for name in sorted(set(atlas.labels[mine].tolist()) - {needle})
        }
        if not len(needles) or not tissues:
            continue
        mixture = generator.dirichlet(np.full(len(tissues), PATIENT_SPREAD))
        positive = generator.permutation(np.arange(slides) % 2 == 1)
        for number in range(slides):
            shares = generator.dirichlet(SLIDE_SPREAD * mixture + 1e-3)
            count = planted if positive[number] else 0
            counts = generator.multinomial(rows - count, shares)
            background = [generator.choice(pool, n) for pool, n in zip(tissues.values(), counts, strict=True)]
            patches = np.concatenate([*background, generator.choice(needles, count)])
            order = generator.permutation(rows)
            drawn.append(
                DrawnSlide(f"{patient}-{number:02d}", patient, patches[order], order >= rows - count)
            )
    if not drawn:
        raise ValueError(f"no patient of the atlas has {needle} and something else")
    return drawn


def commit_slides(store: FeatureStore, atlas: Atlas, slides: Sequence[DrawnSlide]) -> str:
    """Commit a bag for each slide, and the column `needle` of the lake's metadata; returns the space."""
    fingerprint = create_encoder(ENCODER).spec.fingerprint()
    for slide in slides:
        places = np.arange(len(slide.patches))
        coords = np.stack([places % 50, places // 50], axis=1).astype(np.int32) * 256
        told = {"patient_id": slide.patient_id}
        store.put_grid(slide.slide_id, SPACE_GRID, coords=coords, columns={}, attributes={}, provenance=told)
        with store.bag_writer(
            slide.slide_id, SPACE_GRID, atlas.encoder_id, dim=atlas.rows.shape[1]
        ) as writer:
            writer.write(atlas.rows[slide.patches])
            writer.commit({**told, "encoder": fingerprint})
    store.metadata.merge(
        pd.DataFrame(
            {
                "slide_id": [slide.slide_id for slide in slides],
                "needle": ["present" if slide.positive else "absent" for slide in slides],
            }
        )
    )
    return f"{SPACE_GRID}/{atlas.encoder_id}"
