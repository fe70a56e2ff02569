"""The atlas that figures are measured on never changes.

The checksum rests on: float64 arithmetic without fused operations or libm (see noise.py), Philox and
`Generator.random`/`permutation` of numpy, libjpeg-turbo's integer DCT in encoder (imagecodecs) and decoder
(OpenSlide), whose SIMD and plain code agree bit for bit. It holds with code for the oldest x86-64 too:
`NUMBA_CPU_NAME=x86-64 NUMBA_CPU_FEATURES= JSIMD_FORCENONE=1` and numpy without AVX2, AVX-512 and FMA
(`NPY_DISABLE_CPU_FEATURES`). If it fails after an upgrade, find out which of these moved; do not replace
the number, for every published figure was measured on these pixels.
"""

import csv
import itertools
from pathlib import Path

import numpy as np
import openslide
import pytest
import xxhash
from numpy.typing import NDArray

from slidelake.ingest.synthetic import CLASS_NAMES, SynthReport, synthesise

FROZEN = "99204b9a940cc8e6c6a7cf08b0ed82d7"


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> SynthReport:
    return synthesise(tmp_path_factory.mktemp("atlas"), slides=6, seed=0)


@pytest.fixture(scope="module")
def patches(atlas: SynthReport) -> NDArray[np.uint8]:
    """Pixels of the labelled cells (N, 256, 256, 3), as OpenSlide gives them."""
    found = []
    for slide_id, group in itertools.groupby(labels(atlas), key=lambda row: row["slide"]):
        with openslide.OpenSlide(Path(atlas.folder, f"{slide_id}.svs")) as slide:
            for row in group:
                place = (int(row["x"]), int(row["y"]))
                found.append(np.asarray(slide.read_region(place, 0, (256, 256)))[..., :3])
    return np.stack(found)


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


def test_no_two_labelled_patches_are_equal(atlas: SynthReport, patches: NDArray[np.uint8]) -> None:
    digests = {xxhash.xxh3_128_digest(np.ascontiguousarray(patch).tobytes()) for patch in patches}
    assert len(digests) == len(labels(atlas)) >= 900


def test_every_class_is_in_every_patient(atlas: SynthReport) -> None:
    rows = labels(atlas)
    pairs = {(row["slide"].split("-s")[0], row["class"]) for row in rows}
    assert len({patient for patient, _ in pairs}) == 3
    assert len(pairs) == 3 * len(CLASS_NAMES)
    assert min(atlas.patches.values()) >= 80


def test_colour_alone_does_not_give_the_class(atlas: SynthReport, patches: NDArray[np.uint8]) -> None:
    """precision@10 over other patients' patches of a 6 x 6 x 6 RGB histogram (square root): 0.41."""
    rows = labels(atlas)
    names = np.array([row["class"] for row in rows])
    who = np.array([row["slide"].split("-s")[0] for row in rows])
    bins = patches.astype(np.uint16) * 6 // 256
    codes = (bins[..., 0] * 36 + bins[..., 1] * 6 + bins[..., 2]).reshape(len(rows), -1)
    histograms = np.sqrt(np.stack([np.bincount(code, minlength=216) for code in codes]) / codes.shape[1])
    score = histograms @ histograms.T
    score[who[:, None] == who[None]] = -1.0
    nearest = np.argsort(-score, axis=1)[:, :10]
    assert 0.35 < (names[nearest] == names[:, None]).mean() < 0.45


def test_artefacts_are_where_the_labels_say(atlas: SynthReport, patches: NDArray[np.uint8]) -> None:
    rows = labels(atlas)
    step = np.abs(np.diff(patches[..., 1].astype(np.int16), axis=1)).mean(axis=(1, 2))
    blurred = np.array([row["artefact"] == "blur" for row in rows])
    pen = np.array([row["artefact"] == "pen" for row in rows])
    assert blurred.sum() >= 5
    assert pen.sum() >= 5
    slide = np.array([row["slide"] for row in rows])
    for each in set(slide[blurred]):
        here = slide == each
        assert np.median(step[here & blurred]) < 0.75 * np.median(step[here & ~blurred])
