"""Nuclei, put on the ground substance one by one.

Where each lies, and how it looks, is a hash of its region's seed and its place in a grid, so any block of the
slide can be painted alone and in any order: neighbouring blocks agree on the nuclei they share.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from slidelake.ingest.synthetic.ground import (
    along,
    gland_depth,
    gland_reach,
    gland_shape,
    nest_depth,
    region_at,
)
from slidelake.ingest.synthetic.noise import cosine, hash01, noise, sine, smooth, worley
from slidelake.ingest.synthetic.tissues import Field

__all__ = ["MARGIN", "paint_nuclei"]

#: No nucleus reaches farther than this from its centre (px).
MARGIN = 40

_PITCH, _DENSITY, _RADIUS, _SPREAD = (
    int(Field.PITCH),
    int(Field.DENSITY),
    int(Field.RADIUS),
    int(Field.SPREAD),
)
_ELONG, _CHROMATIN, _VESIC = int(Field.ELONGATION), int(Field.CHROMATIN), int(Field.VESICULAR)
_NUCLEOLI, _SCALE, _AMOUNT, _SEED = int(Field.NUCLEOLI), int(Field.SCALE), int(Field.AMOUNT), int(Field.SEED)

Plane = NDArray[np.float32]
Row = NDArray[np.float64]
Table = NDArray[np.float32]


@njit(cache=True, nogil=True)
def _stamp(
    x0: int, y0: int, haematoxylin: Plane, eosin: Plane, table: Table, x: float, y: float, c: float, s: float,
    long_: float, short: float, chromatin: float, vesicular: float, nucleolus: float, ragged: float,
) -> None:  # fmt: skip
    """Lay one nucleus over the planes: (c, s) its direction, `long_`/`short` its half axes (px)."""
    reach = long_ * 1.25 + 2.0
    rows, cols = eosin.shape
    j0, j1 = max(int(y - reach) - y0, 0), min(int(y + reach) + 2 - y0, rows)
    i0, i1 = max(int(x - reach) - x0, 0), min(int(x + reach) + 2 - x0, cols)
    for j in range(j0, j1):
        for i in range(i0, i1):
            dx, dy = x0 + i - x, y0 + j - y
            a, b = (dx * c + dy * s) / long_, (dy * c - dx * s) / short
            r = math.sqrt(a * a + b * b)
            if r > 1.5:
                continue
            px, py = x0 + i + 0.37 * y, y0 + j + 0.61 * x
            r *= 1.0 + ragged * (noise(table, px / (1.1 * short), py / (1.1 * short)) - 0.5)
            alpha = smooth(-0.8, 0.9, (1.0 - r) * short)
            if alpha <= 0.0:
                continue
            clumps = noise(table, px / 2.1, py / 2.1) - 0.5
            h = chromatin * (1.0 + 0.55 * clumps)
            if vesicular > 0.0:
                h *= (
                    1.0
                    - 0.52 * vesicular * (1.0 - smooth(0.35, 0.9, r))
                    + 0.12 * vesicular * smooth(0.7, 0.95, r)
                )
            e = 0.16 + 0.1 * clumps
            if nucleolus > 0.0:
                qx, qy = (
                    a * long_ - 0.3 * short * (nucleolus - 0.5),
                    b * short + 0.3 * short * (nucleolus - 0.5),
                )
                spot = 1.0 - smooth(0.13 * short + 0.5, 0.13 * short + 1.9, math.sqrt(qx * qx + qy * qy))
                h += 0.75 * spot
                e += 0.3 * spot
            haematoxylin[j, i] = haematoxylin[j, i] * (1.0 - alpha) + max(h, 0.0) * alpha
            eosin[j, i] = eosin[j, i] * (1.0 - alpha) + e * alpha


@njit(cache=True, nogil=True)
def _tangent(p: Row, table: Table, x: float, y: float) -> tuple[float, float]:
    """Direction (cos, sin) of the fibres at a place: across it, v changes most."""
    _, right = along(p, table, x + 5.0, y)
    _, left = along(p, table, x - 5.0, y)
    _, below = along(p, table, x, y + 5.0)
    _, above = along(p, table, x, y - 5.0)
    gx, gy = right - left, below - above
    length = math.sqrt(gx * gx + gy * gy) + 1e-9
    return gy / length, -gx / length


@njit(cache=True, nogil=True)
def _ring(
    x0: int, y0: int, haematoxylin: Plane, eosin: Plane, table: Table, p: Row, i: int, j: int, region: int,
    regions: NDArray[np.int16], map_px: float,
) -> None:  # fmt: skip
    """The basal nuclei of one gland: a palisade, each nucleus pointing at the lumen."""
    cx, cy, radius, c, s, ratio = gland_shape(p, i, j)
    rows, cols = eosin.shape
    far = 1.6 * radius + MARGIN
    if cx + far < x0 or cy + far < y0 or cx - far > x0 + cols or cy - far > y0 + rows:
        return
    seed = p[_SEED] + 17.0 + 1000.0 * i
    count = int(6.3 * radius / (2.45 * p[_RADIUS]))
    for k in range(count):
        turn = (k + 0.5 * (hash01(seed, j, k, 0) - 0.5)) / count
        ux, uy = cosine(turn), sine(turn)
        target = radius - 4.0 - p[_RADIUS] * p[_ELONG] * (0.7 + 1.0 * hash01(seed, j, k, 1))
        reach = target
        for _ in range(4):  # the wall is uneven: walk to the place that lies at this depth
            now = gland_reach(table, cx + ux * reach, cy + uy * reach, cx, cy, c, s, ratio)
            reach *= target / max(now, 1.0)
        x, y = cx + ux * reach, cy + uy * reach
        _, _, bi, bj = gland_depth(p, table, x, y)
        if bi != i or bj != j or hash01(seed, j, k, 2) > 0.96:
            continue
        if region_at(regions, map_px, table, x, y) != region:  # the gland is cut by the region's border
            continue
        tilt = 0.5 * (hash01(seed, j, k, 3) - 0.5)
        dx, dy = ux - tilt * uy, uy + tilt * ux
        length = math.sqrt(dx * dx + dy * dy)
        short = p[_RADIUS] * (1.0 + p[_SPREAD] * (2.0 * hash01(seed, j, k, 4) - 1.0))
        long_ = min(short * p[_ELONG] * (0.85 + 0.3 * hash01(seed, j, k, 5)), 30.0)
        strength = p[_CHROMATIN] * (0.8 + 0.4 * hash01(seed, j, k, 6))
        spot = hash01(seed, j, k, 7) / max(p[_NUCLEOLI], 1e-6)
        _stamp(x0, y0, haematoxylin, eosin, table, x, y, dx / length, dy / length, long_, short, strength,
               p[_VESIC], spot if spot < 1.0 else 0.0, 0.3)  # fmt: skip


@njit(cache=True, nogil=True)
def _scatter(
    x0: int, y0: int, haematoxylin: Plane, eosin: Plane, table: Table, p: Row, region: int,
    regions: NDArray[np.int16], map_px: float, left: float, top: float, right: float, bottom: float,
) -> None:  # fmt: skip
    """The nuclei on the region's jittered grid, each where the tissue's architecture lets one be."""
    kind, seed, pitch = int(p[0]), p[_SEED], p[_PITCH]
    jitter = 0.72 if kind >= 8 else 0.85  # nests and epithelium: the same points as their cell borders
    for j in range(math.floor(top / pitch) - 1, math.floor(bottom / pitch) + 2):
        shift = 0.5 * (j & 1)
        for i in range(math.floor(left / pitch - shift) - 1, math.floor(right / pitch - shift) + 2):
            x = (i + shift + 0.5 + jitter * (hash01(seed, i, j, 0) - 0.5)) * pitch
            y = (j + 0.5 + jitter * (hash01(seed, i, j, 1) - 0.5)) * pitch
            if x < left or x > right or y < top or y > bottom or hash01(seed, i, j, 20) > p[_DENSITY]:
                continue
            if region_at(regions, map_px, table, x, y) != region:
                continue
            radius, ratio, vesicular, ragged = p[_RADIUS], p[_ELONG], p[_VESIC], 0.25
            strength, spread, nucleoli = p[_CHROMATIN], p[_SPREAD], p[_NUCLEOLI]
            t = 2.0 * hash01(seed, i, j, 21) - 1.0
            c, s = (1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t)
            if kind == 1:  # between the glands: a mixture of round and spindle cells
                depth, _, _, _ = gland_depth(p, table, x, y)
                if depth > -5.0:
                    continue
                ratio = 1.0 + 2.4 * hash01(seed, i, j, 22) * hash01(seed, i, j, 23)
                radius *= 0.95 - 0.12 * ratio
            elif kind == 2 or kind == 7:
                c, s = _tangent(p, table, x, y)
            elif kind == 3:  # flat nuclei in the membranes between vacuoles
                wx = x + 16.0 * (noise(table, x / 50.0, y / 50.0) - 0.5)
                wy = y + 16.0 * (noise(table, x / 50.0 + 77.0, y / 50.0) - 0.5)
                near, far, _, _ = worley(seed, wx, wy, p[_SCALE], 0.75)
                if far - near > p[_AMOUNT] + 2.0:
                    continue
            elif kind == 5:  # cells float in clusters
                if noise(table, x / p[_SCALE] + 19.0, y / p[_SCALE]) < p[_AMOUNT]:
                    continue
            elif kind == 6:
                ragged = 0.7
            elif kind == 8:
                depth = nest_depth(p, table, x, y)
                if depth < -1.0:
                    c, s = _tangent(p, table, x, y)
                    radius, ratio, vesicular, nucleoli, spread = 3.3, 3.2, 0.2, 0.0, 0.3
                elif depth < 3.0:
                    continue
                else:
                    ragged = 0.45
                    if hash01(seed, i, j, 24) > 0.985:  # a mitosis: small, solid, ragged
                        radius, ratio, vesicular, nucleoli, ragged = 5.0, 1.8, 0.0, 0.0, 1.1
                        strength += 0.7
            short = radius * (1.0 + spread * (2.0 * hash01(seed, i, j, 25) - 1.0))
            short = max(short, 0.9)
            long_ = min(short * (1.0 + (ratio - 1.0) * (0.7 + 0.6 * hash01(seed, i, j, 26))), 30.0)
            strength *= 0.75 + 0.5 * hash01(seed, i, j, 27)
            spot = hash01(seed, i, j, 28) / max(nucleoli, 1e-6)
            _stamp(x0, y0, haematoxylin, eosin, table, x, y, c, s, long_, short, strength,
                   vesicular, spot if spot < 1.0 else 0.0, ragged)  # fmt: skip


@njit(cache=True, nogil=True)
def paint_nuclei(
    x0: int, y0: int, regions: NDArray[np.int16], map_px: float, params: NDArray[np.float64],
    boxes: NDArray[np.int64], table: Table, haematoxylin: Plane, eosin: Plane,
) -> None:  # fmt: skip
    """Put the nuclei of every region that reaches into the block; `boxes` (R, 4): x0, y0, x1, y1 in px."""
    rows, cols = eosin.shape
    for region in range(params.shape[0]):
        p = params[region]
        left, top = max(boxes[region, 0], x0 - MARGIN), max(boxes[region, 1], y0 - MARGIN)
        right, bottom = min(boxes[region, 2], x0 + cols + MARGIN), min(boxes[region, 3], y0 + rows + MARGIN)
        if left >= right or top >= bottom:
            continue
        if int(p[0]) == 1:
            pitch = p[_SCALE]
            for j in range(math.floor(top / pitch) - 2, math.floor(bottom / pitch) + 3):
                for i in range(math.floor(left / pitch) - 2, math.floor(right / pitch) + 3):
                    cx, cy, _, _, _, _ = gland_shape(p, i, j)
                    if region_at(regions, map_px, table, cx, cy) == region:
                        _ring(x0, y0, haematoxylin, eosin, table, p, i, j, region, regions, map_px)
        _scatter(x0, y0, haematoxylin, eosin, table, p, region, regions, map_px,
                 float(left), float(top), float(right), float(bottom))  # fmt: skip
