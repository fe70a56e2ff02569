"""The ground substance of each tissue: haematoxylin and eosin of every pixel before nuclei are put on it.

Every function takes a place (level-0 px), the region's row `p` (see `tissues.Field`) and the noise table,
and returns (haematoxylin, eosin).
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from slidelake.ingest.synthetic.noise import fractal, hash01, noise, smooth, worley
from slidelake.ingest.synthetic.tissues import Field

__all__ = ["along", "gland_depth", "ground_at", "nest_depth", "paint_ground", "region_at"]

_EOSIN, _HAEM, _PITCH = int(Field.EOSIN), int(Field.HAEMATOXYLIN), int(Field.PITCH)
_SCALE, _AMOUNT, _WAVE, _GRAIN = int(Field.SCALE), int(Field.AMOUNT), int(Field.WAVE), int(Field.GRAIN)
_DX, _DY, _SEED = int(Field.DIRECTION_X), int(Field.DIRECTION_Y), int(Field.SEED)
_OX, _OY = int(Field.OFFSET_X), int(Field.OFFSET_Y)

Row = NDArray[np.float64]
Table = NDArray[np.float32]


@njit(cache=True, nogil=True)
def region_at(regions: NDArray[np.int16], map_px: float, table: Table, x: float, y: float) -> int:
    """Region at a place (−1 outside the tissue).

    The four map pixels around vote with their bilinear weights, which rounds the map's steps, and a warp of
    a few pixels frays the border.
    """
    wx = (
        x + 8.0 * (noise(table, x / 19.0, y / 19.0) - 0.5) + 2.5 * (noise(table, x / 5.0, y / 5.0) - 0.5)
    ) / map_px
    wy = y + 8.0 * (noise(table, x / 19.0 + 91.0, y / 19.0) - 0.5)
    wy = (wy + 2.5 * (noise(table, x / 5.0, y / 5.0 + 47.0) - 0.5)) / map_px
    fx, fy = math.floor(wx - 0.5), math.floor(wy - 0.5)
    u, v = wx - 0.5 - fx, wy - 0.5 - fy
    j0 = min(max(int(fy), 0), regions.shape[0] - 1)
    i0 = min(max(int(fx), 0), regions.shape[1] - 1)
    j1 = min(max(int(fy) + 1, 0), regions.shape[0] - 1)
    i1 = min(max(int(fx) + 1, 0), regions.shape[1] - 1)
    a, b, c, d = int(regions[j0, i0]), int(regions[j0, i1]), int(regions[j1, i0]), int(regions[j1, i1])
    if a == b and a == c and a == d:
        return a
    wa, wb, wc, wd = (1.0 - u) * (1.0 - v), u * (1.0 - v), (1.0 - u) * v, u * v
    best, won = -1.0, a
    for r in (a, b, c, d):
        votes = (
            (wa if a == r else 0.0)
            + (wb if b == r else 0.0)
            + (wc if c == r else 0.0)
            + (wd if d == r else 0.0)
        )
        if votes > best:
            best, won = votes, r
    return won


@njit(cache=True, nogil=True)
def along(p: Row, table: Table, x: float, y: float) -> tuple[float, float]:
    """Place in the frame of the region's fibres: u along, v across (px), bent by its waviness."""
    u = x * p[_DX] + y * p[_DY]
    v = y * p[_DX] - x * p[_DY]
    v += p[_WAVE] * 34.0 * (noise(table, u / 52.0 + p[_OX], v / 170.0 + p[_OY]) - 0.5)
    v += p[_WAVE] * 150.0 * (noise(table, u / 300.0 + p[_OY], v / 340.0 + p[_OX]) - 0.5)
    return u, v


