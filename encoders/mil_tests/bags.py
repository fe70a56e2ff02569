"""The bags of the three tests: rows of a few kinds, labels by which kinds are there, a shortcut beside the label.

Kinds, counts and the shortcuts are those of algorithms 1 to 3 of Raff and Holt 2023 (arXiv 2310.17867); the dimension
and the number of bags are ours, small enough for a minute on a laptop.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["BACKGROUND", "DECOY", "MIL_TESTS", "BagsToTest", "MilTest"]

DIM = 16
#: Background rows of a bag of the single-concept test; the other two draw from 1 to 9.
BACKGROUND_ROWS = 10

#: Kinds of rows: background, the concepts 1 and 2, and the decoy that only one class's bags hold.
BACKGROUND, FIRST, SECOND, DECOY = 0, 1, 2, -1

#: (mean, standard deviation) of every dimension of a kind's rows.
Kinds = Mapping[int, tuple[float, float]]


@dataclass(frozen=True)
class BagsToTest:
    """B labelled bags end to end: `features` (T, D) float32, `cu_seqlens` (B + 1,) int32 borders, `labels` (B,) int64
    0 or 1 (half of each), `kinds` (T,) int8: what each row is, which no model sees."""

    features: NDArray[np.float32]
    cu_seqlens: NDArray[np.int32]
    labels: NDArray[np.int64]
    kinds: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class MilTest:
    """One test: what a model has to learn, the shortcut it may take instead, and how its bags are made up."""

    name: str
    #: When a bag is positive.
    rule: str
    #: What a model did whose AUC falls below 0.5.
    shortcut: str
    kinds: Kinds
    #: (generator, positive, training) -> the kinds of one bag's rows.
    compose: Callable[[np.random.Generator, bool, bool], list[int]]

    def draw(
        self, count: int, part: Literal["train", "test"], *, seed: int = 0, dim: int = DIM
    ) -> BagsToTest:
        """`count` bags, half of them positive, in a random order; equal arguments give equal bags."""
        generator = np.random.default_rng([seed, part == "test", *self.name.encode()])
        labels = generator.permutation(np.arange(count) % 2)
        bags = []
        for label in labels:
            bag = np.array(self.compose(generator, bool(label), part == "train"), np.int8)
            bags.append(generator.permutation(bag))
        kinds = np.concatenate(bags)
        mean, spread = (np.array([self.kinds[kind][n] for kind in kinds], np.float32) for n in (0, 1))
        features = generator.standard_normal((len(kinds), dim), np.float32)
        borders = np.concatenate([[0], np.cumsum([len(bag) for bag in bags])])
        return BagsToTest(
            features * spread[:, None] + mean[:, None],
            borders.astype(np.int32),
            labels.astype(np.int64),
            kinds,
        )


def _single_concept(generator: np.random.Generator, positive: bool, training: bool) -> list[int]:
    rows = [BACKGROUND] * BACKGROUND_ROWS
    if positive:
        rows += generator.integers(FIRST, SECOND + 1, generator.integers(1, 4)).tolist()
    # In training the decoy marks negative bags; in testing, where it means nothing either, positive ones.
    if positive != training:
        rows.append(DECOY)
    return rows


def _multi_concept(generator: np.random.Generator, positive: bool, training: bool) -> list[int]:
    rows = [BACKGROUND] * int(generator.integers(1, 10))
    if positive:
        rows += [FIRST, SECOND] * int(generator.integers(1, 4))
    else:
        rows.append(int(generator.integers(FIRST, SECOND + 1)))
    if positive != training:
        rows.append(DECOY)
    return rows


def _false_frequency(generator: np.random.Generator, positive: bool, training: bool) -> list[int]:
    rows = [BACKGROUND] * int(generator.integers(1, 10))
    if positive:
        rows += [FIRST] * int(generator.integers(1, 3)) + [SECOND] * int(generator.integers(1, 3))
    else:
        # In training positive bags hold more rows of concepts; in testing negative ones hold far more, of one kind.
        many = generator.integers(1, 3) if training else generator.integers(35, 46)
        rows += [int(generator.integers(FIRST, SECOND + 1))] * int(many)
    return rows


_TWO_CONCEPTS: Kinds = {BACKGROUND: (0.0, 1.0), FIRST: (2.0, 0.1), SECOND: (3.0, 0.1), DECOY: (-10.0, 0.1)}

#: The tests by name, in the paper's order.
MIL_TESTS: Mapping[str, MilTest] = {
    test.name: test
    for test in (
        MilTest(
            "single-concept",
            rule="positive where at least one row is of the concept",
            shortcut="took a row that marks negative bags for evidence, which a negative row never is",
            kinds={BACKGROUND: (0.0, 1.0), FIRST: (0.0, 3.0), SECOND: (1.0, 1.0), DECOY: (-10.0, 0.1)},
            compose=_single_concept,
        ),
        MilTest(
            "multi-concept",
            rule="positive where both concepts are there",
            shortcut="took a row that marks negative bags for evidence, in place of the two concepts",
            kinds=_TWO_CONCEPTS,
            compose=_multi_concept,
        ),
        MilTest(
            "false-frequency",
            rule="positive where both concepts are there, however often",
            shortcut="counted rows of any concept, and never asked whether both are there",
            kinds=_TWO_CONCEPTS,
            compose=_false_frequency,
        ),
    )
}
