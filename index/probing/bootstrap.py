"""Intervals of classification by groups: whole patients are drawn, and with them all that was said of their rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slidelake.index.evaluate import Interval

__all__ = ["Tally", "draw_counts", "percentile", "tally"]

Floats = npt.NDArray[np.float64]
_LEVEL = 0.95


@dataclass(frozen=True)
class Tally:
    """`right` and `total` (S, G, C): of S runs, G groups and C classes, how many rows were named right, of how many."""

    right: Floats
    total: Floats

    def each_run(self) -> Floats:
        """(S,) balanced accuracy of each run: the mean recall of the classes."""
        return _recalls(self.right.sum(axis=1), self.total.sum(axis=1))[0]

    def recalls(self) -> Floats:
        """(C,) recall of each class over all runs."""
        return _divided(self.right.sum(axis=(0, 1)), self.total.sum(axis=(0, 1)))

    def intervals(self, *, draws: int, seed: int) -> tuple[Interval, Interval]:
        """Balanced accuracy and accuracy with 95 % intervals: runs and groups are drawn with replacement.

        Percentile intervals; they tell how far the figure moves with other patients and other draws of the shots.
        """
        balanced, accuracy = _recalls(self.right.sum(axis=(0, 1))[None], self.total.sum(axis=(0, 1))[None])
        if draws < 1:
            none = float("nan")
            return Interval(float(balanced[0]), none, none), Interval(float(accuracy[0]), none, none)
        several = self._drawn(draws, seed)
        return percentile(float(balanced[0]), several[0]), percentile(float(accuracy[0]), several[1])

    def gain_over(self, other: Tally, *, draws: int, seed: int) -> Interval:
        """Balanced accuracy less that of `other`, on the same runs and rows: both are drawn together, so that what
        their draws have in common cancels."""
        both = [
            _recalls(each.right.sum(axis=(0, 1))[None], each.total.sum(axis=(0, 1))[None])
            for each in (self, other)
        ]
        mine, theirs = self._drawn(draws, seed)[0], other._drawn(draws, seed)[0]
        return percentile(float(both[0][0][0] - both[1][0][0]), mine - theirs)

    def _drawn(self, draws: int, seed: int) -> tuple[Floats, Floats]:
        """(draws,) balanced accuracy and accuracy of bootstrap draws, the same runs and groups for a seed."""
        runs, groups = self.right.shape[:2]
        generator = np.random.default_rng(seed)
        group_counts = draw_counts(generator, groups, draws)
        run_counts = draw_counts(generator, runs, draws)
        right = np.zeros((draws, self.right.shape[2]))
        total = np.zeros_like(right)
        for run in range(runs):
            weight = run_counts[:, run, None]
            right += weight * (group_counts @ self.right[run])
            total += weight * (group_counts @ self.total[run])
        return _recalls(right, total)


def tally(
    right: list[npt.NDArray[np.bool_]],
    targets: list[npt.NDArray[np.int64]],
    groups: list[npt.NDArray[np.int64]],
    classes: int,
) -> Tally:
    """What S runs said: for each, (n,) truth values, classes and group numbers of the rows it was tested on."""
    size = (1 + max(int(each.max()) for each in groups), classes)
    rights, totals = np.zeros((len(right), *size)), np.zeros((len(right), *size))
    for run, (said, of, who) in enumerate(zip(right, targets, groups, strict=True)):
        np.add.at(rights[run], (who, of), said)
        np.add.at(totals[run], (who, of), 1)
    seen = totals.sum(axis=(0, 2)) > 0
    return Tally(rights[:, seen], totals[:, seen])


def draw_counts(generator: np.random.Generator, things: int, draws: int) -> Floats:
    """(draws, things): how often each thing is in a draw of as many, with replacement."""
    return generator.multinomial(things, np.full(things, 1 / things), size=draws).astype(np.float64)


def percentile(value: float, several: Floats) -> Interval:
    """A figure with the percentile interval of its draws; NaN ends where no draw defines it."""
    defined = several[np.isfinite(several)]
    if not len(defined):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(defined, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Interval(value, float(low), float(high))


def _recalls(right: Floats, total: Floats) -> tuple[Floats, Floats]:
    """(B, C) counts to (B,) balanced accuracy, over the classes that a draw has, and (B,) accuracy."""
    recall = _divided(right, total)
    there = np.isfinite(recall)
    balanced = _divided(np.where(there, recall, 0).sum(axis=1), there.sum(axis=1).astype(np.float64))
    return balanced, _divided(right.sum(axis=1), total.sum(axis=1))


def _divided(number: Floats, by: Floats) -> Floats:
    out: Floats = np.full(number.shape, np.nan)
    np.divide(number, by, out=out, where=by > 0)
    return out
