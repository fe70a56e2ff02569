"""The tissue classes: their names, their colours in the truth, and the ranges that regions are drawn from.

Ranges overlap between classes on purpose: amount of eosin and haematoxylin, nuclear size and density of one
class are found in others too, so that only how they are arranged tells the classes apart.
Lengths are level-0 pixels of half a µm.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

__all__ = ["BACKGROUND", "CLASSES", "CLASS_NAMES", "Field", "Tissue", "draw_region", "patient_factors"]

BACKGROUND = 0


class Field(IntEnum):
    """Columns of the region table that the renderer reads (float64)."""

    TISSUE = 0  # class index
    EOSIN = 1  # amount in the ground substance
    HAEMATOXYLIN = 2  # amount in the ground substance
    PITCH = 3  # distance of nuclei
    DENSITY = 4  # share of the places that hold a nucleus
    RADIUS = 5  # short half axis of a nucleus
    SPREAD = 6  # relative spread of the radius
    ELONGATION = 7  # long over short axis
    CHROMATIN = 8  # haematoxylin in a nucleus
    VESICULAR = 9  # 0 solid … 1 pale inside, dark rim
    NUCLEOLI = 10  # share of nuclei with a nucleolus
    SCALE = 11  # of the architecture: gland, fat cell, nest, fibre
    AMOUNT = 12  # of its second part: epithelium height, membrane, strand width, cleft share
    WAVE = 13  # waviness of fibres
    GRAIN = 14  # strength of the fine texture
    DIRECTION_X = 15
    DIRECTION_Y = 16
    SEED = 17
    OFFSET_X = 18  # into the noise table, so that regions of one class differ
    OFFSET_Y = 19


Range = tuple[float, float]


@dataclass(frozen=True)
class Tissue:
    """One class: name, colour in the truth (RGB), and a (low, high) for each drawn field."""

    name: str
    colour: tuple[int, int, int]
    eosin: Range
    haematoxylin: Range
    pitch: Range
    density: Range
    radius: Range
    spread: Range
    elongation: Range
    chromatin: Range
    vesicular: Range
    nucleoli: Range
    scale: Range
    amount: Range
    wave: Range = (0.0, 0.0)
    grain: Range = (0.2, 0.45)

    def ranges(self) -> list[Range]:
        """In the order of `Field`, from EOSIN to GRAIN."""
        return [
            self.eosin,
            self.haematoxylin,
            self.pitch,
            self.density,
            self.radius,
            self.spread,
            self.elongation,
            self.chromatin,
            self.vesicular,
            self.nucleoli,
            self.scale,
            self.amount,
            self.wave,
            self.grain,
        ]


#: Index 1…; 0 is background. The order is part of the frozen atlas: append only.
CLASSES: tuple[Tissue, ...] = (
    Tissue(
        "glands", (220, 60, 60),
        eosin=(0.40, 0.75), haematoxylin=(0.10, 0.26), pitch=(26, 40), density=(0.35, 0.75),
        radius=(4.2, 5.6), spread=(0.10, 0.25), elongation=(1.6, 2.5), chromatin=(0.85, 1.35),
        vesicular=(0.1, 0.6), nucleoli=(0.0, 0.25), scale=(150, 250), amount=(30, 46), wave=(0.5, 1.4),
    ),
    Tissue(
        "stroma", (240, 160, 60),
        eosin=(0.45, 0.95), haematoxylin=(0.06, 0.22), pitch=(34, 58), density=(0.45, 0.85),
        radius=(2.6, 4.2), spread=(0.15, 0.35), elongation=(3.0, 5.5), chromatin=(0.75, 1.30),
        vesicular=(0.0, 0.3), nucleoli=(0.0, 0.05), scale=(5, 10), amount=(0.20, 0.36), wave=(0.7, 1.6),
    ),
    Tissue(
        "fat", (245, 225, 90),
        eosin=(0.45, 0.90), haematoxylin=(0.05, 0.20), pitch=(34, 60), density=(0.4, 0.8),
        radius=(2.4, 4.0), spread=(0.15, 0.3), elongation=(2.0, 4.0), chromatin=(0.8, 1.3),
        vesicular=(0.0, 0.2), nucleoli=(0.0, 0.0), scale=(78, 140), amount=(3.0, 7.0),
    ),
    Tissue(
        "lymphocytes", (70, 70, 200),
        eosin=(0.20, 0.65), haematoxylin=(0.08, 0.28), pitch=(12.8, 18), density=(0.78, 0.98),
        radius=(4.6, 6.2), spread=(0.06, 0.16), elongation=(1.0, 1.2), chromatin=(0.75, 1.35),
        vesicular=(0.0, 0.3), nucleoli=(0.0, 0.1), scale=(60, 140), amount=(0.14, 0.28),
    ),
    Tissue(
        "mucin", (110, 190, 220),
        eosin=(0.10, 0.48), haematoxylin=(0.10, 0.42), pitch=(20, 30), density=(0.5, 0.9),
        radius=(4.2, 6.4), spread=(0.12, 0.3), elongation=(1.0, 1.5), chromatin=(0.85, 1.35),
        vesicular=(0.0, 0.5), nucleoli=(0.0, 0.2), scale=(70, 150), amount=(0.60, 0.70), wave=(0.8, 1.8),
    ),
    Tissue(
        "necrosis", (130, 110, 100),
        eosin=(0.45, 0.95), haematoxylin=(0.08, 0.30), pitch=(15, 24), density=(0.35, 0.75),
        radius=(1.5, 2.8), spread=(0.35, 0.6), elongation=(1.0, 1.5), chromatin=(0.6, 1.25),
        vesicular=(0.0, 0.3), nucleoli=(0.0, 0.0), scale=(22, 36), amount=(0.2, 0.5), grain=(0.4, 0.8),
    ),
    Tissue(
        "muscle", (170, 70, 140),
        eosin=(0.50, 1.00), haematoxylin=(0.06, 0.22), pitch=(32, 52), density=(0.45, 0.85),
        radius=(2.8, 4.2), spread=(0.1, 0.25), elongation=(3.0, 5.0), chromatin=(0.7, 1.25),
        vesicular=(0.1, 0.5), nucleoli=(0.0, 0.1), scale=(11, 22), amount=(0.10, 0.20), wave=(0.10, 0.45),
    ),
    Tissue(
        "tumour", (130, 30, 30),
        eosin=(0.35, 0.75), haematoxylin=(0.12, 0.32), pitch=(19.5, 29), density=(0.75, 0.98),
        radius=(6.4, 9.4), spread=(0.22, 0.42), elongation=(1.1, 1.6), chromatin=(0.65, 1.15),
        vesicular=(0.4, 1.0), nucleoli=(0.5, 0.95), scale=(130, 240), amount=(12, 30), wave=(0.5, 1.2),
    ),
    Tissue(
        "epithelium", (80, 170, 90),
        eosin=(0.40, 0.90), haematoxylin=(0.08, 0.26), pitch=(27, 42), density=(0.85, 1.0),
        radius=(4.6, 6.6), spread=(0.08, 0.18), elongation=(1.0, 1.4), chromatin=(0.7, 1.25),
        vesicular=(0.2, 0.7), nucleoli=(0.05, 0.3), scale=(200, 400), amount=(1.6, 3.2), wave=(0.1, 0.4),
    ),
)  # fmt: skip

CLASS_NAMES: tuple[str, ...] = tuple(tissue.name for tissue in CLASSES)

# What a patient's morphology multiplies: everyone's nuclei and architecture differ a little.
_PATIENT_VARIES = {
    Field.PITCH: 0.10,
    Field.RADIUS: 0.08,
    Field.ELONGATION: 0.08,
    Field.CHROMATIN: 0.10,
    Field.SCALE: 0.12,
    Field.DENSITY: 0.08,
}


def patient_factors(generator: np.random.Generator) -> NDArray[np.float64]:
    """Factor per field (len(Field),) by which this patient's tissue differs from the average."""
    factors = np.ones(len(Field))
    for field, width in _PATIENT_VARIES.items():
        factors[field] = 1.0 + width * (2.0 * generator.random() - 1.0)
    return factors


def draw_region(
    generator: np.random.Generator, tissue_index: int, factors: NDArray[np.float64]
) -> NDArray[np.float64]:
    """One row of the region table for class `tissue_index` (1…)."""
    row = np.zeros(len(Field))
    row[Field.TISSUE] = tissue_index
    for field, (low, high) in zip(
        range(Field.EOSIN, Field.GRAIN + 1), CLASSES[tissue_index - 1].ranges(), strict=True
    ):
        row[field] = low + (high - low) * generator.random()
    row *= np.where(np.arange(len(Field)) == Field.TISSUE, 1.0, factors)
    row[Field.DENSITY] = min(row[Field.DENSITY], 1.0)
    # A direction without trigonometry: t ↦ ((1 − t²), 2t) / (1 + t²) runs over the half circle.
    t = 2.0 * generator.random() - 1.0
    row[Field.DIRECTION_X] = (1.0 - t * t) / (1.0 + t * t)
    row[Field.DIRECTION_Y] = 2.0 * t / (1.0 + t * t)
    row[Field.SEED] = float(generator.integers(1, 2**31))
    row[Field.OFFSET_X], row[Field.OFFSET_Y] = 200.0 * generator.random(), 200.0 * generator.random()
    return row
