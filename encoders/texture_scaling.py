"""From raw measures to the row that is stored: centred, scaled, weighed, of length 1.

Centre, spread and steadiness of each measure are constants (texture_constants.py), learnt once without labels by
`python -m benchmarks.tune_stain_texture`, from patches of the synthetic atlas of seed 1 and of two real slides,
each shown as it is and in shifted stains. What moves with the stain counts for less, in the measure in which it
does; the weights of the blocks below are the only figures set by hand.
"""

import functools

import numpy as np
import numpy.typing as npt

from slidelake.encoders.texture_describe import BLOCKS, RAW_DIM

__all__ = ["LIMIT", "WEIGHTS", "learn", "row_scale", "scaled_row"]

#: A measure further than this many spreads from its centre says no more than that.
LIMIT = 3.0

#: Say of each block (name, scale) in the cosine, equal parts of a block one by one. Texture at half and quarter
#: size carries most; colour that keeps its strength is held below colour that gives it up.
WEIGHTS: dict[tuple[str, int], tuple[float, ...]] = {
    ("soft-colour", 0): (1.4, 0.7, 1.0, 0.5),
    ("levels", 0): (1.0,),
    ("lumen", 0): (1.4,),
    ("patterns-over-nuclei", 0): (0.4,),
    ("patterns-over-nuclei", 1): (0.4,),
    ("patterns-over-nuclei", 2): (0.4,),
    ("patterns", 1): (1.0, 1.6, 1.0),
    ("patterns", 2): (1.4, 2.2, 1.4),
    ("edges", 1): (0.4, 0.4, 0.4),
    ("edges", 2): (0.5, 0.5, 0.5),
    ("shapes", 1): (0.6,),
    ("shapes", 2): (0.85,),
    ("regions", 2): (0.3,),
    ("correlation", 1): (0.6, 0.6, 0.6),
    ("correlation", 2): (0.85, 0.85, 0.85),
    ("correlation", 3): (0.45, 0.45, 0.45),
}

#: Statistics over few pixels are noise: a block whose plane has n pixels counts n / (n + this).
_FEW_PIXELS = 24.0**2


def learn(
    plain: npt.NDArray[np.float64], shifted: list[npt.NDArray[np.float64]]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Centre, 1 / spread and steadiness (RAW_DIM,) from raw rows (N, RAW_DIM) and the same in other stains.

    Steadiness = 1 − (variance that the stain makes) / (variance among patches), not below 0, divided by the root
    mean square that its part of a block then has: parts of all lengths start equal.
    """
    centre = plain.mean(0)
    spread = plain.std(0) + 1e-3
    # A difference of two has twice the variance of one.
    moved = np.mean([((other - plain) ** 2).mean(0) for other in shifted], axis=0) / 2.0
    steady = np.clip(1.0 - moved / spread**2, 0.0, 1.0)
    scores = np.clip((plain - centre) / spread, -LIMIT, LIMIT) * steady
    for part in _parts():
        steady[part] /= np.sqrt((scores[:, part] ** 2).sum(1).mean())
    return centre, 1.0 / spread, steady


@functools.lru_cache(maxsize=64)
def row_scale(height: int, width: int) -> npt.NDArray[np.float64]:
    """(RAW_DIM,) weight of each measure for patches of this size."""
    from slidelake.encoders.texture_constants import STEADINESS

    scale = STEADINESS.copy()
    parts = iter(_parts())
    for block in BLOCKS:
        pixels = (height >> block.scale) * (width >> block.scale)
        for weight in WEIGHTS[block.name, block.scale]:
            scale[next(parts)] *= weight * pixels / (pixels + _FEW_PIXELS)
    scale.setflags(write=False)
    return scale


def scaled_row(raw: npt.NDArray[np.float64], height: int, width: int) -> npt.NDArray[np.float64]:
    """Raw measures (RAW_DIM,) of one patch of that size to a row of length 1."""
    from slidelake.encoders.texture_constants import CENTRE, INVERSE_SPREAD

    row = np.clip((raw - CENTRE) * INVERSE_SPREAD, -LIMIT, LIMIT) * row_scale(height, width)
    scaled: npt.NDArray[np.float64] = row / np.sqrt((row * row).sum())
    return scaled


def _parts() -> list[slice]:
    parts = []
    place = 0
    for block in BLOCKS:
        count = len(WEIGHTS[block.name, block.scale])
        length = block.length // count
        parts += [slice(place + number * length, place + (number + 1) * length) for number in range(count)]
        place += block.length
    if place != RAW_DIM:
        raise ValueError(f"the blocks hold {place} measures, not {RAW_DIM}")
    return parts
