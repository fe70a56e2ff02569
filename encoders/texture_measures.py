"""What is measured on a stain plane: shapes at thresholds, local patterns, edges, distances."""

import numba as nb
import numpy as np
import numpy.typing as npt

__all__ = ["autocorrelation", "chords", "edges", "joint_histogram", "patterns", "shapes"]

Plane = npt.NDArray[np.uint8]
Row = npt.NDArray[np.float64]

LEVELS = 8
CELL = 8


@nb.njit(cache=True, nogil=True)
def shapes(plane: Plane, out: Row) -> None:
    """Minkowski functionals of the sets "at least t" for 7 thresholds t: area, perimeter, Euler number."""
    height, width = plane.shape
    n1 = np.zeros(LEVELS, np.int64)
    n2 = np.zeros(LEVELS, np.int64)
    n4 = np.zeros(LEVELS, np.int64)
    for y in range(height - 1):
        for x in range(width - 1):
            a = plane[y, x] >> 5
            b = plane[y, x + 1] >> 5
            c = plane[y + 1, x] >> 5
            d = plane[y + 1, x + 1] >> 5
            n1[a] += 1
            ab = min(a, b)
            n2[ab] += 1
            n2[min(a, c)] += 1
            n4[min(ab, min(c, d))] += 1
    total = (height - 1) * (width - 1)
    for level in range(LEVELS - 2, -1, -1):
        n1[level] += n1[level + 1]
        n2[level] += n2[level + 1]
        n4[level] += n4[level + 1]
    for level in range(1, LEVELS):
        area = n1[level] / total
        perimeter = (4 * n1[level] - 2 * n2[level]) / total
        euler = (n1[level] - n2[level] + n4[level]) / total
        out[level - 1] = np.sqrt(area)
        out[LEVELS - 2 + level] = np.sqrt(perimeter)
        out[2 * LEVELS - 3 + level] = np.sign(euler) * np.sqrt(abs(euler))


@nb.njit(cache=True, nogil=True)
def patterns(plane: Plane, table: npt.NDArray[np.uint8], margin: int, out: Row) -> None:
    """Uniform rotation-invariant local binary patterns of the 8 neighbours (Ojala et al. 2002), 10 shares."""
    height, width = plane.shape
    counts = np.zeros(10, np.int64)
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            c = int(plane[y, x]) + margin
            code = 0
            code |= int(plane[y - 1, x - 1] >= c)
            code |= int(plane[y - 1, x] >= c) << 1
            code |= int(plane[y - 1, x + 1] >= c) << 2
            code |= int(plane[y, x + 1] >= c) << 3
            code |= int(plane[y + 1, x + 1] >= c) << 4
            code |= int(plane[y + 1, x] >= c) << 5
            code |= int(plane[y + 1, x - 1] >= c) << 6
            code |= int(plane[y, x - 1] >= c) << 7
            counts[table[code]] += 1
    total = (height - 2) * (width - 2)
    for number in range(10):
        out[number] = np.sqrt(counts[number] / total)


