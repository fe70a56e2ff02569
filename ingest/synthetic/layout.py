"""What lies where on a slide: tissue outline, regions of tissue, pen mark, blurred area, dust, stain.

A slide's plan depends on (seed, its number, its patient, size, needle) alone, so slides can be made in any
order, and a slide of a larger atlas equals the one of a smaller.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from slidelake.ingest.synthetic.noise import fractal, hash01, noise, noise_table, smooth
from slidelake.ingest.synthetic.optics import Optics
from slidelake.ingest.synthetic.tissues import CLASS_NAMES, CLASSES, draw_region, patient_factors

__all__ = ["CELL", "MAP_PX", "SlidePlan", "cell_shares", "plan_slide"]

#: Level-0 pixels per pixel of the class map.
MAP_PX = 8
#: Level-0 pixels per cell of the grid that labels are given for.
CELL = 256

_REGION_PITCH = 900.0


@dataclass(frozen=True)
class SlidePlan:
    """Everything that the renderer needs to know of one slide; sizes and places in level-0 px."""

    slide_id: str
    patient_id: str
    width: int
    height: int
    regions: NDArray[np.int16]  # (ceil(h / 8), ceil(w / 8)): row of `params`, −1 background
    params: NDArray[np.float64]  # (R, len(Field))
    boxes: NDArray[np.int64]  # (R, 4): x0, y0, x1, y1
    optics: Optics
    table: NDArray[np.float32]
    metadata: dict[str, str]

    @property
    def classes(self) -> NDArray[np.uint8]:
        """The class map: 0 background, then 1 + index into CLASSES."""
        lookup = np.concatenate([self.params[:, 0], [0.0]]).astype(np.uint8)
        return lookup[self.regions]


def _random(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(list(key))))


@njit(cache=True, nogil=True)
def _draw_map(
    out: NDArray[np.int16], map_px: float, lobes: NDArray[np.float64], pitch: float, seed: float,
    table: NDArray[np.float32],
) -> None:  # fmt: skip
    """Number of the nearest warped Voronoi seed (row-major in its grid) inside the outline, else −1."""
    width, height = out.shape[1] * map_px, out.shape[0] * map_px
    columns = math.ceil(out.shape[1] * map_px / pitch) + 4  # the warp may reach past the edge
    for j in range(out.shape[0]):
        for i in range(out.shape[1]):
            x, y = (i + 0.5) * map_px, (j + 0.5) * map_px
            inside = -1e9
            for k in range(lobes.shape[0]):
                dx, dy = (x - lobes[k, 0]) / lobes[k, 2], (y - lobes[k, 1]) / lobes[k, 3]
                inside = max(inside, 1.0 - dx * dx - dy * dy)
            inside += 0.55 * (fractal(table, x / 620.0, y / 620.0) - 0.5)
            inside += 0.10 * (fractal(table, x / 110.0, y / 110.0 + 51.0) - 0.5)
            margin = min(min(x, width - x), min(y, height - y))
            inside -= 0.7 * (1.0 - smooth(0.0, 0.08 * min(width, height), margin))
            if inside <= 0.0:
                out[j, i] = -1
                continue
            wx = x + 0.62 * pitch * (noise(table, x / (0.55 * pitch) + 11.0, y / (0.55 * pitch)) - 0.5)
            wy = y + 0.62 * pitch * (noise(table, x / (0.55 * pitch), y / (0.55 * pitch) + 83.0) - 0.5)
            wx += 80.0 * (noise(table, x / 95.0, y / 95.0 + 5.0) - 0.5)
            wy += 80.0 * (noise(table, x / 95.0 + 23.0, y / 95.0) - 0.5)
            gi, gj = math.floor(wx / pitch), math.floor(wy / pitch)
            best, number = 1e18, 0
            for b in range(max(gj - 2, 0), gj + 3):
                for a in range(max(gi - 2, 0), gi + 3):
                    px = (a + 0.5 * (b & 1) + 0.3 + 0.8 * (hash01(seed, a, b, 0) - 0.5)) * pitch
                    py = (b + 0.5 + 0.8 * (hash01(seed, a, b, 1) - 0.5)) * pitch
                    d = (wx - px) * (wx - px) + (wy - py) * (wy - py)
                    if d < best:
                        best, number = d, b * columns + a
            out[j, i] = number


@njit(cache=True, nogil=True)
def _plant(
    out: NDArray[np.int16], map_px: float, cx: float, cy: float, region: int, table: NDArray[np.float32]
) -> None:
    """Cover the grid cell around (cx, cy), corners included, with a patch of another region."""
    for j in range(out.shape[0]):
        for i in range(out.shape[1]):
            dx, dy = ((i + 0.5) * map_px - cx) / 160.0, ((j + 0.5) * map_px - cy) / 160.0
            if max(abs(dx), abs(dy)) > 1.2:
                continue
            edge = dx * dx * dx * dx + dy * dy * dy * dy
            if edge < 1.0 + 0.3 * (noise(table, i / 3.0, j / 3.0) - 0.3):
                out[j, i] = region


def cell_shares(classes: NDArray[np.uint8], width: int, height: int) -> NDArray[np.float64]:
    """Share of each class in each whole grid cell: (rows, columns, 1 + classes)."""
    step = CELL // MAP_PX
    rows, columns = height // CELL, width // CELL
    cells = classes[: rows * step, : columns * step].reshape(rows, step, columns, step)
    counts = [(cells == index).sum(axis=(1, 3)) for index in range(len(CLASSES) + 1)]
    shares: NDArray[np.float64] = np.stack(counts, axis=-1) / (step * step)
    return shares


def _stain(
    generator: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Optical density per unit of haematoxylin and of eosin, and the white point, of one staining.

    Both hues run between published vectors (Ruifrok & Johnston 2001; Macenko et al. 2009) and somewhat
    beyond; strengths differ twofold, as between laboratories.
    """
    t, u = generator.random(), generator.random()
    blue, purple = np.array([0.72, 0.63, 0.28]), np.array([0.44, 0.78, 0.46])
    pink, orange = np.array([0.13, 0.89, 0.40]), np.array([0.24, 0.75, 0.62])
    vh = blue + (purple - blue) * t + 0.04 * (generator.random(3) - 0.5)
    ve = pink + (orange - pink) * u + 0.04 * (generator.random(3) - 0.5)
    strength_h, strength_e = 0.70 + 0.80 * generator.random(), 0.50 + 0.70 * generator.random()
    white = np.array([244.0, 243.0, 245.0]) - np.array([8.0, 8.0, 10.0]) * generator.random(3)
    return vh * strength_h, ve * strength_e, white


