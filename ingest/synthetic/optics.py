"""From stain amounts to scanned pixels: focus, Beer–Lambert, ink, dust, sensor noise."""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from slidelake.ingest.synthetic.noise import decay, hash01, noise, smooth

__all__ = ["HALO", "Optics", "develop", "focus"]

#: Pixels around a block that its blur reads.
HALO = 16

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Optics:
    """How one slide was stained and scanned; colours are (3,) float64 in RGB order.

    `soft` is the Gaussian's sigma (px) where the focus is at its worst; `blurred` the out-of-focus area
    (centre x, y, half axes; px), empty where the slide has none; `pen` (n, 2) the points of a pen stroke.
    """

    haematoxylin: NDArray[np.float64]
    eosin: NDArray[np.float64]
    white: NDArray[np.float64]
    noise: float
    sharp: float
    soft: float
    blurred: NDArray[np.float64]
    pen: NDArray[np.float64]
    pen_width: float
    ink: NDArray[np.float64]
    dust: NDArray[np.float64]  # (n, 4): x, y, radius, optical density
    seed: float


def gaussian(sigma: float) -> NDArray[np.float64]:
    """Weights (2r + 1,) that sum to 1, r = ceil(3 sigma), at most HALO."""
    radius = min(math.ceil(3.0 * sigma), HALO)
    weights = np.array([decay(0.5 * (k / sigma) * (k / sigma)) for k in range(-radius, radius + 1)])
    total = 0.0
    for weight in weights:  # in this order: numpy's sum may pair otherwise elsewhere
        total += float(weight)
    return weights / total


@njit(cache=True, nogil=True)
def _blur(plane: Plane, weights: NDArray[np.float64], halo: int) -> Plane:
    """Separable filter; the result is smaller by `halo` on each side."""
    rows, cols = plane.shape
    radius = weights.shape[0] // 2
    inner = cols - 2 * halo
    half = np.empty((rows, inner), np.float32)
    out = np.empty((rows - 2 * halo, inner), np.float32)
    # Taps outside, pixels inside: the compiler may then take several pixels at once, while each pixel's
    # sum keeps its order, and so its bits.
    total = np.empty(inner, np.float64)
    for j in range(rows):
        total[:] = 0.0
        for k in range(-radius, radius + 1):
            weight = weights[k + radius]
            for i in range(inner):
                total[i] += weight * plane[j, i + halo + k]
        for i in range(inner):
            half[j, i] = total[i]
    for j in range(rows - 2 * halo):
        total[:] = 0.0
        for k in range(-radius, radius + 1):
            weight = weights[k + radius]
            for i in range(inner):
                total[i] += weight * half[j + halo + k, i]
        for i in range(inner):
            out[j, i] = total[i]
    return out


@njit(cache=True, nogil=True)
def _mix(near: Plane, far: Plane, weight: Plane) -> None:
    for j in range(near.shape[0]):
        for i in range(near.shape[1]):
            near[j, i] = near[j, i] + (far[j, i] - near[j, i]) * weight[j, i]


@njit(cache=True, nogil=True)
def _focus_weight(x0: int, y0: int, rows: int, cols: int, table: NDArray[np.float32]) -> Plane:
    out = np.empty((rows, cols), np.float32)
    for j in range(rows):
        for i in range(cols):
            out[j, i] = smooth(0.35, 0.9, noise(table, (x0 + i) / 900.0 + 40.0, (y0 + j) / 900.0 + 11.0))
    return out


@njit(cache=True, nogil=True)
def _area_weight(x0: int, y0: int, rows: int, cols: int, area: NDArray[np.float64]) -> Plane:
    out = np.empty((rows, cols), np.float32)
    for j in range(rows):
        for i in range(cols):
            dx, dy = (x0 + i - area[0]) / area[2], (y0 + j - area[1]) / area[3]
            out[j, i] = 1.0 - smooth(0.75, 1.05, math.sqrt(dx * dx + dy * dy))
    return out


def focus(plane: Plane, optics: Optics, table: NDArray[np.float32], x0: int, y0: int) -> Plane:
    """Blur a plane that carries HALO on each side, as the focus at each place asks; (x0, y0) inside."""
    rows, cols = plane.shape[0] - 2 * HALO, plane.shape[1] - 2 * HALO
    out = _blur(plane, gaussian(optics.sharp), HALO)
    weight = _focus_weight(x0, y0, rows, cols, table)
    if weight.any():
        _mix(out, _blur(plane, gaussian(optics.soft), HALO), weight)
    if optics.blurred.size:
        weight = _area_weight(x0, y0, rows, cols, optics.blurred)
        if weight.any():
            _mix(out, _blur(plane, gaussian(4.5), HALO), weight)
    return out