@njit(cache=True, nogil=True)
def _fibres(p: Row, table: Table, x: float, y: float, width: float, gaps: float) -> tuple[float, float]:
    u, v = along(p, table, x, y)
    strand = noise(table, u / (11.0 * width), v / width + p[_OX])
    fine = noise(table, u / (4.0 * width) + 71.0, v / (0.42 * width) + p[_OY])
    e = p[_EOSIN] * (0.50 + 0.62 * strand + 0.9 * p[_GRAIN] * (fine - 0.5))
    cleft = noise(table, u / (16.0 * width) + 7.0, v / (1.7 * width) + 133.0)
    open_ = 1.0 - smooth(gaps - 0.06, gaps + 0.06, cleft)
    e *= 1.0 - 0.86 * open_
    h = p[_HAEM] * (0.45 + 0.9 * fine) * (1.0 - 0.8 * open_)
    return h, e


@njit(cache=True, nogil=True)
def _muscle(p: Row, table: Table, x: float, y: float) -> tuple[float, float]:
    u, v = along(p, table, x, y)
    width = p[_SCALE]
    ridge = abs(2.0 * noise(table, u / (15.0 * width), v / width + p[_OX]) - 1.0)
    gap = 1.0 - smooth(0.3 * p[_AMOUNT], 1.6 * p[_AMOUNT], ridge)
    body = noise(table, u / 160.0 + 13.0, v / (1.3 * width) + p[_OY])
    fibril = noise(table, u / 46.0 + 29.0, v / 2.6)
    e = p[_EOSIN] * (0.72 + 0.34 * body + 0.5 * p[_GRAIN] * (fibril - 0.5)) * (1.0 - 0.42 * gap)
    bundle = noise(table, u / 700.0 + 3.0, v / 58.0 + p[_OY])
    septum = 1.0 - smooth(0.10, 0.20, bundle)
    e *= 1.0 - 0.8 * septum
    h = p[_HAEM] * (0.55 + 0.6 * fibril) * (1.0 - 0.6 * septum)
    return h, e


@njit(cache=True, nogil=True)
def gland_shape(p: Row, i: int, j: int) -> tuple[float, float, float, float, float, float]:
    """Gland of grid cell (i, j): centre x, y, radius (px), direction cos, sin, and axis ratio."""
    seed, pitch = p[_SEED], p[_SCALE]
    cx = (i + 0.5 * (j & 1) + 0.5 + 0.34 * (hash01(seed, i, j, 0) - 0.5)) * pitch
    cy = (j + 0.5 + 0.34 * (hash01(seed, i, j, 1) - 0.5)) * pitch
    t = 2.0 * hash01(seed, i, j, 2) - 1.0
    radius = pitch * (0.37 + 0.10 * hash01(seed, i, j, 3))
    ratio = 1.0 + 0.38 * hash01(seed, i, j, 4)
    return cx, cy, radius, (1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t), ratio


@njit(cache=True, nogil=True)
def gland_reach(
    table: Table, x: float, y: float, cx: float, cy: float, c: float, s: float, ratio: float
) -> float:
    """Distance from a gland's centre in units in which its wall lies at its radius."""
    dx, dy = x - cx, y - cy
    a, b = dx * c + dy * s, dy * c - dx * s
    round_ = math.sqrt(a * a / ratio + b * b * ratio)
    return round_ * (0.82 + 0.36 * noise(table, x / 46.0, y / 46.0))


@njit(cache=True, nogil=True)
def gland_depth(p: Row, table: Table, x: float, y: float) -> tuple[float, float, int, int]:
    """Depth (px) inside the nearest gland's wall (negative outside), its radius and its grid cell."""
    pitch = p[_SCALE]
    gy = math.floor(y / pitch)
    best, radius, bi, bj = -1e9, 1.0, 0, 0
    for j in range(gy - 1, gy + 2):
        gx = math.floor(x / pitch - 0.5 * (j & 1))
        for i in range(gx - 1, gx + 2):
            cx, cy, r, c, s, ratio = gland_shape(p, i, j)
            depth = r - gland_reach(table, x, y, cx, cy, c, s, ratio)
            if depth > best:
                best, radius, bi, bj = depth, r, i, j
    return best, radius, bi, bj


