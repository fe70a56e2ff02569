"""Spatial suppression: no two picks nearer to each other than a distance in level-0 pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Spacing"]


class Spacing:
    """Which places are too near to what was picked. Near is nearer than `least` along x and along y."""

    def __init__(self, coords: NDArray[np.int32], least: tuple[float, float]) -> None:
        self._coords = coords.astype(np.int64)
        # Corners of a grid whose step is no whole number are rounded, so that a step may be 1 px short.
        self._least = np.array([each - 1 if each > 1 else each for each in least])
        self.blocked = np.zeros(len(coords), bool)

    def pick(self, place: int) -> None:
        """Take a place: those around it are blocked."""
        if (self._least > 0).all():
            apart = np.abs(self._coords - self._coords[place])
            self.blocked |= (apart < self._least).all(axis=1)
