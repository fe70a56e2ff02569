"""Divides groups into those to learn from and those to be asked about, with each class on both sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from slidelake.errors import UsageError

__all__ = ["check_groups", "held_out"]

Ints = npt.NDArray[np.int64]


def check_groups(targets: Ints, groups: Ints, classes: Sequence[str]) -> None:
    """Raises UsageError for a class of one patient alone: held out, nothing is left to learn it from."""
    for number, name in enumerate(classes):
        if len(np.unique(groups[targets == number])) < 2:
            rows = int((targets == number).sum())
            raise UsageError(
                f"all {rows:,} rows of class {name!r} are of one patient (or one row, or near-identical images)",
                remedy="Label rows of a second patient, or leave the class out (classes=…, --class …).",
            )


def held_out(targets: Ints, groups: Ints, *, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """(N,) True for rows to be asked about: whole groups, about `share` of each class, the same for a seed.

    Groups come in random order; one is held out where that brings the classes' shares nearer to `share`. Raises
    UsageError where no division has every class on both sides.
    """
    classes, count = int(targets.max()) + 1, int(groups.max()) + 1
    sizes = np.zeros((count, classes))
    np.add.at(sizes, (groups, targets), 1)
    sizes /= sizes.sum(axis=0)
    order = np.random.default_rng(seed).permutation(count)
    out = np.zeros(count, bool)
    held = np.zeros(classes)
    for group in order:
        if ((held + sizes[group] - share) ** 2).sum() < ((held - share) ** 2).sum():
            out[group] = True
            held += sizes[group]
    for number in range(classes):
        _put_right(out, sizes, order, number)
    asked: npt.NDArray[np.bool_] = out[groups]
    for number in range(classes):
        mine = asked[targets == number]
        if mine.all() or not mine.any():
            raise UsageError(
                f"no division by patient (seed {seed}) has class number {number} on both sides",
                remedy="Label rows of more patients, or leave the class out.",
            )
    return asked


def _put_right(out: npt.NDArray[np.bool_], sizes: npt.NDArray[np.float64], order: Ints, number: int) -> None:
    """Moves the smallest group of a class that stands on one side alone."""
    mine = [group for group in order if sizes[group, number] > 0]
    for side in (True, False):
        if all(out[group] != side for group in mine):
            least = min(mine, key=lambda group: float(sizes[group].sum()))
            out[least] = side
