"""One patch to one raw row: which measure is taken of which plane at which scale, and where it stands."""

import numba as nb
import numpy as np
import numpy.typing as npt

from slidelake.encoders.texture_measures import (
    LEVELS,
    autocorrelation,
    chords,
    edges,
    joint_histogram,
    patterns,
    shapes,
)
from slidelake.encoders.texture_planes import _DENSITY, _UNMIX, PLANES, halve, stain_planes

__all__ = ["BLOCKS", "RAW_DIM", "describe"]

SCALES = 3
LAGS = np.array([1, 2, 4, 8])


def _uniform_table() -> npt.NDArray[np.uint8]:
    table = np.empty(256, np.uint8)
    for code in range(256):
        turned = (code >> 1) | ((code & 1) << 7)
        changes = (code ^ turned).bit_count()
        table[code] = code.bit_count() if changes <= 2 else 9
    return table


_UNIFORM = _uniform_table()


def _blocks() -> tuple[tuple[str, int], ...]:
    blocks: list[tuple[str, int]] = []
    for scale in range(SCALES):
        for plane in "hed":
            blocks += [
                (f"shapes-{plane}{scale}", 3 * (LEVELS - 1)),
                (f"patterns-{plane}{scale}", 10),
                (f"edges-{plane}{scale}", 8),
                (f"correlation-{plane}{scale}", 3 + len(LAGS)),
            ]
    blocks += [("joint0", 36), ("joint2", 36), ("nuclei", 7), ("lumen", 7), ("colour", 10)]
    return tuple(blocks)


#: Name and length of each block of a raw row, in order.
BLOCKS = _blocks()
RAW_DIM = sum(length for _, length in BLOCKS)


@nb.njit(cache=True, nogil=True)
def _describe(
    patch: npt.NDArray[np.uint8],
    density: npt.NDArray[np.float32],
    unmix: npt.NDArray[np.float32],
    uniform: npt.NDArray[np.uint8],
    lags: npt.NDArray[np.int64],
    out: npt.NDArray[np.float64],
) -> None:
    planes, colour = stain_planes(patch, density, unmix)
    full = planes
    place = 0
    for scale in range(SCALES):
        if scale:
            planes = halve(planes)
        for number in range(PLANES):
            plane = planes[number]
            shapes(plane, out[place : place + 21])
            place += 21
            patterns(plane, uniform, 4, out[place : place + 10])
            place += 10
            edges(plane, out[place : place + 8])
            place += 8
            autocorrelation(plane, lags, out[place : place + 3 + len(lags)])
            place += 3 + len(lags)
    joint_histogram(full[0], full[1], out[place : place + 36])
    place += 36
    joint_histogram(planes[0], planes[1], out[place : place + 36])
    place += 36
    chords(full[0], 110, True, out[place : place + 7])
    place += 7
    chords(full[2], 40, False, out[place : place + 7])
    place += 7
    out[place : place + 10] = colour


def describe(patch: npt.NDArray[np.uint8], out: npt.NDArray[np.float64]) -> None:
    """Write the RAW_DIM measures of one (H, W, 3) uint8 patch into `out`."""
    _describe(patch, _DENSITY, _UNMIX, _UNIFORM, LAGS, out)
