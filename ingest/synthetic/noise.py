"""Random numbers, noise and elementary functions whose bits do not depend on the machine.

Pixels rest on +, −, ×, ÷ and sqrt in float64, which IEEE 754 rounds exactly, in a fixed order: numba neither
reorders nor fuses them without `fastmath`. exp, sin and cos are our own polynomials, because libm and numpy
choose other code (with other last bits) on CPUs with fused multiply-add or AVX-512.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["cosine", "decay", "fractal", "hash01", "noise", "noise_table", "sine", "smooth", "worley"]

_A = np.uint64(0x9E3779B97F4A7C15)
_B = np.uint64(0xC2B2AE3D27D4EB4F)
_C = np.uint64(0x165667B19E3779F9)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_ULP = 2.0**-53


def noise_table(generator: np.random.Generator) -> NDArray[np.float32]:
    """Lattice values (256, 256) in [0, 1) for `noise`."""
    return generator.random((256, 256)).astype(np.float32)


@njit(cache=True, nogil=True)
def hash01(seed: float, i: int, j: int, k: int) -> float:
    """Uniform number in [0, 1) that depends on its four arguments alone (splitmix64's finaliser)."""
    z = np.uint64(np.int64(seed)) * _M1 + np.uint64(i) * _A
    z = (z ^ (z >> _S30)) * _M2 + np.uint64(j) * _B
    z = (z ^ (z >> _S27)) * _M1 + np.uint64(k) * _C
    z = (z ^ (z >> _S30)) * _M1
    z = (z ^ (z >> _S27)) * _M2
    z = z ^ (z >> _S31)
    return float(z >> _S11) * _ULP


@njit(cache=True, nogil=True)
def noise(table: NDArray[np.float32], x: float, y: float) -> float:
    """Value noise in [0, 1): `table` interpolated smoothly, one lattice step a unit."""
    fx, fy = math.floor(x), math.floor(y)
    i, j = int(fx) & 255, int(fy) & 255
    u, v = x - fx, y - fy
    u = u * u * (3.0 - 2.0 * u)
    v = v * v * (3.0 - 2.0 * v)
    i1, j1 = (i + 1) & 255, (j + 1) & 255
    a, b = float(table[j, i]), float(table[j, i1])
    c, d = float(table[j1, i]), float(table[j1, i1])
    top = a + (b - a) * u
    return top + (c + (d - c) * u - top) * v


@njit(cache=True, nogil=True)
def fractal(table: NDArray[np.float32], x: float, y: float) -> float:
    """Three octaves of `noise`, about [0, 1) with mean 0.5."""
    return (
        0.55 * noise(table, x, y)
        + 0.3 * noise(table, 2.03 * x + 17.3, 2.03 * y + 9.1)
        + 0.15 * noise(table, 4.1 * x + 5.7, 4.1 * y + 31.9)
    )


@njit(cache=True, nogil=True)
def smooth(low: float, high: float, x: float) -> float:
    """0 below `low`, 1 above `high`, a cubic between."""
    t = (x - low) / (high - low)
    if t <= 0.0:
        return 0.0
    if t >= 1.0:
        return 1.0
    return t * t * (3.0 - 2.0 * t)


@njit(cache=True, nogil=True)
def decay(x: float) -> float:
    """exp(−x) for x ≥ 0: Taylor's series for x / 64, squared six times (error below 1e-9)."""
    if x <= 0.0:
        return 1.0
    if x > 30.0:
        return 0.0
    t = -x / 64.0
    e = 1.0 + t * (1.0 + t * (0.5 + t * (1.0 / 6.0 + t * (1.0 / 24.0 + t * (1.0 / 120.0 + t / 720.0)))))
    e = e * e
    e = e * e
    e = e * e
    e = e * e
    e = e * e
    return e * e


@njit(cache=True, nogil=True)
def sine(turns: float) -> float:
    """sin(2π · turns), by Taylor's series on a quarter turn (error below 1e-7)."""
    t = turns - math.floor(turns + 0.5)
    if t > 0.25:
        t = 0.5 - t
    elif t < -0.25:
        t = -0.5 - t
    a = 6.283185307179586 * t
    s = a * a
    return a * (1.0 - s / 6.0 * (1.0 - s / 20.0 * (1.0 - s / 42.0 * (1.0 - s / 72.0 * (1.0 - s / 110.0)))))


@njit(cache=True, nogil=True)
def cosine(turns: float) -> float:
    """cos(2π · turns)."""
    return sine(turns + 0.25)


@njit(cache=True, nogil=True)
def worley(seed: float, x: float, y: float, pitch: float, jitter: float) -> tuple[float, float, int, int]:
    """Distances (px) to the nearest and second nearest point of a jittered grid, and the nearest's cell.

    Odd rows are shifted by half a pitch, so that little of the square grid is seen.
    """
    gy = math.floor(y / pitch)
    best, second = 1e18, 1e18
    bi, bj = 0, 0
    for j in range(gy - 1, gy + 2):
        shift = 0.5 * (j & 1)
        gx = math.floor(x / pitch - shift)
        for i in range(gx - 1, gx + 2):
            px = (i + shift + 0.5 + jitter * (hash01(seed, i, j, 0) - 0.5)) * pitch
            py = (j + 0.5 + jitter * (hash01(seed, i, j, 1) - 0.5)) * pitch
            d = (x - px) * (x - px) + (y - py) * (y - py)
            if d < best:
                second = best
                best = d
                bi, bj = i, j
            elif d < second:
                second = d
    return math.sqrt(best), math.sqrt(second), bi, bj
