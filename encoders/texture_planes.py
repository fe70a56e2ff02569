"""Three stain planes whose values hardly depend on how strongly a laboratory stains, and their smaller versions.

Haematoxylin and eosin along the patch's own hues, and darkness, are each divided by their own 95th percentile over
the patch's tissue and kept as a byte: FULL stands for that percentile.
"""

import numba as nb
import numpy as np
import numpy.typing as npt

__all__ = ["FULL", "halve", "stain_planes"]

#: The byte that a plane's 95th percentile becomes; what is stronger has room up to 255.
FULL = 160
#: As texture_stains.py counts; here again because a compiled function does not see another file's change.
_STEPS = 512
_STEPS_PER_UNIT = 160.0
#: A pixel darker than this (mean density 0.16) is tissue; the white of a scanned slide has about 0.05.
_TISSUE_STEP = 26
#: A percentile weaker than this (0.1 units) is noise of the scanner: dividing by less would make texture of it.
_WEAKEST_STEP = 16


@nb.njit(cache=True, nogil=True)
def _percentile(counts: npt.NDArray[np.int64], share: float) -> int:
    wanted = share * counts.sum()
    seen = 0
    for number in range(len(counts)):
        seen += counts[number]
        if seen >= wanted:
            return number
    return len(counts) - 1


@nb.njit(cache=True, nogil=True)
def _turn(steps: npt.NDArray[np.int16], low: float, high: float) -> None:
    """Express the first two planes in the basis of eosin at `low` and haematoxylin at `high`, 0 and up."""
    apart = np.sin(high - low)
    # Fixed point with 8 bits of fraction: whole numbers, that vector units take sixteen at a time.
    a = np.int32(np.rint(np.cos(low) / apart * 256.0))
    b = np.int32(np.rint(-np.sin(low) / apart * 256.0))
    c = np.int32(np.rint(-np.cos(high) / apart * 256.0))
    d = np.int32(np.rint(np.sin(high) / apart * 256.0))
    none, most, half, shift = np.int32(0), np.int32(_STEPS - 1), np.int32(128), np.int32(8)
    for y in range(steps.shape[1]):
        for x in range(steps.shape[2]):
            haematoxylin, eosin = np.int32(steps[0, y, x]), np.int32(steps[1, y, x])
            steps[0, y, x] = min(max((a * haematoxylin + b * eosin + half) >> shift, none), most)
            steps[1, y, x] = min(max((c * haematoxylin + d * eosin + half) >> shift, none), most)


@nb.njit(cache=True, nogil=True)
def stain_planes(
    steps: npt.NDArray[np.int16], low: float, high: float
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """Steps (3, H, W) of texture_stains.unmix, which are used up, and the stains' angles to planes (3, H, W) uint8
    and (5, 2) levels: 95th and 50th percentile of each plane in units of density, the share of tissue (twice), the
    angles."""
    _turn(steps, low, high)
    height, width = steps.shape[1], steps.shape[2]
    tissue_counts = np.zeros((3, _STEPS), np.int64)
    other_counts = np.zeros((3, _STEPS), np.int64)
    tissue = 0
    for y in range(height):
        for x in range(width):
            dark = steps[2, y, x]
            if dark > _TISSUE_STEP:
                tissue += 1
                tissue_counts[0, steps[0, y, x]] += 1
                tissue_counts[1, steps[1, y, x]] += 1
                tissue_counts[2, dark] += 1
            else:
                other_counts[0, steps[0, y, x]] += 1
                other_counts[1, steps[1, y, x]] += 1
                other_counts[2, dark] += 1
    if tissue * 50 < height * width:
        # Next to nothing is tissue: the percentiles of a few specks would say nothing.
        tissue_counts += other_counts
    levels = np.empty((5, 2))
    levels[3, :] = tissue / (height * width)
    levels[4, 0], levels[4, 1] = low, high
    planes = np.empty((3, height, width), np.uint8)
    table = np.empty(_STEPS, np.uint8)
    for plane in range(3):
        full = max(_percentile(tissue_counts[plane], 0.95), _WEAKEST_STEP)
        levels[plane, 0] = full / _STEPS_PER_UNIT
        levels[plane, 1] = _percentile(tissue_counts[plane], 0.5) / _STEPS_PER_UNIT
        for step in range(_STEPS):
            table[step] = min((step * FULL * 2 + full) // (2 * full), 255)
        for y in range(height):
            for x in range(width):
                planes[plane, y, x] = table[steps[plane, y, x]]
    return planes, levels


@nb.njit(cache=True, nogil=True)
def halve(planes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(P, H, W) to (P, H // 2, W // 2): the mean of each 2 x 2 block."""
    count, height, width = planes.shape[0], planes.shape[1] // 2, planes.shape[2] // 2
    half = np.empty((count, height, width), np.uint8)
    for plane in range(count):
        for y in range(height):
            for x in range(width):
                total = np.int32(planes[plane, 2 * y, 2 * x]) + np.int32(planes[plane, 2 * y, 2 * x + 1])
                total += np.int32(planes[plane, 2 * y + 1, 2 * x])
                total += np.int32(planes[plane, 2 * y + 1, 2 * x + 1])
                half[plane, y, x] = (total + np.int32(2)) >> np.int32(2)
    return half
