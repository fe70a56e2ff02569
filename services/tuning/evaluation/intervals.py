"""Intervals by patient: patients are drawn with replacement, and with each all of its answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["Patients"]

Floats = npt.NDArray[np.float64]
_LEVEL = 0.95


class Patients:
    """The bootstrap draws of the patients of some answers: how often each answer's patient is in each draw.

    `draws` 0: no intervals. The same for a seed.
    """

    def __init__(self, patients: Sequence[str], *, draws: int = 1000, seed: int = 0) -> None:
        names, numbers = np.unique(np.array(patients, np.str_), return_inverse=True)
        self.count = len(names)
        self._numbers = numbers.reshape(-1)
        generator = np.random.default_rng(seed)
        several = max(self.count, 1)
        self._counts = generator.multinomial(several, np.full(several, 1 / several), size=draws)

    def sums(self, values: Floats) -> tuple[Floats, Floats]:
        """(n, V) per answer to (V,) over all and (draws, V) of each draw."""
        by_patient = np.zeros((self.count, values.shape[1]))
        np.add.at(by_patient, self._numbers, values)
        return by_patient.sum(axis=0), self._counts @ by_patient

    def mean(self, values: Sequence[float] | Floats) -> tuple[float, float | None, float | None]:
        """The mean over the answers that have a value (not NaN), and the ends of its 95 % interval."""
        given = np.asarray(values, np.float64)
        there = np.isfinite(given)
        columns = np.column_stack([np.where(there, given, 0.0), there.astype(np.float64)])
        return self.statistic(columns, lambda sums: float(sums[0] / sums[1]) if sums[1] > 0 else float("nan"))

    def statistic(
        self, values: Floats, of: Callable[[Floats], float]
    ) -> tuple[float, float | None, float | None]:
        """A figure of sums: `of` gets the (V,) sums of (n, V) values, over all answers and of each draw."""
        whole, drawn = self.sums(values)
        value = of(whole)
        several = np.array([of(each) for each in drawn])
        several = several[np.isfinite(several)]
        if not len(several) or self.count < 2:
            return value, None, None
        low, high = np.quantile(several, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
        return value, float(low), float(high)