@nb.njit(cache=True, nogil=True)
def edges(plane: Plane, out: Row) -> None:
    """Energy and coherence of the structure tensor over cells of 8 x 8 px, 10 numbers."""
    height, width = plane.shape
    rows, columns = max((height - 2) // CELL, 1), max((width - 2) // CELL, 1)
    cells = rows * columns
    energy_sum = 0.0
    energy_squares = 0.0
    coherent = 0.0
    bins = np.zeros(4)
    cos_sum = 0.0
    sin_sum = 0.0
    weight = 0.0
    for row in range(rows):
        for column in range(columns):
            xx = 0
            yy = 0
            xy = 0
            for y in range(1 + row * CELL, min(1 + (row + 1) * CELL, height - 1)):
                for x in range(1 + column * CELL, min(1 + (column + 1) * CELL, width - 1)):
                    gx = int(plane[y, x + 1]) - int(plane[y, x - 1])
                    gy = int(plane[y + 1, x]) - int(plane[y - 1, x])
                    xx += gx * gx
                    yy += gy * gy
                    xy += gx * gy
            trace = float(xx + yy) + 64.0
            difference = float(xx - yy)
            double = 2.0 * xy
            strength = np.sqrt(difference * difference + double * double)
            coherence = strength / trace
            log_energy = np.log(trace)
            energy_sum += log_energy
            energy_squares += log_energy * log_energy
            coherent += coherence
            bins[min(int(coherence * 4.0), 3)] += 1
            root = np.sqrt(trace)
            cos_sum += root * difference / (strength + 1.0)
            sin_sum += root * double / (strength + 1.0)
            weight += root
    mean = energy_sum / cells
    out[0] = mean
    out[1] = np.sqrt(max(energy_squares / cells - mean * mean, 0.0))
    out[2] = coherent / cells
    out[3] = np.sqrt(cos_sum * cos_sum + sin_sum * sin_sum) / weight
    for number in range(4):
        out[4 + number] = np.sqrt(bins[number] / cells)


@nb.njit(cache=True, nogil=True)
def autocorrelation(plane: Plane, lags: npt.NDArray[np.int64], out: Row) -> None:
    """Mean, deviation, skewness, and the correlation of pixels at given distances (x and y averaged)."""
    height, width = plane.shape
    total = height * width
    mean = 0.0
    for y in range(height):
        s = 0
        for x in range(width):
            s += int(plane[y, x])
        mean += s
    mean /= total
    second = 0.0
    third = 0.0
    for y in range(height):
        for x in range(width):
            v = plane[y, x] - mean
            second += v * v
            third += v * v * v
    second = second / total + 1.0
    third = third / total
    out[0] = mean / 64.0
    out[1] = np.sqrt(second) / 32.0
    out[2] = third / second**1.5
    for number in range(len(lags)):
        lag = min(lags[number], height // 2, width // 2)
        along = 0.0
        for y in range(height):
            for x in range(width - lag):
                along += (plane[y, x] - mean) * (plane[y, x + lag] - mean)
        across = 0.0
        for y in range(height - lag):
            for x in range(width):
                across += (plane[y, x] - mean) * (plane[y + lag, x] - mean)
        out[3 + number] = (
            0.5 * (along / (height * (width - lag)) + across / ((height - lag) * width)) / second
        )


@nb.njit(cache=True, nogil=True)
def joint_histogram(first: Plane, second: Plane, out: Row) -> None:
    """Shares of pixels in 6 x 6 bins of two planes, square-rooted."""
    height, width = first.shape
    counts = np.zeros(36, np.int64)
    for y in range(height):
        for x in range(width):
            a = min(int(first[y, x]) // 36, 5)
            b = min(int(second[y, x]) // 36, 5)
            counts[a * 6 + b] += 1
    for number in range(36):
        out[number] = np.sqrt(counts[number] / (height * width))


@nb.njit(cache=True, nogil=True)
def chords(plane: Plane, threshold: int, above: bool, out: Row) -> None:
    """How much of a patch lies in chords of 1, 2, 3-4, 5-8, 9-16, 17-32, more px through the set."""
    height, width = plane.shape
    counts = np.zeros(7, np.int64)
    for direction in range(2):
        outer = height if direction == 0 else width
        inner = width if direction == 0 else height
        for i in range(outer):
            run = 0
            for j in range(inner + 1):
                inside = False
                if j < inner:
                    value = plane[i, j] if direction == 0 else plane[j, i]
                    inside = (value >= threshold) == above
                if inside:
                    run += 1
                elif run:
                    number = 0
                    while number < 6 and run > (1 << number):
                        number += 1
                    counts[number] += run
                    run = 0
    for number in range(7):
        out[number] = np.sqrt(counts[number] / (2.0 * height * width))