@njit(cache=True, nogil=True)
def _glands(p: Row, table: Table, x: float, y: float) -> tuple[float, float]:
    depth, radius, i, j = gland_depth(p, table, x, y)
    if depth < 0.0:
        h, e = _fibres(p, table, x, y, 9.0, 0.30)
        near = smooth(-7.0, -1.0, depth)
        return h * (1.0 - 0.5 * near), e * (0.85 - 0.45 * near)
    height = min(p[_AMOUNT], 0.68 * radius)
    fine = noise(table, x / 3.1, y / 3.1)
    # Apical brush of the epithelium is uneven; the lumen holds a little pale secretion.
    lumen = smooth(height - 3.0, height + 2.0, depth + 7.0 * (noise(table, x / 15.0, y / 15.0) - 0.5))
    apical = smooth(0.45 * height, 0.75 * height, depth)
    goblet = smooth(0.56, 0.68, noise(table, x / 13.0 + 61.0, y / 13.0)) * apical * hash01(p[_SEED], i, j, 7)
    e = p[_EOSIN] * (0.74 + p[_GRAIN] * (fine - 0.5) + 0.22 * apical) * (1.0 - 0.75 * goblet)
    h = p[_HAEM] * (1.5 - 0.8 * apical + 0.5 * (fine - 0.5)) + 0.10 * goblet
    secretion = 0.13 * smooth(0.5, 0.8, fractal(table, x / 40.0, y / 40.0))
    e = e * (1.0 - lumen) + lumen * secretion
    h = h * (1.0 - lumen) + lumen * secretion * 0.8
    return h, e


@njit(cache=True, nogil=True)
def _fat(p: Row, table: Table, x: float, y: float) -> tuple[float, float]:
    wx = x + 16.0 * (noise(table, x / 50.0, y / 50.0) - 0.5)
    wy = y + 16.0 * (noise(table, x / 50.0 + 77.0, y / 50.0) - 0.5)
    near, far, _, _ = worley(p[_SEED], wx, wy, p[_SCALE], 0.75)
    wall = p[_AMOUNT] * (0.35 + 1.3 * noise(table, x / 60.0, y / 60.0 + 12.0))
    # Corners between three cells fill up: vacuoles are round.
    wall += 0.06 * p[_SCALE] * smooth(0.50, 0.72, near / p[_SCALE]) + 0.5
    inside = smooth(wall * 0.6, wall + 1.8, far - near)
    fine = noise(table, x / 3.3, y / 3.3)
    e = p[_EOSIN] * (0.7 + 0.5 * fine) * (1.0 - inside) + 0.012 * inside
    h = p[_HAEM] * (0.6 + 0.8 * fine) * (1.0 - inside) + 0.012 * inside
    return h, e


@njit(cache=True, nogil=True)
def _lymphoid(p: Row, table: Table, x: float, y: float) -> tuple[float, float]:
    broad = fractal(table, x / p[_SCALE] + p[_OX], y / p[_SCALE])
    fine = noise(table, x / 3.4, y / 3.4)
    gap = 1.0 - smooth(p[_AMOUNT] - 0.05, p[_AMOUNT] + 0.05, noise(table, x / 17.0, y / 17.0 + 21.0))
    e = p[_EOSIN] * (0.6 + 0.6 * broad + p[_GRAIN] * (fine - 0.5)) * (1.0 - 0.7 * gap)
    h = p[_HAEM] * (0.7 + 0.7 * broad + 0.4 * (fine - 0.5)) * (1.0 - 0.7 * gap)
    return h, e


