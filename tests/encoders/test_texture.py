"""stain-texture: the contract, its golden rows, and what it is for: alike tissue in another stain."""

import numpy as np
import numpy.typing as npt
import pytest

from slidelake.encoders import create_encoder, stain_shift
from slidelake.encoders.testing import PatchEncoderTests, tissue_like
from slidelake.encoders.texture import StainTexture
from slidelake.encoders.texture_constants import CENTRE, INVERSE_SPREAD, STEADINESS
from slidelake.encoders.texture_describe import BLOCKS, RAW_DIM, describe
from slidelake.encoders.texture_scaling import WEIGHTS, learn
from slidelake.errors import UsageError

ENCODER = create_encoder("stain-texture")


class TestStainTexture(PatchEncoderTests):
    name = "stain-texture"
    sides = (32, 50, 150, 224, 256)


class TestStainTextureOnThreads(PatchEncoderTests):
    name = "stain-texture"
    options = {"threads": 4}  # noqa: RUF012
    sides = (50, 256)


def _cosine(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    wide, other = first.astype(np.float64), second.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1) * np.linalg.norm(other, axis=1)
    cosine: npt.NDArray[np.float64] = (wide * other).sum(1) / lengths
    return cosine


def test_rows_are_golden() -> None:
    """Rows that change need another VERSION in texture.py, or old and new ones meet in one space."""
    rows = ENCODER.encode(tissue_like(2, 96, seed=5))
    assert rows[0, GOLDEN_PLACES] == pytest.approx(GOLDEN_ROW, abs=2e-4)
    assert float(_cosine(rows[:1], rows[1:])[0]) == pytest.approx(GOLDEN_COSINE, abs=1e-3)


def test_rows_have_length_one_and_the_spec_the_dimension() -> None:
    rows = ENCODER.encode(tissue_like(4, 64))
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    assert ENCODER.spec.dim == RAW_DIM == len(CENTRE) == len(INVERSE_SPREAD) == len(STEADINESS)


def test_every_block_has_weights_and_no_weight_is_without_a_block() -> None:
    assert {(block.name, block.scale) for block in BLOCKS} == set(WEIGHTS)
    for block in BLOCKS:
        assert block.length % len(WEIGHTS[block.name, block.scale]) == 0


@pytest.mark.parametrize("shift", [(0.7, 0.7, 0.0), (1.3, 1.3, 0.0), (1.3, 0.8, -6.0), (0.8, 1.3, 6.0)])
def test_tissue_in_another_stain_finds_its_kind(shift: tuple[float, float, float]) -> None:
    kinds = [(8, 12.0), (40, 6.0), (160, 3.0), (110, 7.0)]
    generator = np.random.default_rng(1)
    searched, asked = (np.stack([_nuclei(generator, count=n, radius=r) for n, r in kinds]) for _ in range(2))
    scores = ENCODER.encode(stain_shift(asked, *shift)) @ ENCODER.encode(searched).T
    assert scores.argmax(1).tolist() == [0, 1, 2, 3]


def test_a_turned_or_mirrored_patch_is_nearly_the_same() -> None:
    patches = tissue_like(6, 128, seed=3)
    rows = ENCODER.encode(patches)
    for turned in (patches[:, ::-1], patches[:, :, ::-1], patches.transpose(0, 2, 1, 3)):
        assert _cosine(rows, ENCODER.encode(np.ascontiguousarray(turned))).min() > 0.97


def test_other_architecture_in_the_same_stain_is_further_than_the_same_in_another() -> None:
    generator = np.random.default_rng(0)
    few = _nuclei(generator, count=12, radius=9.0)
    same = _nuclei(generator, count=12, radius=9.0)
    many = _nuclei(generator, count=160, radius=3.0)
    rows = ENCODER.encode(np.stack([few, stain_shift(same, 1.25, 0.8, 5.0), many]))
    assert _cosine(rows[:1], rows[1:2])[0] > _cosine(rows[:1], rows[2:])[0] + 0.1


def test_oblong_patches_and_odd_sides() -> None:
    patches = tissue_like(2, 97)[:, :65]
    assert np.isfinite(ENCODER.encode(patches)).all()


def test_threads_below_one_are_refused() -> None:
    with pytest.raises(UsageError):
        StainTexture(threads=0)


def test_constants_are_learnt_from_patches_and_their_shifts_alone() -> None:
    patches = tissue_like(30, 40)
    plain = _raw(patches)
    still = learn(plain, [plain])
    moved = learn(plain, [_raw(stain_shift(patches, 1.3, 0.7, 8.0))])
    assert still[0] == pytest.approx(plain.mean(0))
    # What does not move keeps all of its say; in a moved stain the levels of colour lose against patterns.
    first = BLOCKS[0].length
    levels = slice(first, first + BLOCKS[1].length)
    assert (still[2] > 0).all()
    assert (moved[2] >= 0).all()
    assert moved[2][levels].min() < still[2][levels].min()


def _raw(patches: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    rows = np.zeros((len(patches), RAW_DIM))
    for patch, row in zip(patches, rows, strict=True):
        describe(patch, row)
    return rows


def _nuclei(generator: np.random.Generator, *, count: int, radius: float) -> npt.NDArray[np.uint8]:
    side = 128
    y, x = np.mgrid[0:side, 0:side]
    image = generator.normal((226.0, 165.0, 205.0), 4.0, (side, side, 3))
    for place in generator.uniform(0, side, (count, 2)):
        image[(y - place[0]) ** 2 + (x - place[1]) ** 2 < radius**2] = (95.0, 70.0, 150.0)
    patch: npt.NDArray[np.uint8] = np.clip(image, 0, 255).astype(np.uint8)
    return patch


GOLDEN_PLACES = [0, 60, 130, 200, 210, 260, 300, 350, 400, 450, 500, 545]
GOLDEN_ROW = [
    -0.02906,
    0.03223,
    -0.00470,
    -0.01446,
    -0.09121,
    -0.01726,
    -0.04301,
    -0.00670,
    -0.07180,
    0.01340,
    0.00887,
    -0.00582,
]
GOLDEN_COSINE = 0.9371
