"""The atlas that figures are measured on never changes.

The checksum rests on: float64 arithmetic without fused operations or libm (see noise.py), Philox and
`Generator.random`/`permutation` of numpy, libjpeg-turbo's integer DCT in encoder (imagecodecs) and decoder
(OpenSlide), whose SIMD and plain code agree bit for bit. If it fails after an upgrade, find out which of
these moved; do not replace the number, for every published figure was measured on these pixels.
"""

import csv
import itertools
from pathlib import Path

import numpy as np
import openslide
import pytest
import xxhash

from slidelake.ingest.synthetic import CLASS_NAMES, SynthReport, synthesise

FROZEN = "99204b9a940cc8e6c6a7cf08b0ed82d7"


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> SynthReport:
    return synthesise(tmp_path_factory.mktemp("atlas"), slides=6, seed=0)


def labels(report: SynthReport) -> list[dict[str, str]]:
    with report.labels.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_labels_and_pixels_are_the_frozen_ones(atlas: SynthReport) -> None:
    digest = xxhash.xxh3_128(atlas.labels.read_bytes())
    for path in atlas.slides:
        with openslide.OpenSlide(path) as slide:
            width, height = slide.dimensions
            for y in range(0, height, 512):
                strip = np.asarray(slide.read_region((0, y), 0, (width, 512)))
                digest.update(strip[..., :3].tobytes())
    assert digest.hexdigest() == FROZEN


def test_no_two_labelled_patches_are_equal(atlas: SynthReport) -> None:
    seen: set[bytes] = set()
    rows = labels(atlas)
    for slide_id, group in itertools.groupby(rows, key=lambda row: row["slide"]):
        with openslide.OpenSlide(Path(atlas.folder, f"{slide_id}.svs")) as slide:
            for row in group:
                patch = slide.read_region((int(row["x"]), int(row["y"])), 0, (256, 256))
                seen.add(xxhash.xxh3_128_digest(patch.tobytes()))
    assert len(seen) == len(rows) >= 900


def test_every_class_is_in_every_patient(atlas: SynthReport) -> None:
    rows = labels(atlas)
    pairs = {(row["slide"].split("-s")[0], row["class"]) for row in rows}
    assert len({patient for patient, _ in pairs}) == 3
    assert len(pairs) == 3 * len(CLASS_NAMES)
    assert min(atlas.patches.values()) >= 80
