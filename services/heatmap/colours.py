"""Colour maps that keep their order for every kind of colour vision, and in grey."""

import cv2
import numpy as np
from numpy.typing import NDArray

from slidelake.errors import UsageError

__all__ = ["COLOURS", "colour_table", "coloured"]

#: All of them rise evenly in lightness; cividis was made for colour-blind eyes (Nuñez, Anderton and Renslow 2018).
_MAPS = {
    "cividis": cv2.COLORMAP_CIVIDIS,
    "inferno": cv2.COLORMAP_INFERNO,
    "magma": cv2.COLORMAP_MAGMA,
    "plasma": cv2.COLORMAP_PLASMA,
    "viridis": cv2.COLORMAP_VIRIDIS,
}
COLOURS = tuple(_MAPS)


def colour_table(name: str) -> NDArray[np.uint8]:
    """(256, 3) RGB of a colour map, lowest first; raises UsageError."""
    if name not in _MAPS:
        raise UsageError(f"there is no colour map {name!r}", remedy=f"Choose one of {', '.join(_MAPS)}.")
    ramp = np.arange(256, dtype=np.uint8)[:, None]
    bgr = cv2.applyColorMap(ramp, _MAPS[name])[:, 0]
    return np.ascontiguousarray(bgr[:, ::-1]).astype(np.uint8)


def coloured(values: NDArray[np.float64], low: float, high: float, name: str) -> NDArray[np.uint8]:
    """(…, 3) RGB of values between `low` and `high`; NaN as the lowest. One value alone takes the map's middle."""
    known = np.nan_to_num(values, nan=low)
    share = (known - low) / (high - low) if high > low else np.full(values.shape, 0.5)
    place = np.clip(np.floor(share * 256), 0, 255).astype(np.uint8)
    return colour_table(name)[place]
