"""The measures of classification for many bootstrap draws at once.

A draw is how often each bag is in it, so each measure is a sum that these numbers weigh. scikit-learn, called once a
draw, takes some 15 ms of checks for each: 16 s for a part of eight slides, where this takes some ms.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["classification_draws"]

Floats = NDArray[np.float64]
#: Numbers in the largest table that is held at once: 16 MiB of float64.
_AT_ONCE = 2**21


def classification_draws(
    targets: NDArray[np.int64], values: Floats, counts: NDArray[np.int64], *, ordered: bool = False
) -> dict[str, Floats]:
    """What `measure` says of each draw, (B,) float64, NaN where it is not defined.

    targets (n,) classes, values (n, C) probabilities, counts (B, n): how often each bag is in each draw.
    """
    step = max(1, _AT_ONCE // max(values.shape[0], values.shape[1] ** 2))
    found = [
        {
            **_ranked(targets, values, counts[start : start + step].astype(np.float64)),
            **_counted(targets, values, counts[start : start + step].astype(np.float64), ordered),
        }
        for start in range(0, len(counts), step)
    ]
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


def _counted(targets: NDArray[np.int64], values: Floats, weights: Floats, ordered: bool) -> dict[str, Floats]:
    """What a confusion matrix tells; (B, C, C) of them, true by predicted."""
    classes = values.shape[1]
    cells = np.zeros((len(targets), classes * classes))
    cells[np.arange(len(targets)), targets * classes + values.argmax(axis=1)] = 1
    confusion = (weights @ cells).reshape(-1, classes, classes)
    true, said = confusion.sum(axis=2), confusion.sum(axis=1)
    right, total = confusion.diagonal(axis1=1, axis2=2), weights.sum(axis=1)
    # Distances of Cohen's kappa: 1 between any two classes, or the square between grades.
    place = np.arange(classes)
    apart = np.subtract.outer(place, place) ** 2 if ordered else 1 - np.eye(classes)
    expected = true[:, :, None] * said[:, None] / total[:, None, None]
    wrong, by_chance = ((apart * each).sum(axis=(1, 2)) for each in (confusion, expected))
    return {
        "balanced_accuracy": _mean(_divided(right, true)),
        "accuracy": right.sum(axis=1) / total,
        "f1": _mean(_divided(2 * right, true + said)),
        "kappa": 1 - _divided(wrong, by_chance),
    }


def _ranked(targets: NDArray[np.int64], values: Floats, weights: Floats) -> dict[str, Floats]:
    """AUROC and average precision, one class against the rest; of two classes those of the second."""
    classes = [1] if values.shape[1] == 2 else list(range(values.shape[1]))
    areas, precisions = [], []
    for area, precision in _one_against_rest(targets, values, weights, classes):
        areas.append(area)
        precisions.append(precision)
    return {
        "auroc": _mean(np.stack(areas, axis=1)),
        "average_precision": _mean(np.stack(precisions, axis=1)),
    }


def _one_against_rest(
    targets: NDArray[np.int64], values: Floats, weights: Floats, classes: list[int]
) -> Iterator[tuple[Floats, Floats]]:
    for each in classes:
        order = np.argsort(-values[:, each], kind="stable")
        ranked = values[order, each]
        # Equal values are one threshold.
        starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
        mine = targets[order] == each
        sorted_weights = weights[:, order]
        hits = np.add.reduceat(sorted_weights * mine, starts, axis=1)
        misses = np.add.reduceat(sorted_weights * ~mine, starts, axis=1)
        above, wrong_above = hits.cumsum(axis=1), misses.cumsum(axis=1)
        positives, negatives = above[:, -1], wrong_above[:, -1]
        # Pairs in the right order: the misses ranked below a hit, and half of those at its threshold.
        pairs = (hits * (negatives[:, None] - wrong_above + misses / 2)).sum(axis=1)
        precision = np.nan_to_num(_divided(above, above + wrong_above))
        both = np.where(negatives > 0, positives, 0)
        yield _divided(pairs, positives * negatives), _divided((hits * precision).sum(axis=1), both)


def _divided(number: Floats, by: Floats) -> Floats:
    """A quotient, NaN where the divisor is 0."""
    out: Floats = np.full(np.broadcast_shapes(number.shape, by.shape), np.nan)
    np.divide(number, by, out=out, where=by > 0)
    return out


def _mean(several: Floats) -> Floats:
    """(B, C) to (B,): over those that are defined, NaN where none is."""
    defined = ~np.isnan(several)
    return _divided(np.where(defined, several, 0).sum(axis=1), defined.sum(axis=1).astype(np.float64))