def _optics(
    generator: np.random.Generator, number: int, width: int, height: int, lobes: NDArray[np.float64]
) -> Optics:
    vh, ve, white = _stain(generator)
    extent = min(width, height)
    count = 12 + int(generator.integers(0, 14))
    dust = np.empty((count, 4))
    dust[:, 0], dust[:, 1] = width * generator.random(count), height * generator.random(count)
    dust[:, 2], dust[:, 3] = 4.0 + 14.0 * generator.random(count), 0.5 + 1.4 * generator.random(count)
    # Every other slide was marked with a pen, every third has an area out of focus; slide 0 has both.
    start = lobes[0, :2] + lobes[0, 2:] * np.array([-1.0, -0.35 + 0.5 * generator.random()])
    end = lobes[0, :2] + lobes[0, 2:] * np.array([-0.25 + 0.3 * generator.random(), -1.0])
    bend = lobes[0, :2] - lobes[0, 2:] * (0.92 + 0.1 * generator.random())
    t = np.linspace(0.0, 1.0, 13)[:, None]
    stroke = (1 - t) * (1 - t) * start + 2 * t * (1 - t) * bend + t * t * end
    inks = np.array([[1.5, 0.75, 0.25], [1.35, 0.35, 0.95], [1.5, 1.5, 1.4]])
    ink = inks[int(generator.integers(0, len(inks)))]
    centre = lobes[0, :2] + lobes[0, 2:] * (0.6 * generator.random(2) - 0.1)
    area = np.concatenate([centre, extent * (0.10 + 0.05 * generator.random(2))])
    return Optics(
        haematoxylin=vh,
        eosin=ve,
        white=white,
        noise=1.2 + 1.3 * generator.random(),
        sharp=0.55 + 0.2 * generator.random(),
        soft=1.0 + 0.6 * generator.random(),
        blurred=area if number % 3 == 0 else np.zeros(0),
        pen=stroke if number % 2 == 0 else np.zeros((0, 2)),
        pen_width=min(34.0 + 22.0 * generator.random(), extent / 30.0),
        ink=ink,
        dust=dust,
        seed=float(generator.integers(1, 2**31)),
    )