@njit(cache=True, nogil=True)
def _ink(
    x0: int, y0: int, rows: int, cols: int, pen: NDArray[np.float64], width: float, table: NDArray[np.float32]
) -> Plane:
    """Share of ink (0…1) at each pixel: near the stroke, uneven, darker at its rim."""
    out = np.zeros((rows, cols), np.float32)
    for j in range(rows):
        y = float(y0 + j)
        for i in range(cols):
            x = float(x0 + i)
            best = 1e18
            for k in range(pen.shape[0] - 1):
                ax, ay = pen[k, 0], pen[k, 1]
                bx, by = pen[k + 1, 0] - ax, pen[k + 1, 1] - ay
                t = ((x - ax) * bx + (y - ay) * by) / (bx * bx + by * by)
                t = min(max(t, 0.0), 1.0)
                dx, dy = x - ax - t * bx, y - ay - t * by
                best = min(best, dx * dx + dy * dy)
            d = math.sqrt(best) + 14.0 * (noise(table, x / 24.0, y / 24.0) - 0.5)
            inside = 1.0 - smooth(width - 5.0, width, d)
            if inside > 0.0:
                streak = noise(table, x / 90.0, y / 9.0)
                out[j, i] = inside * (0.62 + 0.28 * streak + 0.25 * smooth(0.75 * width, width, d))
    return out


@njit(cache=True, nogil=True)
def _expose(
    x0: int, y0: int, haematoxylin: Plane, eosin: Plane, ink_share: Plane, dust: NDArray[np.float64],
    vh: NDArray[np.float64], ve: NDArray[np.float64], ink: NDArray[np.float64], white: NDArray[np.float64],
    grain: float, seed: float, table: NDArray[np.float32], out: NDArray[np.uint8],
) -> None:  # fmt: skip
    rows, cols = eosin.shape
    inked = ink_share.shape[0] == rows
    for j in range(rows):
        for i in range(cols):
            x, y = x0 + i, y0 + j
            h, e = float(haematoxylin[j, i]), float(eosin[j, i])
            share = float(ink_share[j, i]) if inked else 0.0
            # Smears of mounting medium: the empty glass is never quite even.
            glass = 0.016 * noise(table, x / 330.0 + 3.0, y / 330.0)
            dark = 0.0
            for k in range(dust.shape[0]):
                dx, dy = x - dust[k, 0], y - dust[k, 1]
                d2 = dx * dx + dy * dy
                reach = dust[k, 2]
                if d2 < 4.0 * reach * reach:
                    d = math.sqrt(d2) * (0.6 + 0.8 * noise(table, x / (0.7 * reach), y / (0.7 * reach)))
                    dark += dust[k, 3] * (1.0 - smooth(0.7 * reach, reach, d))
            z = int(hash01(seed, x, y, 0) * 9007199254740992.0)
            for c in range(3):
                light = white[c] * decay(h * vh[c] + e * ve[c] + share * ink[c] + glass + dark)
                a = (z >> (17 * c)) & 255
                b = (z >> (17 * c + 8)) & 255
                light += grain * (a + b - 255.0) / 104.0  # triangular, standard deviation `grain`
                out[j, i, c] = np.uint8(min(max(light + 0.5, 0.0), 255.0))


def develop(
    haematoxylin: Plane, eosin: Plane, optics: Optics, table: NDArray[np.float32], x0: int, y0: int
) -> NDArray[np.uint8]:
    """Scanned RGB (h, w, 3) of focused stain planes; (x0, y0) their upper left corner."""
    rows, cols = eosin.shape
    ink_share = np.zeros((0, 0), np.float32)
    if optics.pen.size:
        reach = optics.pen_width + 20.0
        low, high = optics.pen.min(axis=0) - reach, optics.pen.max(axis=0) + reach
        if low[0] < x0 + cols and low[1] < y0 + rows and high[0] > x0 and high[1] > y0:
            ink_share = _ink(x0, y0, rows, cols, optics.pen, optics.pen_width, table)
    reach4 = 2.0 * optics.dust[:, 2]
    near = (
        (optics.dust[:, 0] + reach4 > x0)
        & (optics.dust[:, 0] - reach4 < x0 + cols)
        & (optics.dust[:, 1] + reach4 > y0)
        & (optics.dust[:, 1] - reach4 < y0 + rows)
    )
    out = np.empty((rows, cols, 3), np.uint8)
    _expose(
        x0, y0, haematoxylin, eosin, ink_share, optics.dust[near], optics.haematoxylin, optics.eosin,
        optics.ink, optics.white, optics.noise, optics.seed, table, out,
    )  # fmt: skip
    return out