@njit(cache=True, nogil=True)
def _mucin(p: Row, table: Table, x: float, y: float) -> tuple[float, float]:
    scale = p[_SCALE]
    a = fractal(table, x / scale + p[_OX], y / scale + p[_OY])
    b = fractal(table, x / scale + p[_OY], y / scale + 53.0)
    u, v = along(p, table, x, y)
    wisp = noise(table, u / 85.0 + 3.0 * a, v / 8.5 + 5.0 * b)
    thread = smooth(0.52, 0.92, wisp) * smooth(0.3, 0.7, noise(table, x / 110.0, y / 110.0 + 5.0))
    fine = noise(table, x / 5.0 + 5.0 * a, y / 5.0 + 5.0 * b)
    h = p[_HAEM] * (0.10 + 1.25 * a + 0.55 * thread + 0.5 * p[_GRAIN] * (fine - 0.5))
    e = p[_EOSIN] * (0.15 + 1.1 * b + 0.8 * thread + 0.5 * p[_GRAIN] * (fine - 0.5))
    septum = 1.0 - smooth(0.01, 0.045, abs(2.0 * noise(table, u / 420.0, v / 150.0 + p[_OX]) - 1.0))
    return h, e + 0.34 * septum * fine * smooth(0.3, 0.6, b)


@njit(cache=True, nogil=True)
def _necrosis(p: Row, table: Table, x: float, y: float) -> tuple[float, float]:
    broad = fractal(table, x / 60.0 + p[_OX], y / 60.0 + p[_OY])
    clump = noise(table, x / 8.0, y / 8.0 + 63.0)
    grain = noise(table, x / 2.4, y / 2.4) - 0.5
    dust = noise(table, x / 1.4 + 7.0, y / 1.4) - 0.5
    near, far, i, j = worley(p[_SEED], x, y, p[_SCALE], 0.8)
    # Ghosts: outlines of cells whose nuclei have faded.
    outline = (1.0 - smooth(0.5, 3.0, far - near)) * p[_AMOUNT]
    ghost = (1.0 - smooth(0.16, 0.26, near / p[_SCALE])) * hash01(p[_SEED], i, j, 9)
    e = p[_EOSIN] * (0.48 + 0.45 * broad + 0.45 * (clump - 0.3) + p[_GRAIN] * (0.8 * grain + 0.5 * dust))
    e *= 1.0 - 0.35 * outline
    h = p[_HAEM] * (0.5 + 0.8 * clump + p[_GRAIN] * (grain + dust)) + 0.20 * ghost
    crack = 1.0 - smooth(0.01, 0.05, abs(2.0 * fractal(table, x / 120.0, y / 120.0 + 9.0) - 1.0))
    crack *= smooth(0.52, 0.62, noise(table, x / 85.0 + 15.0, y / 85.0))
    return max(h, 0.0) * (1.0 - 0.45 * crack), max(e, 0.03) * (1.0 - 0.45 * crack)


@njit(cache=True, nogil=True)
def nest_depth(p: Row, table: Table, x: float, y: float) -> float:
    """Distance (px) inside a tumour nest from the strand of stroma around it; negative within the strand."""
    wx = x + 60.0 * (noise(table, x / 75.0, y / 75.0 + p[_OX]) - 0.5)
    wy = y + 60.0 * (noise(table, x / 75.0 + p[_OY], y / 75.0) - 0.5)
    near, far, _, _ = worley(p[_SEED] + 1.0, wx, wy, p[_SCALE], 0.8)
    width = p[_AMOUNT] * (0.4 + 1.2 * noise(table, x / 130.0 + 31.0, y / 130.0))
    depth: float = far - near - width
    return depth


@njit(cache=True, nogil=True)
def _tumour(p: Row, table: Table, x: float, y: float) -> tuple[float, float]:
    depth = nest_depth(p, table, x, y)
    if depth < 0.0:
        return _fibres(p, table, x, y, 7.0, 0.30)
    near, far, i, j = worley(p[_SEED], x, y, p[_PITCH], 0.72)
    fine = noise(table, x / 3.0, y / 3.0)
    cell = 0.8 + 0.4 * hash01(p[_SEED], i, j, 11)
    border = 1.0 - smooth(0.3, 2.2, far - near)
    retraction = 1.0 - smooth(0.0, 3.0, depth)
    e = p[_EOSIN] * (cell + p[_GRAIN] * (fine - 0.5)) * (1.0 - 0.25 * border) * (1.0 - 0.6 * retraction)
    h = p[_HAEM] * (cell + 0.6 * (fine - 0.5)) * (1.0 - 0.5 * retraction)
    return h, e


