"""Small pictures that look stained, and some that do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slidelake.encoders.stain import STAINS


def stained(seed: int, side: int = 64, nuclei: float = 0.3) -> NDArray[np.uint8]:
    """An RGB patch (side, side, 3) of haematoxylin blobs on eosin."""
    import cv2

    random = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(random.standard_normal((side, side)), (0, 0), 3.0)
    blobs = (noise > np.quantile(noise, 1 - nuclei)).astype(float)
    density = blobs[..., None] * STAINS[0] * 1.2 + STAINS[1] * 0.4
    return np.clip(256 * np.exp(-density), 0, 255).astype(np.uint8)


def grey(seed: int, side: int = 64) -> NDArray[np.uint8]:
    """A picture without colour, as a radiograph is."""
    values = np.random.default_rng(seed).integers(0, 255, (side, side, 1), dtype=np.uint8)
    return np.repeat(values, 3, axis=2)


def save(path: Path, picture: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path
