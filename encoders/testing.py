"""The conformance suite of patch encoders: subclass it in a test file, and an encoder is held to the contract.

    class TestMine(PatchEncoderTests):
        name = "my-encoder"

Needs pytest, as only tests import it.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest

from slidelake.encoders.base import PatchEncoder
from slidelake.encoders.registry import create_encoder
from slidelake.errors import UsageError

__all__ = ["PatchEncoderTests", "tissue_like"]


def tissue_like(count: int, side: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """(count, side, side, 3) uint8 patches with dark blobs on a pale ground, no two alike."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side]
    patches = np.empty((count, side, side, 3), np.uint8)
    for patch in patches:
        image = generator.normal((228.0, 170.0, 205.0), 6.0, (side, side, 3))
        for _ in range(int(generator.integers(2, 30))):
            place, radius = generator.uniform(0, side, 2), generator.uniform(2, 9)
            image[(y - place[0]) ** 2 + (x - place[1]) ** 2 < radius**2] -= (110.0, 90.0, 40.0)
        patch[:] = np.clip(image, 0, 255)
    return patches


class PatchEncoderTests:
    """What every patch encoder keeps to; override what is below to say which one, and how it is made.

    `row_tolerance` is 0 where a row's bits may not depend on its batch. Networks on a GPU or a BLAS sum in another
    order for another batch: they state how far (relative to the row's length).
    """

    name: ClassVar[str]
    options: ClassVar[dict[str, Any]] = {}
    sides: ClassVar[tuple[int, ...]] = (50, 224, 256)
    row_tolerance: ClassVar[float] = 0.0

    def make_encoder(self) -> PatchEncoder:
        """A new encoder; called several times in a test."""
        return create_encoder(self.name, device="cpu", **self.options)

    def make_patches(self, count: int, side: int, seed: int = 0) -> npt.NDArray[np.uint8]:
        """Patches to encode."""
        return tissue_like(count, side, seed)

    def _assert_same(self, rows: npt.NDArray[np.float32], others: npt.NDArray[np.float32]) -> None:
        if self.row_tolerance == 0.0:
            assert rows.tobytes() == others.tobytes()
        else:
            lengths = np.linalg.norm(rows, axis=-1)
            assert (np.linalg.norm(rows - others, axis=-1) <= self.row_tolerance * lengths).all()

    def test_rows_have_the_dtype_and_shape_of_the_spec(self) -> None:
        encoder = self.make_encoder()
        for side in self.sides:
            rows = encoder.encode(self.make_patches(3, side))
            assert rows.dtype == np.float32
            assert rows.shape == (3, encoder.spec.dim)
            assert np.isfinite(rows).all()

    def test_an_empty_batch_gives_no_rows(self) -> None:
        encoder = self.make_encoder()
        rows = encoder.encode(np.empty((0, 256, 256, 3), np.uint8))
        assert rows.shape == (0, encoder.spec.dim)
        assert rows.dtype == np.float32

    def test_encoding_twice_gives_the_same_bits(self) -> None:
        patches = self.make_patches(3, self.sides[-1])
        first, second = self.make_encoder(), self.make_encoder()
        assert first.encode(patches).tobytes() == first.encode(patches).tobytes()
        assert first.encode(patches).tobytes() == second.encode(patches).tobytes()

    def test_a_row_depends_on_its_patch_alone(self) -> None:
        encoder = self.make_encoder()
        for side in self.sides:
            patches = self.make_patches(7, side)
            together = encoder.encode(patches)
            alone = np.concatenate([encoder.encode(patch[None]) for patch in patches])
            self._assert_same(together, alone)
            self._assert_same(together[::-1], encoder.encode(np.ascontiguousarray(patches[::-1])))
            self._assert_same(together[2:5], encoder.encode(patches[2:5]))

    def test_threads_do_not_change_a_row(self) -> None:
        encoder = self.make_encoder()
        batches = [self.make_patches(3, self.sides[0], seed) for seed in range(6)]
        with ThreadPoolExecutor(3) as pool:
            made = list(pool.map(encoder.encode, batches))
        for rows, batch in zip(made, batches, strict=True):
            self._assert_same(rows, encoder.encode(batch))

    def test_memory_layout_does_not_matter_and_patches_stay_as_they_are(self) -> None:
        encoder = self.make_encoder()
        patches = self.make_patches(2, self.sides[-1])
        before = patches.copy()
        turned = np.asfortranarray(patches)
        frozen = patches.copy()
        frozen.setflags(write=False)
        rows = encoder.encode(patches)
        self._assert_same(rows, encoder.encode(turned))
        self._assert_same(rows, encoder.encode(frozen))
        assert (patches == before).all()

    def test_different_patches_give_different_rows_none_of_them_zero(self) -> None:
        rows = self.make_encoder().encode(self.make_patches(4, self.sides[-1]))
        assert (np.linalg.norm(rows, axis=1) > 0).all()
        assert len(np.unique(rows, axis=0)) == 4

    @pytest.mark.parametrize("value", [0, 128, 243, 255])
    def test_a_blank_patch_gives_a_finite_row_that_is_not_zero(self, value: int) -> None:
        rows = self.make_encoder().encode(np.full((1, 256, 256, 3), value, np.uint8))
        assert np.isfinite(rows).all()
        assert np.linalg.norm(rows) > 0

    @pytest.mark.parametrize(
        "wrong",
        [
            np.zeros((2, 64, 64, 3), np.float32),
            np.zeros((2, 64, 64, 4), np.uint8),
            np.zeros((2, 3, 64, 64), np.uint8),
            np.zeros((64, 64, 3), np.uint8),
            np.zeros((1, 8, 8, 3), np.uint8),
        ],
        ids=["float", "four channels", "channels first", "no batch", "too small"],
    )
    def test_wrong_patches_are_refused(self, wrong: npt.NDArray[Any]) -> None:
        with pytest.raises(UsageError):
            self.make_encoder().encode(wrong)

    def test_the_spec_is_stable_and_names_what_it_must(self) -> None:
        first, second = self.make_encoder().spec, self.make_encoder().spec
        assert first.encoder_id == second.encoder_id
        assert first.fingerprint() == second.fingerprint()
        assert first.dim > 0
        assert first.name
        assert "~" not in first.encoder_id
        assert len(first.encoder_id.rpartition(".")[2]) == 8
