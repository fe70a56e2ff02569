"""What a trained slide encoder's logits say, in the words of the task it was trained for."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import WeightsError

__all__ = ["Prediction", "predict", "write_predictions"]


class Prediction(NamedTuple):
    """One slide's prediction: `values` by name, in order; `label` is the likeliest class ("" where there is none)."""

    slide_id: str
    values: dict[str, float]
    label: str = ""


def predict(logits: Sequence[float] | NDArray[Any], task: Mapping[str, Any]) -> tuple[dict[str, float], str]:
    """Values by name, and the likeliest class.

    Classification: a probability a class, softmax of the logits (one logit and two classes: its sigmoid is the second
    class's). Regression: the columns' values, logit · `std` + `mean` where the task has these. Survival: `risk`; a
    discrete-time model's is −Σ S(t) over its intervals (Zadeh and Schmid 2020, "Bias in cross-entropy-based training
    of deep survival networks"), with the chance to survive each, `survival_<n>`, beside it.

    Raises WeightsError for a task that the logits do not fit.
    """
    values = np.asarray(logits, np.float64)
    kind = task.get("kind")
    if kind == "classification":
        classes = [str(each) for each in task["classes"]]
        if len(values) == 1 and len(classes) == 2:
            positive = _sigmoid(values)[0]
            shares = np.array([1.0 - positive, positive])
        else:
            grown = np.exp(values - values.max())
            shares = grown / grown.sum()
        named = _named(classes, shares)
        return named, classes[int(np.argmax(shares))]
    if kind == "regression":
        columns = [str(each) for each in task["columns"]]
        # Trained in units of the targets' spread, where the task says so.
        scale, shift = (
            np.asarray(task.get(name, default), np.float64) for name, default in (("std", 1), ("mean", 0))
        )
        return _named(columns, values * scale + shift), ""
    if kind == "survival" and task.get("loss") == "discrete":
        survival = np.cumprod(1.0 - _sigmoid(values))
        return {
            "risk": float(-survival.sum()),
            **{f"survival_{n + 1}": float(each) for n, each in enumerate(survival)},
        }, ""
    if kind == "survival":
        return _named(["risk"], values), ""
    raise WeightsError(
        f"the checkpoint's task is {kind!r}, which is none that predictions are known for",
        remedy="Leave --predictions out, or train with classification, regression or survival.",
    )


def write_predictions(path: Path, predictions: Iterable[Prediction]) -> Path:
    """Write a CSV: slide_id, `predicted` where there are classes, then a column a value (`p_<class>` for classes)."""
    rows = list(predictions)
    classes = any(row.label for row in rows)
    names = list(dict.fromkeys(name for row in rows for name in row.values))
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(
        f".{path.name}.part"
    )  # a file that is there stays as it is until the new one is whole
    try:
        with beside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            shown = [f"p_{name}" for name in names] if classes else names
            writer.writerow(["slide_id", *(["predicted"] if classes else []), *shown])
            for row in rows:
                numbers = [repr(row.values[name]) if name in row.values else "" for name in names]
                writer.writerow([row.slide_id, *([row.label] if classes else []), *numbers])
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def _named(names: Sequence[str], values: NDArray[np.float64]) -> dict[str, float]:
    if len(names) != len(values):
        raise WeightsError(
            f"the checkpoint gives {len(values)} values for {len(names)} names ({', '.join(names)})",
            remedy="Its task and its model do not belong together: train it again.",
        )
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    # Without overflow on either side.
    half: NDArray[np.float64] = 0.5 * (1.0 + np.tanh(0.5 * values))
    return half
