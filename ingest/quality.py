"""What is measured on every patch beside its features: blur."""

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["blur"]

_REACH = 9


def blur(patch: NDArray[np.uint8]) -> int:
    """0 (sharp) … 255 (blurred) of an (h, w, 3) uint8 RGB patch.

    The perceptual blur of Crété-Roffet et al. (2007): how much of the variation between neighbouring pixels
    is still there after a strong blur. It needs no reference and does not depend on contrast; the
    worse of the two axes counts, so that motion blur is seen. A patch without any variation is blurred.
    """
    grey = cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY).astype(np.float32)
    worst = 0.0
    for axis, size in ((1, (_REACH, 1)), (0, (1, _REACH))):
        smooth = cv2.blur(grey, size, borderType=cv2.BORDER_REFLECT)
        sharp_steps = np.abs(np.diff(grey, axis=axis))
        lost = np.maximum(0.0, sharp_steps - np.abs(np.diff(smooth, axis=axis)))
        total = float(sharp_steps.sum(dtype=np.float64))
        left = 1.0 if total <= 0 else 1.0 - float(lost.sum(dtype=np.float64)) / total
        worst = max(worst, left)
    return round(255 * min(1.0, worst))
