"""How good predictions are: scikit-learn's, SciPy's and lifelines' measures, with bootstrap intervals by patient.

A measure that its data do not define (one class, no pair to compare) is None. Patients, not bags, are drawn again:
slides of one patient are no new evidence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidelake.encoders.training.bootstrap import classification_draws
from slidelake.encoders.training.predict import Predictions

__all__ = ["Estimate", "estimates", "lower_is_better", "measure", "ranked_within_folds"]

Values = Mapping[str, float | None]
#: Where a measure is defined in a smaller share of the draws, there is no interval: it would be of the others alone.
_LEAST_SHARE = 0.9


@dataclass(frozen=True)
class Estimate:
    """A measure, and its 95 % percentile interval where there is one."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.value is None:
            return "–"
        interval = "" if self.low is None else f" ({self.low:.3f} to {self.high:.3f})"
        return f"{self.value:.3f}{interval}"


def lower_is_better(metric: str) -> bool:
    """Whether a small value is a good one."""
    return metric in ("loss", "mae")


def measure(kind: str, targets: NDArray[Any], values: NDArray[Any], *, ordered: bool = False) -> Values:
    """The measures of a task: `targets` and `values` as in Predictions.

    Classification: macro one-vs-rest AUROC and average precision over the classes that are there (of two classes:
    of the second), balanced and plain accuracy, macro F1, Cohen's kappa (`ordered`: weighted by squared distance).
    Regression: Spearman's correlation, R² and the mean absolute error, means over the columns. Survival: Harrell's C.
    """
    import sklearn

    # What is checked once needs no check in each draw of a bootstrap.
    with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
        if kind == "classification":
            return _classification(targets.astype(np.int64).reshape(-1), values, ordered)
        if kind == "regression":
            return _regression(targets, values)
        return {"c_index": _c_index(targets, values[:, 0])}


def _classification(targets: NDArray[np.int64], values: NDArray[Any], ordered: bool) -> Values:
    from sklearn import metrics

    said = values.argmax(axis=1)
    there = np.unique(targets)
    areas, precisions = [], []
    if len(there) > 1:
        of_two = values.shape[1] == 2
        for each in [1] if of_two else there.tolist():
            areas.append(metrics.roc_auc_score(targets == each, values[:, each]))
            precisions.append(metrics.average_precision_score(targets == each, values[:, each]))
    several = len(np.union1d(there, said)) > 1
    return {
        "auroc": float(np.mean(areas)) if areas else None,
        "average_precision": float(np.mean(precisions)) if precisions else None,
        # Recall over the classes that are there is balanced accuracy; sklearn's own warns of those that are not.
        "balanced_accuracy": float(metrics.recall_score(targets, said, labels=there, average="macro")),
        "accuracy": float(metrics.accuracy_score(targets, said)),
        "f1": float(metrics.f1_score(targets, said, average="macro", zero_division=0)),
        # All labels are named: a grade that is not there stands between its neighbours nevertheless.
        "kappa": float(
            metrics.cohen_kappa_score(
                targets, said, labels=range(values.shape[1]), weights="quadratic" if ordered else None
            )
        )
        if several
        else None,
    }


def _regression(targets: NDArray[Any], values: NDArray[Any]) -> Values:
    from scipy import stats
    from sklearn import metrics

    varied = len(targets) > 1 and bool((np.ptp(targets, axis=0) > 0).all())
    ranked = varied and bool((np.ptp(values, axis=0) > 0).all())
    pairs = list(zip(targets.T, values.T, strict=True))
    return {
        "spearman": float(np.mean([stats.spearmanr(a, b).statistic for a, b in pairs])) if ranked else None,
        "r2": float(metrics.r2_score(targets, values)) if varied else None,
        "mae": float(metrics.mean_absolute_error(targets, values)),
    }


def _c_index(targets: NDArray[Any], risks: NDArray[Any]) -> float | None:
    from lifelines.utils import concordance_index

    try:
        return float(concordance_index(targets[:, 0], -risks, targets[:, 1]))
    except ZeroDivisionError:
        return None  # lifelines' word for no pair that can be compared


def ranked_within_folds(made: Predictions) -> Predictions:
    """Log-risks of several models on one scale: each as its rank among its own fold's, 0 to 1.

    A log-risk of Cox is known up to a constant only, so those of two folds are not comparable as they are.
    """
    from scipy import stats

    values = made.values.copy()
    for fold in np.unique(made.folds):
        mine = made.folds == fold
        values[mine, 0] = (stats.rankdata(values[mine, 0]) - 0.5) / mine.sum()
    return Predictions(made.bags, made.patients, made.parts, made.folds, made.targets, values)


def estimates(
    kind: str, made: Predictions, *, ordered: bool = False, draws: int = 1000, seed: int = 0
) -> dict[str, Estimate]:
    """Each measure with the interval that `draws` bootstrap draws of patients give (0: none)."""
    values = measure(kind, made.targets, made.values, ordered=ordered)
    members = _members(made.patients)
    if draws == 0 or len(members) < 2:
        return {name: Estimate(value) for name, value in values.items()}
    rng = np.random.default_rng(seed)
    chosen = [rng.integers(0, len(members), len(members)) for _ in range(draws)]
    if kind == "classification":
        times = np.stack([np.bincount(each, minlength=len(members)) for each in chosen])
        owner = np.empty(len(made), np.int64)
        for number, rows in enumerate(members):
            owner[rows] = number
        targets = made.targets.astype(np.int64).reshape(-1)
        again = classification_draws(targets, made.values, times[:, owner], ordered=ordered)
        drawn = {name: found[~np.isnan(found)].tolist() for name, found in again.items()}
    else:
        drawn = {name: [] for name in values}
        for each in chosen:
            rows = np.concatenate([members[patient] for patient in each])
            for name, value in measure(kind, made.targets[rows], made.values[rows]).items():
                if value is not None:
                    drawn[name].append(value)
    return {name: _estimate(value, drawn[name], draws) for name, value in values.items()}


def _members(patients: tuple[str, ...]) -> list[NDArray[np.int64]]:
    _, owner = np.unique(np.array(patients), return_inverse=True)
    order = np.argsort(owner, kind="stable")
    return np.split(order, np.cumsum(np.bincount(owner))[:-1])


def _estimate(value: float | None, drawn: list[float], draws: int) -> Estimate:
    if value is None or len(drawn) < _LEAST_SHARE * draws:
        return Estimate(value)
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    return Estimate(value, low, high)
