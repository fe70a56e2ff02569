"""The three kinds of tasks: what a model puts out, what it loses by it, and what its output means.

A task is fitted on the part that is trained on (weights of classes, mean and spread of numbers, cuts of time) and
on nothing else.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slidelake.encoders.training import losses
from slidelake.encoders.training.config import TrainConfig
from slidelake.store.streaming import Labels, Survival

__all__ = ["ClassificationTask", "RegressionTask", "SurvivalTask", "Task", "fit_task"]


class Task(ABC):
    """One kind of target."""

    kind: str
    #: How many logits a bag has.
    outputs: int
    #: The columns of `predictions`.
    columns: tuple[str, ...]
    #: Whether the loss is of bags together, and not a mean over bags.
    joint: bool = False

    @abstractmethod
    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Of logits (B, C) float32 and targets as the labels give them: (B,) a bag, or () where it is joint."""

    @abstractmethod
    def predictions(self, logits: Tensor) -> NDArray[np.float32]:
        """(n, P) of logits (n, C): `columns`."""

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """What a checkpoint says of it."""

    def weight(self, targets: Tensor) -> int:
        """How much bags count in a mean of losses: each 1, or, where the loss is joint, each event."""
        return len(targets)

    def part_loss(self, logits: Tensor, targets: Tensor) -> float:
        """The loss over a whole part: the mean over bags, or the joint one in float64."""
        found = self.loss(logits.double() if self.joint else logits, targets)
        return float(found.double().mean())


class ClassificationTask(Task):
    """Classes by cross-entropy; predictions are probabilities."""

    kind = "classification"

    def __init__(self, column: str, classes: Sequence[str], weights: Tensor | None = None) -> None:
        self.column = column
        self.classes = tuple(classes)
        self.outputs = len(self.classes)
        self.columns = tuple(f"p_{name}" for name in self.classes)
        self.weights = weights

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        weights = None if self.weights is None else self.weights.to(logits.device)
        return losses.cross_entropy(logits, targets, weights)

    def predictions(self, logits: Tensor) -> NDArray[np.float32]:
        return logits.softmax(dim=1).numpy()

    def about(self) -> dict[str, Any]:
        return {"kind": self.kind, "column": self.column, "classes": list(self.classes)}


class RegressionTask(Task):
    """Numbers by squared or Huber's error, in units of their spread over the part that is trained on."""

    kind = "regression"

    def __init__(self, names: Sequence[str], mean: Tensor, std: Tensor, loss: str) -> None:
        self.names = tuple(names)
        self.outputs = len(self.names)
        self.columns = tuple(f"predicted_{name}" for name in self.names)
        self.mean, self.std, self._loss = mean, std, loss

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        wanted = (targets.float() - self.mean.to(logits.device)) / self.std.to(logits.device)
        return losses.regression_loss(logits, wanted, self._loss)

    def predictions(self, logits: Tensor) -> NDArray[np.float32]:
        return (logits * self.std + self.mean).numpy()

    def about(self) -> dict[str, Any]:
        """With `mean` and `std`: value = logit · std + mean."""
        return {
            "kind": self.kind,
            "columns": list(self.names),
            "loss": self._loss,
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
        }


class SurvivalTask(Task):
    """Time to an event: one log-risk by Cox's loss, or a hazard an interval by the discrete one.

    Predictions are the risk (the larger, the sooner), and with intervals the chance to outlive each of them; the risk
    is then minus the number of intervals that are expected to be outlived.
    """

    kind = "survival"

    def __init__(self, time: str, event: str, cuts: Sequence[float] = ()) -> None:
        self.time, self.event, self.cuts = time, event, tuple(cuts)
        self.joint = not self.cuts
        self.outputs = len(self.cuts) + 1
        self.columns = ("risk", *(f"survival_{n + 1}" for n in range(self.outputs if self.cuts else 0)))

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        if self.joint:
            return losses.cox_loss(logits[:, 0], targets[:, 0], targets[:, 1])
        return losses.discrete_time_loss(logits, targets[:, 1], targets[:, 2])

    def predictions(self, logits: Tensor) -> NDArray[np.float32]:
        if self.joint:
            return logits.numpy()
        curves = losses.survival_curves(logits)
        return torch.cat([-curves.sum(dim=1, keepdim=True), curves], dim=1).numpy()

    def about(self) -> dict[str, Any]:
        named = {"kind": self.kind, "time": self.time, "event": self.event}
        return {**named, "loss": "cox" if self.joint else "discrete", "cuts": list(self.cuts)}

    def weight(self, targets: Tensor) -> int:
        return int(targets[:, 1].sum()) if self.joint else len(targets)


def fit_task(config: TrainConfig, labels: Labels, train: Sequence[str]) -> tuple[Task, Labels]:
    """The task, fitted on the bags to train on, and the labels as the loader needs them."""
    if config.task == "regression":
        values = torch.from_numpy(labels.targets(train)).double()
        mean, std = values.mean(dim=0), values.std(dim=0, correction=0)
        return RegressionTask(config.labels, mean.float(), std.float(), config.loss), labels
    if config.task == "survival":
        time, event = config.labels
        if config.loss == "cox":
            return SurvivalTask(time, event), labels
        target = Survival(time, event, bins=config.bins)
        cut = Labels(labels.ids, labels.targets(labels.ids), target, labels.by).fit(train)
        assert isinstance(cut.target, Survival)
        return SurvivalTask(time, event, cut.target.cuts or ()), cut
    weights = None
    if config.class_weights:
        weights = losses.class_weights(torch.from_numpy(labels.targets(train)), len(labels.classes))
    return ClassificationTask(config.labels[0], labels.classes, weights), labels
