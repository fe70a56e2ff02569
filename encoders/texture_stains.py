"""How much haematoxylin and eosin each pixel holds, and which hue the two have in this patch.

Optical density is unmixed by Ruifrok & Johnston's vectors (2001). Another laboratory's hues lie at other angles
in the plane of the two, so the basis is turned part of the way towards where the patch's own extremes lie (the
percentiles of Macenko et al. 2009); only part, for a patch of one tissue has no two extremes to show.
"""

import math

import numba as nb
import numpy as np
import numpy.typing as npt

from slidelake.encoders.stain import DECONVOLUTION

__all__ = [
    "CODES",
    "FINE",
    "FINE_CENTRES",
    "FINE_OF_STEP",
    "STEPS",
    "STEPS_PER_UNIT",
    "stain_angles",
    "unmix",
]

#: Amounts are counted in steps of 1 / 160 of a unit of density (base e), up to 3.2 units either side of nothing.
STEPS = 512
STEPS_PER_UNIT = 160.0

#: Haematoxylin and eosin are counted together in FINE x FINE bins, finer where weak (square-root spacing); the
#: first _BELOW bins are for amounts below nothing, of a hue beyond the basis.
FINE = 56
_BELOW = 10
_SPACING = (FINE - _BELOW) / math.sqrt(STEPS)


def _fine_tables() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    steps = np.arange(-STEPS, STEPS)
    place = np.floor(np.sign(steps) * np.sqrt(np.abs(steps)) * _SPACING) + _BELOW
    bins = np.clip(place, 0, FINE - 1).astype(np.uint8)
    middles = np.arange(FINE) + 0.5 - _BELOW
    return bins, np.sign(middles) * (middles / _SPACING) ** 2 / STEPS_PER_UNIT


#: Bin of a step (at index step + STEPS), and the amount in the middle of each bin.
FINE_OF_STEP, FINE_CENTRES = _fine_tables()

# One table lookup a channel gives the channel's part of all three planes at once: three fields of 20 bits, each
# with an offset so that no field borrows from its neighbour, and four bits of fraction.
_FIELD = 20
_OFFSET = 1 << 16
_FRACTION = 4


def _codes() -> npt.NDArray[np.int64]:
    density = -np.log((np.arange(256) + 1.0) / 256.0)
    weights = np.column_stack([DECONVOLUTION[:, 0], DECONVOLUTION[:, 1], np.full(3, 1 / 3)])
    parts = np.rint(density[:, None, None] * weights * STEPS_PER_UNIT * (1 << _FRACTION)).astype(np.int64)
    parts += _OFFSET
    codes: npt.NDArray[np.int64] = (parts[..., 0] << 2 * _FIELD) + (parts[..., 1] << _FIELD) + parts[..., 2]
    return codes.T.copy()


#: (3 channels, 256): packed parts of haematoxylin, eosin and darkness (the mean density).
CODES = _codes()

# Degrees from eosin (0) to haematoxylin (90) in Ruifrok & Johnston's basis. A patch's extremes are the 5th and the
# 95th percentile of its stained pixels; real slides have them at about 44 and 82. The basis used lies wider, so
# that few pixels fall outside, and follows 0.4 of how far the extremes are from there: chosen on tuning data.
_EXTREMES = (0.05, 0.95)
_USUAL = (math.radians(44.0), math.radians(82.0))
_BASIS = (math.radians(12.5), math.radians(87.5))
_FOLLOW = 0.4
_LEAST_APART = math.radians(75.0)
#: Fewer stained pixels than this say nothing of a hue.
_LEAST_PIXELS = 64

_ANGLES = np.arctan2(FINE_CENTRES[:, None], FINE_CENTRES[None, :]).ravel()
_ORDER = np.argsort(_ANGLES, kind="stable")
# Paler bins (mean density below 0.2) and those that are no stain at all (150 degrees and more) do not count.
_DARKNESS = (0.547 * FINE_CENTRES[:, None] + 0.390 * FINE_CENTRES[None, :]).ravel()
_STAINED = _ORDER[(_DARKNESS[_ORDER] > 0.2) & (np.abs(_ANGLES[_ORDER]) < math.radians(150.0))]


@nb.njit(cache=True, nogil=True)
def _step(code: int, field: int) -> int:
    value = (code >> (field * _FIELD)) & ((1 << _FIELD) - 1)
    value = (value - 3 * _OFFSET + (1 << (_FRACTION - 1))) >> _FRACTION
    return min(max(value, -STEPS), STEPS - 1)


@nb.njit(cache=True, nogil=True)
def unmix(
    patch: npt.NDArray[np.uint8], codes: npt.NDArray[np.int64], fine_of_step: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int64]]:
    """(H, W, 3) uint8 RGB to steps (3, H, W) int16 of haematoxylin, eosin (below 0 too) and darkness, and the
    joint counts (FINE, FINE) of the first two."""
    height, width = patch.shape[0], patch.shape[1]
    steps = np.empty((3, height, width), np.int16)
    joint = np.zeros((FINE, FINE), np.int64)
    for y in range(height):
        for x in range(width):
            code = codes[0, patch[y, x, 0]] + codes[1, patch[y, x, 1]] + codes[2, patch[y, x, 2]]
            haematoxylin = _step(code, 2)
            eosin = _step(code, 1)
            steps[0, y, x] = haematoxylin
            steps[1, y, x] = eosin
            steps[2, y, x] = max(_step(code, 0), 0)
            joint[fine_of_step[haematoxylin + STEPS], fine_of_step[eosin + STEPS]] += 1
    return steps, joint


def stain_angles(joint: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Angles (radians) of this patch's eosin and haematoxylin from the joint counts of `unmix`."""
    seen = np.cumsum(joint.ravel()[_STAINED])
    low, high = _BASIS
    if seen[-1] >= _LEAST_PIXELS:
        first, last = np.searchsorted(seen, [share * seen[-1] for share in _EXTREMES])
        low += _FOLLOW * (float(_ANGLES[_STAINED[first]]) - _USUAL[0])
        high += _FOLLOW * (float(_ANGLES[_STAINED[last]]) - _USUAL[1])
    if high - low < _LEAST_APART:
        middle = 0.5 * (low + high)
        low, high = middle - 0.5 * _LEAST_APART, middle + 0.5 * _LEAST_APART
    return low, high