@njit(cache=True, nogil=True)
def _epithelium(p: Row, table: Table, x: float, y: float) -> tuple[float, float]:
    near, far, i, j = worley(p[_SEED], x, y, p[_PITCH], 0.72)
    _, v = along(p, table, x, y)
    layer = noise(table, 3.0, v / p[_SCALE] + p[_OY])
    fine = noise(table, x / 3.2, y / 3.2)
    bridge = noise(table, x / 1.9, y / 1.9 + 33.0)
    gap = (1.0 - smooth(0.4 * p[_AMOUNT], 1.3 * p[_AMOUNT], far - near)) * (0.55 + 0.6 * bridge)
    halo = (1.0 - smooth(0.24, 0.36, near / p[_PITCH])) * hash01(p[_SEED], i, j, 12)
    cell = 0.85 + 0.3 * hash01(p[_SEED], i, j, 11)
    e = p[_EOSIN] * (0.6 + 0.6 * layer + p[_GRAIN] * (fine - 0.5)) * cell
    e *= (1.0 - 0.62 * gap) * (1.0 - 0.45 * halo)
    h = p[_HAEM] * (1.25 - 0.6 * layer + 0.4 * (fine - 0.5)) * cell * (1.0 - 0.5 * gap) * (1.0 - 0.4 * halo)
    return h, e


@njit(cache=True, nogil=True)
def ground_at(p: Row, table: Table, x: float, y: float) -> tuple[float, float]:
    """(haematoxylin, eosin) of the region's ground substance at a place."""
    kind = int(p[0])
    if kind == 1:
        return _glands(p, table, x, y)
    if kind == 2:
        return _fibres(p, table, x, y, p[_SCALE], p[_AMOUNT])
    if kind == 3:
        return _fat(p, table, x, y)
    if kind == 4:
        return _lymphoid(p, table, x, y)
    if kind == 5:
        return _mucin(p, table, x, y)
    if kind == 6:
        return _necrosis(p, table, x, y)
    if kind == 7:
        return _muscle(p, table, x, y)
    if kind == 8:
        return _tumour(p, table, x, y)
    return _epithelium(p, table, x, y)


@njit(cache=True, nogil=True)
def _inner(regions: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Map pixels so far from every border that `region_at` finds their own region whatever its warp."""
    rows, columns = regions.shape
    out = np.zeros((rows, columns), np.bool_)
    for j in range(2, rows - 2):
        for i in range(2, columns - 2):
            same = True
            for b in range(-2, 3):
                for a in range(-2, 3):
                    same = same and regions[j + b, i + a] == regions[j, i]
            out[j, i] = same
    return out


@njit(cache=True, nogil=True)
def paint_ground(
    x0: int, y0: int, regions: NDArray[np.int16], map_px: float, params: NDArray[np.float64], table: Table,
    haematoxylin: NDArray[np.float32], eosin: NDArray[np.float32],
) -> None:  # fmt: skip
    """Fill both planes (h, w) for the block whose upper left corner is (x0, y0)."""
    j0, i0 = max(math.floor(y0 / map_px) - 2, 0), max(math.floor(x0 / map_px) - 2, 0)
    j1 = math.floor((y0 + eosin.shape[0]) / map_px) + 3
    i1 = math.floor((x0 + eosin.shape[1]) / map_px) + 3
    sure = _inner(regions[j0:j1, i0:i1])
    for j in range(eosin.shape[0]):
        y = float(y0 + j)
        b = math.floor(y / map_px) - j0
        for i in range(eosin.shape[1]):
            x = float(x0 + i)
            a = math.floor(x / map_px) - i0
            if 0 <= b < sure.shape[0] and 0 <= a < sure.shape[1] and sure[b, a]:
                r = int(regions[b + j0, a + i0])
            else:
                r = region_at(regions, map_px, table, x, y)
            if r < 0:
                haematoxylin[j, i] = 0.0
                eosin[j, i] = 0.0
            else:
                h, e = ground_at(params[r], table, x, y)
                haematoxylin[j, i] = h
                eosin[j, i] = e
