"""Colour as far as it survives another laboratory: how haematoxylin and eosin go together, softly binned.

Four histograms of 7 x 7 are read off one fine joint count: both stains divided by their own strength; both
divided by the root of it (half the strength is kept: within one laboratory it means something); the ratio of the
two against darkness, with and without division.
"""

import math

import numba as nb
import numpy as np
import numpy.typing as npt

__all__ = ["LEVELS", "SOFT", "coarse_joint", "colour_levels", "soft_histograms"]

_SIDE = 7
#: Numbers in the four histograms.
SOFT = 4 * _SIDE * _SIDE
LEVELS = 10

# Mean density of one unit of haematoxylin and of eosin: what the two together darken.
_DARK_OF_HAEM = 0.5467
_DARK_OF_EOSIN = 0.3900


@nb.njit(cache=True, nogil=True)
def _put(out: npt.NDArray[np.float64], across: float, down: float, amount: float) -> None:
    across = min(max(across, 0.0), _SIDE - 1.0)
    down = min(max(down, 0.0), _SIDE - 1.0)
    i, j = min(int(across), _SIDE - 2), min(int(down), _SIDE - 2)
    f, g = across - i, down - j
    out[i * _SIDE + j] += (1.0 - f) * (1.0 - g) * amount
    out[(i + 1) * _SIDE + j] += f * (1.0 - g) * amount
    out[i * _SIDE + j + 1] += (1.0 - f) * g * amount
    out[(i + 1) * _SIDE + j + 1] += f * g * amount


@nb.njit(cache=True, nogil=True)
def soft_histograms(
    joint: npt.NDArray[np.int64],
    centres: npt.NDArray[np.float64],
    levels: npt.NDArray[np.float64],
    out: npt.NDArray[np.float64],
) -> None:
    """Joint counts (fine, fine) of haematoxylin and eosin to four soft histograms, square-rooted shares.

    `centres` are the bins' amounts, `levels` as texture_planes.stain_planes gives them.
    """
    haem_full, eosin_full, dark_full = levels[0, 0], levels[1, 0], levels[2, 0]
    low, high = levels[4, 0], levels[4, 1]
    apart = math.sin(high - low)
    haem_root, eosin_root = 0.8 * math.sqrt(haem_full), 0.8 * math.sqrt(eosin_full)
    size = _SIDE * _SIDE
    out[:] = 0.0
    step = (_SIDE - 1) / 1.4
    turn = (_SIDE - 1) / (math.pi / 2.0)
    dark_step = (_SIDE - 1) / 1.3
    total = 0
    for i in range(len(centres)):
        for j in range(len(centres)):
            count = joint[i, j]
            if count == 0:
                continue
            total += count
            haem, eosin = centres[i], centres[j]
            dark = (_DARK_OF_HAEM * haem + _DARK_OF_EOSIN * eosin) / dark_full
            u = max((math.cos(low) * haem - math.sin(low) * eosin) / apart, 0.0) / haem_full
            v = max((math.sin(high) * eosin - math.cos(high) * haem) / apart, 0.0) / eosin_full
            haem, eosin = max(haem, 0.0), max(eosin, 0.0)
            _put(out[:size], u * step, v * step, count)
            _put(out[size : 2 * size], haem / haem_root * step, eosin / eosin_root * step, count)
            # +0.02: where there is next to no stain its ratio is noise, and should come out as one place.
            _put(out[2 * size : 3 * size], math.atan2(u + 0.02, v + 0.02) * turn, dark * dark_step, count)
            _put(out[3 * size :], math.atan2(haem + 0.02, eosin + 0.02) * turn, dark * dark_step, count)
    for number in range(4 * size):
        out[number] = math.sqrt(out[number] / total)


@nb.njit(cache=True, nogil=True)
def coarse_joint(
    haematoxylin: npt.NDArray[np.uint8], eosin: npt.NDArray[np.uint8], out: npt.NDArray[np.float64]
) -> None:
    """Square-rooted shares of pixels in 6 x 6 bins of two planes: with a halved plane, of regions."""
    height, width = haematoxylin.shape
    out[:36] = 0.0
    for y in range(height):
        for x in range(width):
            out[min(haematoxylin[y, x] // 36, 5) * 6 + min(eosin[y, x] // 36, 5)] += 1.0
    for number in range(36):
        out[number] = math.sqrt(out[number] / (height * width))


@nb.njit(cache=True, nogil=True)
def colour_levels(levels: npt.NDArray[np.float64], out: npt.NDArray[np.float64]) -> None:
    """Ten numbers on strength: log of the planes' high and middle, their ratios, the share of tissue."""
    for plane in range(3):
        out[plane] = math.log(levels[plane, 0])
        out[3 + plane] = math.log(levels[plane, 1] + 0.06)
    out[6] = out[0] - out[1]
    out[7] = levels[0, 1] / levels[0, 0]
    out[8] = levels[1, 1] / levels[1, 0]
    out[9] = levels[3, 0]
