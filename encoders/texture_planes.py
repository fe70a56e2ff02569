"""From RGB to three stain planes whose values hardly depend on how strongly a laboratory stains.

Each pixel's optical density is unmixed into haematoxylin and eosin (Ruifrok & Johnston 2001) and summed into a
darkness. Each of the three is divided by its own 95th percentile over the patch's tissue and kept as a byte:
FULL stands for that percentile.
"""

import numba as nb
import numpy as np
import numpy.typing as npt

from slidelake.encoders.stain import DECONVOLUTION

__all__ = ["CODES", "FINE", "FINE_CENTRES", "FINE_OF_STEP", "FULL", "STEPS_PER_UNIT", "halve", "stain_planes"]

#: The byte that a plane's 95th percentile becomes; what is stronger has room up to 255.
FULL = 160
#: A plane is first counted in steps, then divided by its percentile.
STEPS = 512
STEPS_PER_UNIT = 160.0
#: A pixel darker than this (mean density, base e) is tissue; the white of a scanned slide has about 0.05.
_TISSUE_STEP = round(0.16 * STEPS_PER_UNIT)
#: Percentiles weaker than this are noise of the scanner: dividing by less would blow it up into texture.
_WEAKEST_STEP = round(0.10 * STEPS_PER_UNIT)

#: Haematoxylin and eosin are counted together in FINE x FINE bins, finer where weak: square-root spacing.
FINE = 48
FINE_OF_STEP = np.minimum(np.sqrt(np.arange(STEPS) / STEPS) * FINE, FINE - 1).astype(np.uint8)
FINE_CENTRES: npt.NDArray[np.float64] = ((np.arange(FINE) + 0.5) / FINE) ** 2 * STEPS / STEPS_PER_UNIT

# One table lookup a channel gives the channel's part of all three planes at once: three fields of 20 bits, each
# with an offset so that no field borrows from its neighbour.
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


#: (3 channels, 256) packed parts of the planes.
CODES = _codes()


@nb.njit(cache=True, nogil=True)
def _step(code: int, field: int) -> int:
    value = (code >> (field * _FIELD)) & ((1 << _FIELD) - 1)
    value = (value - 3 * _OFFSET + (1 << (_FRACTION - 1))) >> _FRACTION
    return min(max(value, 0), STEPS - 1)


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
def stain_planes(
    patch: npt.NDArray[np.uint8], codes: npt.NDArray[np.int64], fine_of_step: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """(H, W, 3) RGB to planes (3, H, W) uint8 (haematoxylin, eosin, darkness), the joint counts (FINE, FINE) of
    the first two before division, and (3, 2): 95th and 50th percentile of each plane in units of density, with
    the share of tissue as a last row."""
    height, width = patch.shape[0], patch.shape[1]
    raw = np.empty((3, height, width), np.int16)
    tissue_counts = np.zeros((3, STEPS), np.int64)
    other_counts = np.zeros((3, STEPS), np.int64)
    joint = np.zeros((FINE, FINE), np.int64)
    tissue = 0
    for y in range(height):
        for x in range(width):
            code = codes[0, patch[y, x, 0]] + codes[1, patch[y, x, 1]] + codes[2, patch[y, x, 2]]
            haem = _step(code, 2)
            eosin = _step(code, 1)
            dark = _step(code, 0)
            raw[0, y, x] = haem
            raw[1, y, x] = eosin
            raw[2, y, x] = dark
            joint[fine_of_step[haem], fine_of_step[eosin]] += 1
            if dark > _TISSUE_STEP:
                tissue += 1
                tissue_counts[0, haem] += 1
                tissue_counts[1, eosin] += 1
                tissue_counts[2, dark] += 1
            else:
                other_counts[0, haem] += 1
                other_counts[1, eosin] += 1
                other_counts[2, dark] += 1
    if tissue * 50 < height * width:
        # Next to nothing is tissue: the percentiles of a few specks would say nothing.
        tissue_counts += other_counts
    levels = np.empty((4, 2))
    levels[3, :] = tissue / (height * width)
    planes = np.empty((3, height, width), np.uint8)
    table = np.empty(STEPS, np.uint8)
    for plane in range(3):
        high = max(_percentile(tissue_counts[plane], 0.95), _WEAKEST_STEP)
        levels[plane, 0] = high / STEPS_PER_UNIT
        levels[plane, 1] = _percentile(tissue_counts[plane], 0.5) / STEPS_PER_UNIT
        for step in range(STEPS):
            table[step] = min((step * FULL * 2 + high) // (2 * high), 255)
        for y in range(height):
            for x in range(width):
                planes[plane, y, x] = table[raw[plane, y, x]]
    return planes, joint, levels


@nb.njit(cache=True, nogil=True)
def halve(planes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(P, H, W) to (P, H // 2, W // 2): the mean of each 2 x 2 block."""
    count, height, width = planes.shape[0], planes.shape[1] // 2, planes.shape[2] // 2
    half = np.empty((count, height, width), np.uint8)
    for plane in range(count):
        for y in range(height):
            for x in range(width):
                total = np.int32(planes[plane, 2 * y, 2 * x]) + np.int32(planes[plane, 2 * y, 2 * x + 1])
                total += np.int32(planes[plane, 2 * y + 1, 2 * x]) + np.int32(
                    planes[plane, 2 * y + 1, 2 * x + 1]
                )
                half[plane, y, x] = (total + np.int32(2)) >> np.int32(2)
    return half
