"""The baseline: how much of each colour, nothing about where it lies.

Swain & Ballard, Color indexing (1991), with the square root that makes the dot product of two histograms
their Bhattacharyya coefficient.
"""

import numpy as np
import numpy.typing as npt

from slidelake.encoders.base import EncoderSpec, PatchEncoder, check_patches
from slidelake.encoders.registry import register

__all__ = ["ColourHistogram"]

_BINS = 6
_NAME = "colour-histogram"
_DESCRIPTION = "how much of each of 216 colours; the baseline"


class ColourHistogram:
    """6 x 6 x 6 RGB histogram, as shares, square-rooted: rows of length 1."""

    spec = EncoderSpec(
        name=_NAME,
        dim=_BINS**3,
        normalisation="share of pixels, square root",
        pooling="histogram 6x6x6",
        licence="Apache-2.0",
        description=_DESCRIPTION,
    )

    def __init__(self) -> None:
        step = (np.arange(256) * _BINS >> 8).astype(np.uint8)
        # 6^3 - 1 = 215: the number of the bin still fits into a byte.
        self._tables = (step * _BINS**2, step * _BINS, step)

    def encode(self, patches: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """(B, H, W, 3) uint8 to (B, 216) float32; raises UsageError on another shape or dtype."""
        check_patches(patches, encoder=_NAME)
        rows = np.empty((len(patches), self.spec.dim), np.float32)
        red, green, blue = self._tables
        for row, patch in zip(rows, patches, strict=True):
            bins = red[patch[..., 0]] + green[patch[..., 1]] + blue[patch[..., 2]]
            row[:] = np.sqrt(np.bincount(bins.ravel(), minlength=self.spec.dim) / bins.size)
        return rows


@register(_NAME, dim=_BINS**3, licence="Apache-2.0", description=_DESCRIPTION)
def create(*, weights: str | None = None, device: str = "auto") -> PatchEncoder:
    """Make the histogram encoder; it has no weights and runs on the CPU whatever the device."""
    return ColourHistogram()
