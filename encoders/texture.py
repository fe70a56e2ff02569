"""The embedded default: a stain-and-texture descriptor without weights, network or GPU.

Haematoxylin, eosin and darkness planes, normalised a patch at a time (texture_planes.py), are measured at three
scales (texture_measures.py); each measure is centred and scaled by constants (texture_scaling.py), so that the
cosine of two rows says how alike two patches look whatever the stain.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from slidelake.encoders.base import EncoderSpec, PatchEncoder, check_patches
from slidelake.encoders.registry import register
from slidelake.errors import UsageError

__all__ = ["StainTexture"]

_NAME = "stain-texture"
_DIM = 546
#: Another version for other measures, weights or constants: it is part of the id, and rows of two versions
#: never meet in one space.
VERSION = 1
_DESCRIPTION = "stain-normalised shapes, local patterns, edges and colour; no weights, runs on the CPU"


class StainTexture:
    """Stain-normalised texture descriptor; `threads` patches at a time (the work releases the GIL)."""

    spec = EncoderSpec(
        name=_NAME,
        dim=_DIM,
        normalisation=f"stain-texture version {VERSION}",
        pooling="statistics at 4 scales",
        stain="Ruifrok-Johnston turned towards the patch, 95th percentile of tissue",
        licence="Apache-2.0",
        description=_DESCRIPTION,
    )

    def __init__(self, threads: int = 1) -> None:
        if threads < 1:
            raise UsageError(f"{_NAME} cannot run on {threads} threads", remedy="Give at least 1.")
        self.threads = min(threads, os.cpu_count() or 1)

    def encode(self, patches: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """(B, H, W, 3) uint8, sides of 32 px and more, to (B, D) float32; raises UsageError on anything else."""
        raw = self.measures(patches)
        # Here, not above: numba takes a second to import, and the registry lists encoders without it.
        from slidelake.encoders.texture_scaling import scaled_row

        rows = np.empty((len(patches), _DIM), np.float32)
        for row, measured in zip(rows, raw, strict=True):
            row[:] = scaled_row(measured, *patches.shape[1:3])
        return rows

    def measures(self, patches: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """The raw measures (B, D) float64 before they are centred, scaled and weighed: what `learn` takes."""
        check_patches(patches, encoder=_NAME)
        from slidelake.encoders.texture_describe import describe

        raw = np.zeros((len(patches), _DIM))

        def fill(number: int) -> None:
            describe(np.ascontiguousarray(patches[number]), raw[number])

        if self.threads == 1 or len(patches) < 2:
            for number in range(len(patches)):
                fill(number)
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                # list: an error in a thread is raised here, not lost.
                list(pool.map(fill, range(len(patches))))
        return raw

    @staticmethod
    def learn(
        plain: npt.NDArray[np.float64], shifted: list[npt.NDArray[np.float64]]
    ) -> dict[str, npt.NDArray[np.float64]]:
        """The tables of texture_constants.py from the measures of patches and of the same in other stains."""
        from slidelake.encoders.texture_scaling import learn

        return dict(zip(("CENTRE", "INVERSE_SPREAD", "STEADINESS"), learn(plain, shifted), strict=True))


@register(_NAME, dim=_DIM, licence="Apache-2.0", description=_DESCRIPTION)
def create(*, weights: str | None = None, device: str = "auto", threads: int = 1) -> PatchEncoder:
    """Make the descriptor; it has no weights and runs on the CPU whatever the device."""
    return StainTexture(threads)
