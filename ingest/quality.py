"""Measures of a patch's pixels that are kept beside its place, so that filters can change with no new decoding."""

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["blur"]

#: Spread of the Laplacian (grey levels) at which a patch counts as half blurred; H&E in focus has 8 and more.
_HALF = 4.0


def blur(patch: NDArray[np.uint8]) -> int:
    """0 sharp … 255 blurred, from the standard deviation of the Laplacian of a (h, w, 3) patch's green channel.

    Green is where both stains absorb. A patch without any structure counts as blurred.
    """
    edges = cv2.Laplacian(np.ascontiguousarray(patch[..., 1]), cv2.CV_16S, ksize=1)
    _, deviation = cv2.meanStdDev(edges)
    return round(255 / (1 + (float(deviation[0, 0]) / _HALF) ** 2))
