"""Measures of one stain plane: shapes at thresholds, edges and their order, correlation with distance, chords.

A plane is (H, W) uint8, as texture_planes.py makes it; each measure writes into `out` numbers that do not depend
on how many pixels there are.
"""

import numba as nb
import numpy as np
import numpy.typing as npt

__all__ = ["CHORDS", "EDGES", "SHAPES", "THRESHOLDS", "chords", "correlation", "edges", "shapes"]

Plane = npt.NDArray[np.uint8]
Row = npt.NDArray[np.float64]

#: "At least t" for t = 32, 64, … 192: FULL is 160.
THRESHOLDS = 6
SHAPES = 3 * THRESHOLDS
EDGES = 8
CHORDS = 7
#: Side of the cells in which edges are averaged.
_CELL = 8


@nb.njit(cache=True, nogil=True)
def shapes(plane: Plane, out: Row) -> None:
    """Area, perimeter and Euler number (parts minus holes) a pixel of the sets "at least t", signed roots.

    The Minkowski functionals of an image (Michielsen & De Raedt 2001), counted from pixels, pairs and quads.
    """
    height, width = plane.shape
    ones = np.zeros(8, np.int64)
    twos = np.zeros(8, np.int64)
    fours = np.zeros(8, np.int64)
    for y in range(height - 1):
        here, below = plane[y], plane[y + 1]
        for x in range(width - 1):
            a = here[x]
            across = min(a, here[x + 1])
            ones[a >> 5] += 1
            twos[across >> 5] += 1
            twos[min(a, below[x]) >> 5] += 1
            fours[min(across, min(below[x], below[x + 1])) >> 5] += 1
    total = (height - 1) * (width - 1)
    for level in range(6, -1, -1):
        ones[level] += ones[level + 1]
        twos[level] += twos[level + 1]
        fours[level] += fours[level + 1]
    for level in range(1, THRESHOLDS + 1):
        euler = (ones[level] - twos[level] + fours[level]) / total
        out[level - 1] = np.sqrt(ones[level] / total)
        out[THRESHOLDS + level - 1] = np.sqrt(max(4 * ones[level] - 2 * twos[level], 0) / total)
        out[2 * THRESHOLDS + level - 1] = np.sqrt(euler) if euler >= 0.0 else -np.sqrt(-euler)


@nb.njit(cache=True, nogil=True)
def edges(plane: Plane, out: Row) -> None:
    """Energy of the gradient and coherence of its direction over cells of 8 x 8 px, 8 numbers.

    Mean and deviation of log energy, mean coherence, coherence over the whole plane, and the shares of cells
    that are hardly, little, rather, strongly coherent (roots). Planes below 10 px give zeros.
    """
    height, width = plane.shape
    rows, columns = (height - 2) // _CELL, (width - 2) // _CELL
    out[:] = 0.0
    if rows < 1 or columns < 1:
        return
    energy_sum = 0.0
    energy_squares = 0.0
    coherence_sum = 0.0
    bins = np.zeros(4)
    along = 0.0
    askew = 0.0
    weight = 0.0
    for row in range(rows):
        for column in range(columns):
            xx = np.int32(0)
            yy = np.int32(0)
            xy = np.int32(0)
            for y in range(1 + row * _CELL, 1 + (row + 1) * _CELL):
                for x in range(1 + column * _CELL, 1 + (column + 1) * _CELL):
                    gx = np.int32(plane[y, x + 1]) - np.int32(plane[y, x - 1])
                    gy = np.int32(plane[y + 1, x]) - np.int32(plane[y - 1, x])
                    xx += gx * gx
                    yy += gy * gy
                    xy += gx * gy
            # +64: one step of noise in each pixel must not look like a direction.
            trace = float(xx + yy) + 64.0
            difference = float(xx - yy)
            double = 2.0 * float(xy)
            strength = np.sqrt(difference * difference + double * double)
            coherence = strength / trace
            energy = np.log(trace)
            energy_sum += energy
            energy_squares += energy * energy
            coherence_sum += coherence
            bins[min(int(coherence * 4.0), 3)] += 1.0
            root = np.sqrt(trace)
            along += root * difference / (strength + 1.0)
            askew += root * double / (strength + 1.0)
            weight += root
    cells = rows * columns
    mean = energy_sum / cells
    out[0] = mean
    out[1] = np.sqrt(max(energy_squares / cells - mean * mean, 0.0))
    out[2] = coherence_sum / cells
    out[3] = np.sqrt(along * along + askew * askew) / weight
    for number in range(4):
        out[4 + number] = np.sqrt(bins[number] / cells)


@nb.njit(cache=True, nogil=True)
def correlation(plane: Plane, lags: npt.NDArray[np.int64], out: Row) -> None:
    """Mean, deviation, skewness, and how alike pixels are at given distances along x and y, 3 + lags numbers."""
    height, width = plane.shape
    pixels = height * width
    total = np.int64(0)
    for y in range(height):
        row_sum = np.int32(0)
        for x in range(width):
            row_sum += np.int32(plane[y, x])
        total += row_sum
    # Whole numbers all the way: sums do not depend on their order, so vector units may add as they like.
    centre = np.int32((total + pixels // 2) // pixels)
    centred = np.empty((height, width), np.int16)
    second = np.int64(0)
    third = np.int64(0)
    for y in range(height):
        for x in range(width):
            value = np.int32(plane[y, x]) - centre
            centred[y, x] = value
            second += value * value
            third += value * value * value
    variance = second / pixels + 1.0
    out[0] = total / pixels
    out[1] = np.sqrt(variance)
    out[2] = third / pixels / variance**1.5
    for number in range(len(lags)):
        lag = min(lags[number], height // 2, width // 2)
        across = np.int64(0)
        for y in range(height):
            # Two views: at row[x + lag] each index would be checked for being negative, one at a time.
            row, other = centred[y, : width - lag], centred[y, lag:]
            part = np.int32(0)
            for x in range(width - lag):
                part += np.int32(row[x]) * np.int32(other[x])
            across += part
        down = np.int64(0)
        for y in range(height - lag):
            row, other = centred[y], centred[y + lag]
            part = np.int32(0)
            for x in range(width):
                part += np.int32(row[x]) * np.int32(other[x])
            down += part
        pairs_across, pairs_down = height * (width - lag), (height - lag) * width
        out[3 + number] = 0.5 * (across / pairs_across + down / pairs_down) / variance


@nb.njit(cache=True, nogil=True)
def chords(plane: Plane, threshold: int, out: Row) -> None:
    """How much of a plane lies in horizontal and vertical chords of 1, 2, 3-4, … 17-32 and more px through what
    is weaker than `threshold`: the sizes of lumens, of fat cells, of gaps. Roots of shares, 7 numbers."""
    height, width = plane.shape
    counts = np.zeros(CHORDS, np.int64)
    down = np.zeros(width, np.int64)
    for y in range(height + 1):
        run = 0
        for x in range(width + 1):
            inside = y < height and x < width and plane[y, x] < threshold
            if inside:
                run += 1
                down[x] += 1
            else:
                if run > 0 and y < height:
                    counts[_chord_bin(run)] += run
                    run = 0
                if x < width and down[x] > 0:
                    counts[_chord_bin(int(down[x]))] += int(down[x])
                    down[x] = 0
    for number in range(CHORDS):
        out[number] = np.sqrt(counts[number] / (2.0 * height * width))


@nb.njit(cache=True, nogil=True)
def _chord_bin(run: int) -> int:
    number = 0
    while number < CHORDS - 1 and run > (1 << number):
        number += 1
    return number
