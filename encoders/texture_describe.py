"""One patch to one row of raw measures: which measure is taken of which plane at which scale."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slidelake.encoders.texture_colour import LEVELS, SOFT, coarse_joint, colour_levels, soft_histograms
from slidelake.encoders.texture_measures import CHORDS, EDGES, SHAPES, chords, correlation, edges, shapes
from slidelake.encoders.texture_patterns import OVER, PATTERNS, UNIFORM, patterns, patterns_over
from slidelake.encoders.texture_planes import halve, stain_planes
from slidelake.encoders.texture_stains import CODES, FINE_CENTRES, FINE_OF_STEP, stain_angles, unmix

__all__ = ["BLOCKS", "RAW_DIM", "Block", "describe"]

#: Distances of the correlation, in pixels of the scale.
LAGS = np.array([1, 2, 4, 8])
_CORRELATION = 3 + len(LAGS)


@dataclass(frozen=True, slots=True)
class Block:
    """A run of measures of one kind: `scale` 0 is the patch as it is, each further one halves it."""

    name: str
    length: int
    scale: int


def _blocks() -> tuple[Block, ...]:
    blocks = [
        Block("soft-colour", SOFT, 0),
        Block("levels", LEVELS, 0),
        Block("lumen", CHORDS, 0),
        Block("patterns-over-nuclei", OVER, 0),
    ]
    for scale in (1, 2):
        blocks += [
            Block("patterns-over-nuclei", OVER, scale),
            Block("patterns", 3 * PATTERNS, scale),
            Block("edges", 3 * EDGES, scale),
            Block("shapes", SHAPES, scale),
        ]
    blocks += [Block("regions", 36, 2)]
    blocks += [Block("correlation", 3 * _CORRELATION, scale) for scale in (1, 2, 3)]
    return tuple(blocks)


#: The blocks of a raw row in order.
BLOCKS = _blocks()
RAW_DIM = sum(block.length for block in BLOCKS)


def describe(patch: npt.NDArray[np.uint8], out: npt.NDArray[np.float64]) -> None:
    """Write the RAW_DIM measures of one (H, W, 3) uint8 patch, sides of 32 px and more, into `out`.

    Plain Python between compiled steps: numba keeps a compiled function by its own file's date, and would not see
    that a step in another file has changed. The steps hold no lock of the interpreter.
    """
    steps, joint = unmix(patch, CODES, FINE_OF_STEP)
    planes, levels = stain_planes(steps, *stain_angles(joint))
    half = halve(planes)
    quarter = halve(half)
    scales = (planes, half, quarter, halve(quarter))
    place = 0
    for block in BLOCKS:
        part = out[place : place + block.length]
        place += block.length
        coarse = scales[block.scale]
        match block.name:
            case "soft-colour":
                soft_histograms(joint, FINE_CENTRES, levels, part)
            case "levels":
                colour_levels(levels, part)
            case "lumen":
                chords(coarse[2], 40, part)
            case "patterns-over-nuclei":
                patterns_over(coarse[2], coarse[0], UNIFORM, part)
            case "patterns":
                for number in range(3):
                    patterns(coarse[number], UNIFORM, part[number * PATTERNS :])
            case "edges":
                for number in range(3):
                    edges(coarse[number], part[number * EDGES : (number + 1) * EDGES])
            case "shapes":
                shapes(coarse[0], part)
            case "regions":
                coarse_joint(coarse[0], coarse[1], part)
            case "correlation":
                for number in range(3):
                    correlation(coarse[number], LAGS, part[number * _CORRELATION :])