def _outline(generator: np.random.Generator, width: int, height: int) -> NDArray[np.float64]:
    """Two overlapping ellipses (centre x, y, half axes) that the noise then frays."""
    r = generator.random(8) - 0.5
    # The second ellipse lies to one side of the first: rarely round, as tissue is.
    first = [0.46 + 0.06 * r[0], 0.48 + 0.06 * r[1], 0.41 + 0.04 * r[2], 0.42 + 0.06 * r[3]]
    second = [0.64 + 0.08 * r[4], 0.50 + 0.44 * r[5], 0.33 + 0.06 * r[6], 0.34 + 0.06 * r[7]]
    if generator.random() < 0.5:
        first[0], second[0] = 1.0 - first[0], 1.0 - second[0]
    lobes: NDArray[np.float64] = np.array([first, second]) * np.array([width, height, width, height])
    return lobes


_SITES = ("colon", "lung", "larynx", "breast", "stomach", "ovary")
_STAGES = ("I", "II", "III", "IV")


def plan_slide(
    *, seed: int, number: int, patient: int, width: int, height: int, needle: Mapping[str, float]
) -> SlidePlan:
    """Plan slide `number` of an atlas; classes in `needle` lie in planted cells alone, at that share."""
    ours, theirs = _random(seed, 2, number), _random(seed, 1, patient)
    factors = patient_factors(theirs)
    table = noise_table(ours)
    lobes = _outline(ours, width, height)
    optics = _optics(ours, number, width, height, lobes)
    pitch = min(_REGION_PITCH, min(width, height) / 3.0)
    cells = np.empty((math.ceil(height / MAP_PX), math.ceil(width / MAP_PX)), np.int16)
    _draw_map(cells, float(MAP_PX), lobes, pitch, float(ours.integers(1, 2**31)), table)
    present = [int(cell) for cell in np.unique(cells) if cell >= 0]
    common = [index + 1 for index, name in enumerate(CLASS_NAMES) if name not in needle]
    deck: list[int] = []
    while len(deck) < len(present):  # shuffled decks: most classes on every slide, none rare by chance
        deck += [common[k] for k in ours.permutation(len(common))]
    params = [draw_region(ours, tissue, factors) for tissue in deck[: len(present)]]
    lookup = np.full(max(present, default=0) + 2, -1, np.int16)  # the last entry is read for −1
    lookup[present] = np.arange(len(present))
    regions = lookup[cells]
    for name, share in needle.items():
        _plant_needles(
            regions, params, ours, factors, CLASS_NAMES.index(name) + 1, share, width, height, table
        )
    who = {
        "site": _SITES[int(theirs.integers(0, len(_SITES)))],
        "stage": _STAGES[int(theirs.integers(0, len(_STAGES)))],
        "age": str(int(theirs.integers(34, 88))),
        "stain_batch": f"batch-{number + 1:02d}",
        "scanner": f"scanner-{'ab'[int(ours.integers(0, 2))]}",
    }
    return SlidePlan(
        slide_id=f"synth{seed}-p{patient + 1:02d}-s{number + 1:02d}",
        patient_id=f"synth{seed}-p{patient + 1:02d}",
        width=width,
        height=height,
        regions=regions,
        params=np.array(params).reshape(len(params), -1),
        boxes=_boxes(regions, len(params)),
        optics=optics,
        table=table,
        metadata=who,
    )


def _boxes(regions: NDArray[np.int16], count: int) -> NDArray[np.int64]:
    boxes = np.zeros((count, 4), np.int64)
    for region in range(count):
        rows, columns = np.nonzero(regions == region)
        if rows.size:  # a planted cell may have covered a region whole
            low = np.array([columns.min(), rows.min()]) * MAP_PX - 2 * MAP_PX
            high = (np.array([columns.max(), rows.max()]) + 3) * MAP_PX
            boxes[region] = [*low, *high]
    return boxes


def _plant_needles(
    regions: NDArray[np.int16], params: list[NDArray[np.float64]], generator: np.random.Generator,
    factors: NDArray[np.float64], tissue: int, share: float, width: int, height: int,
    table: NDArray[np.float32],
) -> None:  # fmt: skip
    step = CELL // MAP_PX
    rows, columns = height // CELL, width // CELL
    inside = (
        (regions[: rows * step, : columns * step] >= 0).reshape(rows, step, columns, step).mean(axis=(1, 3))
    )
    tissue_cells = int((inside >= 0.85).sum())
    # Rounded by chance, so that the share holds over many slides however few cells one has.
    count = int(share * tissue_cells + generator.random())
    candidates = np.argwhere(inside >= 1.0)
    for row, column in generator.permutation(candidates)[:count]:
        params.append(draw_region(generator, tissue, factors))
        x, y = (float(column) + 0.5) * CELL, (float(row) + 0.5) * CELL
        _plant(regions, float(MAP_PX), x, y, len(params) - 1, table)
