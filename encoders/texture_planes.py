"""From RGB to three stain planes whose values no longer depend on how strongly a laboratory stains.

Each pixel's optical density is unmixed into haematoxylin and eosin (Ruifrok & Johnston 2001) and summed into
a darkness. Each of the three is divided by its own 95th percentile over the patch's tissue, and kept as a byte:
160 stands for that percentile.
"""

import numba as nb
import numpy as np
import numpy.typing as npt

from slidelake.encoders.stain import DECONVOLUTION

__all__ = ["PLANES", "halve", "stain_planes"]

#: Haematoxylin, eosin, darkness.
PLANES = 3
#: Fine steps of a plane before it is divided by its percentile; 400 a unit of optical density.
STEPS = 1024
STEPS_PER_DENSITY = 400.0
#: A pixel darker than this (mean optical density, base e) is tissue; a white slide background has about 0.05.
TISSUE_DENSITY = 0.16

_DENSITY = (-np.log((np.arange(256) + 1.0) / 256.0)).astype(np.float32)
_UNMIX = DECONVOLUTION[:, :2].astype(np.float32).T.copy()


@nb.njit(cache=True, nogil=True)
def _percentile_bin(counts: npt.NDArray[np.int64], share: float) -> int:
    total = counts.sum()
    wanted = share * total
    seen = 0
    for bin_number in range(len(counts)):
        seen += counts[bin_number]
        if seen >= wanted:
            return bin_number
    return len(counts) - 1


@nb.njit(cache=True, nogil=True)
def stain_planes(
    patch: npt.NDArray[np.uint8], density: npt.NDArray[np.float32], unmix: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """(H, W, 3) uint8 RGB to planes (3, H, W) uint8 and 10 numbers about colour."""
    height, width = patch.shape[0], patch.shape[1]
    raw = np.empty((3, height, width), np.int16)
    counts = np.zeros((3, STEPS), np.int64)
    everywhere = np.zeros((3, STEPS), np.int64)
    tissue = 0
    sums = np.zeros(3)
    for y in range(height):
        for x in range(width):
            red = density[patch[y, x, 0]]
            green = density[patch[y, x, 1]]
            blue = density[patch[y, x, 2]]
            haem = unmix[0, 0] * red + unmix[0, 1] * green + unmix[0, 2] * blue
            eosin = unmix[1, 0] * red + unmix[1, 1] * green + unmix[1, 2] * blue
            dark = (red + green + blue) * np.float32(1 / 3)
            h = min(max(int(haem * STEPS_PER_DENSITY + 0.5), 0), STEPS - 1)
            e = min(max(int(eosin * STEPS_PER_DENSITY + 0.5), 0), STEPS - 1)
            d = min(max(int(dark * STEPS_PER_DENSITY + 0.5), 0), STEPS - 1)
            raw[0, y, x] = h
            raw[1, y, x] = e
            raw[2, y, x] = d
            everywhere[0, h] += 1
            everywhere[1, e] += 1
            everywhere[2, d] += 1
            if dark > TISSUE_DENSITY:
                tissue += 1
                sums[0] += red
                sums[1] += green
                sums[2] += blue
                counts[0, h] += 1
                counts[1, e] += 1
                counts[2, d] += 1
    if tissue * 50 < height * width:
        counts = everywhere
    colour = np.zeros(10)
    planes = np.empty((3, height, width), np.uint8)
    table = np.empty(STEPS, np.uint8)
    for plane in range(3):
        high = max(_percentile_bin(counts[plane], 0.95), 40)
        middle = _percentile_bin(counts[plane], 0.5)
        colour[plane] = np.log(high / STEPS_PER_DENSITY)
        colour[3 + plane] = np.log((middle + 10.0) / STEPS_PER_DENSITY)
        scale = 160.0 / high
        for step in range(STEPS):
            table[step] = min(int(step * scale + 0.5), 255)
        for y in range(height):
            for x in range(width):
                planes[plane, y, x] = table[raw[plane, y, x]]
    total = sums.sum() + 1.0
    colour[6] = sums[0] / total
    colour[7] = sums[2] / total
    colour[8] = tissue / (height * width)
    colour[9] = colour[0] - colour[1]
    return planes, colour


@nb.njit(cache=True, nogil=True)
def halve(planes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(P, H, W) to (P, H // 2, W // 2): the mean of each 2 x 2 block."""
    count, height, width = planes.shape[0], planes.shape[1] // 2, planes.shape[2] // 2
    half = np.empty((count, height, width), np.uint8)
    for plane in range(count):
        for y in range(height):
            for x in range(width):
                total = (
                    int(planes[plane, 2 * y, 2 * x])
                    + int(planes[plane, 2 * y, 2 * x + 1])
                    + int(planes[plane, 2 * y + 1, 2 * x])
                    + int(planes[plane, 2 * y + 1, 2 * x + 1])
                )
                half[plane, y, x] = (total + 2) >> 2
    return half
