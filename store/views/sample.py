"""A seeded sample of a cohort's rows, read without the rest."""

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slidelake.store.views.blocks import Block, lazy_array

if TYPE_CHECKING:
    from slidelake.store.views.cohort import Cohort

__all__ = ["draw"]


def draw(cohort: "Cohort", count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(n,) numbers of rows of the cohort, ascending, and the (n, D) rows; n is `count`, or all rows there are."""
    numbers = np.arange(len(cohort))
    if count < len(cohort):
        rng = np.random.default_rng(seed)
        numbers = np.sort(rng.choice(len(cohort), count, replace=False, shuffle=False))
    starts = np.cumsum([0, *map(len, cohort.blocks)])
    which = np.searchsorted(starts, numbers, side="right") - 1
    edges = [0, *(np.flatnonzero(np.diff(which)) + 1).tolist(), len(which)] if len(which) else []
    parts = [
        cohort.blocks[which[first]].some(numbers[first:last] - starts[which[first]])
        for first, last in pairwise(edges)
    ]
    read = partial(Block.features, dtype="float64")
    label = f"sample-{cohort.features.name}-{seed}-{count}"
    lazy: Any = lazy_array(label, parts, read, np.dtype(np.float64), cohort.dim)
    return numbers, np.asarray(lazy.compute())
