"""Local binary patterns: what the eight neighbours of a pixel look like beside it, whatever the contrast.

Ojala, Pietikäinen & Mäenpää, Multiresolution gray-scale and rotation invariant texture classification with local
binary patterns (2002): the ten uniform, rotation-invariant patterns of 8 neighbours at radius 1. The radius
grows by halving the plane.
"""

import numba as nb
import numpy as np
import numpy.typing as npt

__all__ = ["OVER", "PATTERNS", "UNIFORM", "patterns", "patterns_over"]

PATTERNS = 10
#: Numbers that patterns_over gives.
OVER = 3 * PATTERNS
#: From where on a byte of the plane below is some, and much: of haematoxylin, a nucleus (160 is the strongest).
_SOME, _MUCH = 48, 112
#: A neighbour counts as brighter from this many byte steps on: less is noise of scanner and JPEG.
_MARGIN = 4


def _uniform() -> npt.NDArray[np.uint8]:
    table = np.empty(256, np.uint8)
    for code in range(256):
        turned = (code >> 1) | ((code & 1) << 7)
        table[code] = code.bit_count() if (code ^ turned).bit_count() <= 2 else PATTERNS - 1
    return table


#: Code of 8 neighbours to its pattern: number of brighter ones, or 9 where they do not stand together.
UNIFORM = _uniform()


@nb.njit(cache=True, nogil=True)
def _codes(plane: npt.NDArray[np.uint8], y: int, codes: npt.NDArray[np.uint8]) -> None:
    """Which of the eight neighbours of each pixel of row y are brighter; written so that vector units can do it."""
    above, here, below = plane[y - 1], plane[y], plane[y + 1]
    for x in range(1, len(here) - 1):
        centre = np.int16(here[x]) + np.int16(_MARGIN)
        code = np.uint8(np.int16(above[x - 1]) >= centre)
        code |= np.uint8(np.int16(above[x]) >= centre) << np.uint8(1)
        code |= np.uint8(np.int16(above[x + 1]) >= centre) << np.uint8(2)
        code |= np.uint8(np.int16(here[x + 1]) >= centre) << np.uint8(3)
        code |= np.uint8(np.int16(below[x + 1]) >= centre) << np.uint8(4)
        code |= np.uint8(np.int16(below[x]) >= centre) << np.uint8(5)
        code |= np.uint8(np.int16(below[x - 1]) >= centre) << np.uint8(6)
        code |= np.uint8(np.int16(here[x - 1]) >= centre) << np.uint8(7)
        codes[x] = code


@nb.njit(cache=True, nogil=True)
def patterns(
    plane: npt.NDArray[np.uint8], uniform: npt.NDArray[np.uint8], out: npt.NDArray[np.float64]
) -> None:
    """Square-rooted shares of the ten patterns of a plane (H, W)."""
    height, width = plane.shape
    codes = np.empty(width, np.uint8)
    counts = np.zeros(PATTERNS, np.int64)
    for y in range(1, height - 1):
        _codes(plane, y, codes)
        for x in range(1, width - 1):
            counts[uniform[codes[x]]] += 1
    for number in range(PATTERNS):
        out[number] = np.sqrt(counts[number] / ((height - 2) * (width - 2)))


@nb.njit(cache=True, nogil=True)
def patterns_over(
    plane: npt.NDArray[np.uint8],
    under: npt.NDArray[np.uint8],
    uniform: npt.NDArray[np.uint8],
    out: npt.NDArray[np.float64],
) -> None:
    """The patterns of `plane` told apart by what `under` holds there (little, some, much): 3 x 10 root shares."""
    height, width = plane.shape
    codes = np.empty(width, np.uint8)
    counts = np.zeros((3, PATTERNS), np.int64)
    for y in range(1, height - 1):
        _codes(plane, y, codes)
        for x in range(1, width - 1):
            band = np.int64(under[y, x] >= _SOME) + np.int64(under[y, x] >= _MUCH)
            counts[band, uniform[codes[x]]] += 1
    for level in range(3):
        for number in range(PATTERNS):
            out[level * PATTERNS + number] = np.sqrt(counts[level, number] / ((height - 2) * (width - 2)))
