"""Near-duplicates: a patch too like an earlier pick is dropped by chance, the more likely the more alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["NearDuplicates", "drop_probability"]


def drop_probability(cosine: float, near: float) -> float:
    """0 up to a cosine of `near`, from there in a straight line to 1 at a cosine of 1; 0 where `near` is 1."""
    if near >= 1 or cosine <= near:
        return 0.0
    return min(1.0, (cosine - near) / (1.0 - near))


class NearDuplicates:
    """Compares each candidate with the picks so far, at most `most` of them."""

    def __init__(self, near: float, most: int, dim: int) -> None:
        self._near = near
        self._picked = np.empty((most, dim), np.float32)
        self._count = 0

    def drops(self, unit: NDArray[np.float32], chance: float) -> bool:
        """Whether the candidate goes; `chance` is its own uniform number in [0, 1)."""
        if not self._count:
            return False
        nearest = float((self._picked[: self._count] @ unit).max())
        return chance < drop_probability(nearest, self._near)

    def pick(self, unit: NDArray[np.float32]) -> None:
        """Take the candidate."""
        self._picked[self._count] = unit
        self._count += 1
