"""Stain as a transform: a patch as another laboratory would have stained and scanned it.

Colour deconvolution in optical density after Ruifrok & Johnston, Quantification of histochemical staining by
color deconvolution (2001).
"""

import numpy as np
import numpy.typing as npt

from slidelake.errors import UsageError

__all__ = ["DECONVOLUTION", "STAINS", "stain_shift"]


def _unit(*vector: float) -> npt.NDArray[np.float64]:
    values = np.asarray(vector)
    unit: npt.NDArray[np.float64] = values / np.linalg.norm(values)
    return unit


_HAEMATOXYLIN = _unit(0.65, 0.70, 0.29)
_EOSIN = _unit(0.07, 0.99, 0.11)

#: Optical density of red, green, blue for one unit of haematoxylin, of eosin, and of what neither explains
#: (the direction at right angles to both): rows of length 1.
STAINS: npt.NDArray[np.float64] = np.stack(
    [_HAEMATOXYLIN, _EOSIN, _unit(*np.cross(_HAEMATOXYLIN, _EOSIN).tolist())]
)
#: Amounts of the three from optical density: `density @ DECONVOLUTION`.
DECONVOLUTION: npt.NDArray[np.float64] = np.linalg.inv(STAINS).astype(np.float64)


def stain_shift(
    image: npt.NDArray[np.uint8], haematoxylin: float = 1.0, eosin: float = 1.0, hue: float = 0.0
) -> npt.NDArray[np.uint8]:
    """Multiply an image's haematoxylin and eosin, then turn its hue by `hue` degrees.

    `image` is (…, H, W, 3) uint8 RGB and stays as it is; the result has its shape. `1, 1, 0` changes nothing.
    Raises UsageError on another dtype or shape, on negative strengths and on what is not finite.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim < 3 or image.shape[-1] != 3:
        raise UsageError(
            f"stain_shift got {getattr(image, 'dtype', type(image).__name__)} of shape {np.shape(image)}",
            remedy="Give RGB as a numpy uint8 array of shape (…, height, width, 3).",
        )
    if not np.isfinite([haematoxylin, eosin, hue]).all() or min(haematoxylin, eosin) < 0:
        raise UsageError(
            f"stain strengths {haematoxylin} and {eosin} with hue {hue} are not a shift",
            remedy="Give finite strengths of at least 0, and degrees.",
        )
    mixing = DECONVOLUTION @ np.diag([haematoxylin, eosin, 1.0]) @ STAINS
    # +1 so that black has a density; the same offset on the way back makes the identity exact to rounding.
    density = -np.log((np.arange(256) + 1.0) / 256.0)
    shifted = 256.0 * np.exp(-(density[image] @ mixing)) - 1.0
    if hue % 360.0:
        shifted = _turn_hue(np.clip(shifted, 0.0, 255.0), hue)
    rounded: npt.NDArray[np.uint8] = np.clip(np.rint(shifted), 0, 255).astype(np.uint8)
    return rounded


def _turn_hue(rgb: npt.NDArray[np.float64], degrees: float) -> npt.NDArray[np.float64]:
    """Turn the hue of HSV: value and chroma stay, sector and place within it move."""
    value = rgb.max(-1)
    chroma = value - rgb.min(-1)
    red, green, blue = np.moveaxis(rgb, -1, 0)
    safe = np.where(chroma > 0, chroma, 1.0)
    sector = np.select(
        [value == red, value == green],
        [(green - blue) / safe, (blue - red) / safe + 2.0],
        (red - green) / safe + 4.0,
    )
    turned = sector + degrees / 60.0
    # f(n) = V - C * clip(min(k, 4 - k), 0, 1) with k = (n + H / 60°) mod 6, for n = 5, 3, 1 = red, green, blue.
    channels = [(n + turned) % 6.0 for n in (5.0, 3.0, 1.0)]
    return np.stack([value - chroma * np.clip(np.minimum(k, 4.0 - k), 0.0, 1.0) for k in channels], -1)
