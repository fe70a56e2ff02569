"""What a model says of a part: every bag once, whole, without gradient; and the table that this is kept in."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slidelake.encoders.slide.model import SlideModel
from slidelake.encoders.training.distributed import World
from slidelake.encoders.training.precision import Precision
from slidelake.encoders.training.step import bags_of
from slidelake.encoders.training.tasks import ClassificationTask, Task
from slidelake.encoders.training.whole_file import whole_file
from slidelake.errors import UsageError

if TYPE_CHECKING:
    from slidelake.store.streaming import BagLoader

__all__ = [
    "Outputs",
    "Predictions",
    "concatenate",
    "join",
    "predict",
    "read_predictions",
    "write_predictions",
]


@dataclass(frozen=True)
class Outputs:
    """Of each bag of a part, sorted by id: its patient, its target (n,) or (n, C), its logits (n, C) float32."""

    bags: tuple[str, ...]
    patients: tuple[str, ...]
    targets: Tensor
    logits: Tensor


@dataclass(frozen=True)
class Predictions:
    """Of each of n bags: target (n,) int64 or (n, C), and what the task's `columns` say, (n, P), with part and fold."""

    bags: tuple[str, ...]
    patients: tuple[str, ...]
    parts: tuple[str, ...]
    folds: NDArray[np.int64]
    targets: NDArray[np.float64]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.bags)

    def where(self, part: str, fold: int | None = None) -> "Predictions":
        """Those of one part, of all folds or of one."""
        mine = [n for n, each in enumerate(self.parts) if each == part and fold in (None, self.folds[n])]
        return Predictions(
            tuple(self.bags[n] for n in mine),
            tuple(self.patients[n] for n in mine),
            tuple(self.parts[n] for n in mine),
            self.folds[mine],
            self.targets[mine],
            self.values[mine],
        )


def predict(
    model: SlideModel, loader: "BagLoader", world: World, precision: Precision, *, patients: bool
) -> Outputs:
    """The model's output for every bag of a loader that does not shuffle, on every process."""
    model.eval()
    found: list[tuple[tuple[str, ...], tuple[str, ...], Tensor, Tensor]] = []
    with torch.inference_mode():
        for batch in loader:
            packed, targets = bags_of(batch, world.device, patients=patients)
            with precision.cast():
                logits = model(packed).logits.float()
            found.append((batch.bag_ids, batch.patient_ids, targets, logits))
    mine = [(ids, owners, targets.cpu(), logits.cpu()) for ids, owners, targets, logits in found]
    # Processes that would have had a batch less repeat one: each bag counts once.
    rows = {
        bag: (patient, target, row)
        for part in world.gather(mine)
        for ids, owners, targets, logits in part
        for bag, patient, target, row in zip(ids, owners, targets, logits, strict=True)
    }
    bags = tuple(sorted(rows))
    return Outputs(
        bags,
        tuple(rows[bag][0] for bag in bags),
        torch.stack([rows[bag][1] for bag in bags]),
        torch.stack([rows[bag][2] for bag in bags]),
    )


def join(task: Task, made: Iterable[tuple[str, int, Outputs]]) -> Predictions:
    """Predictions of (part, fold, outputs)."""
    return concatenate(
        task,
        [
            Predictions(
                out.bags,
                out.patients,
                (part,) * len(out.bags),
                np.full(len(out.bags), fold),
                out.targets.double().numpy(),
                task.predictions(out.logits).astype(np.float64),
            )
            for part, fold, out in made
        ],
    )


def concatenate(task: Task, several: Sequence[Predictions]) -> Predictions:
    """Predictions end to end; there may be none."""
    several = [each for each in several if len(each)]
    empty = np.empty((0, len(task.columns)))
    return Predictions(
        tuple(bag for each in several for bag in each.bags),
        tuple(patient for each in several for patient in each.patients),
        tuple(part for each in several for part in each.parts),
        np.concatenate([np.empty(0, np.int64), *(each.folds for each in several)]),
        np.concatenate([each.targets for each in several]) if several else empty,
        np.concatenate([each.values for each in several]) if several else empty,
    )


def write_predictions(path: Path, task: Task, made: Predictions, unit: str) -> None:
    """A CSV: the bag, its patient, part and fold, its target, and what was predicted; whole or not at all."""
    identity = ["slide_id", "patient_id"] if unit == "slide" else ["patient_id"]
    classes = task.classes if isinstance(task, ClassificationTask) else ()
    head = [*identity, "part", "fold", *_target_columns(task), *task.columns]
    with whole_file(path) as beside, beside.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(head)
        for n, bag in enumerate(made.bags):
            said = np.atleast_1d(made.targets[n])
            if classes:
                target = [classes[int(said[0])], classes[int(made.values[n].argmax())]]
            else:
                target = [_number(each) for each in said[: len(_target_columns(task))]]
            names = [bag, made.patients[n]] if unit == "slide" else [bag]
            values = map(_number, made.values[n])
            table.writerow([*names, made.parts[n], int(made.folds[n]), *target, *values])


def read_predictions(path: Path, task: Task, unit: str) -> Predictions:
    """What `write_predictions` wrote. Raises UsageError for a file with other columns."""
    with path.open(newline="", encoding="utf-8") as stream:
        table = csv.DictReader(stream)
        rows = list(table)
    known = (
        {row["target"] for row in rows} <= {*task.classes} if isinstance(task, ClassificationTask) else True
    )
    if not ({*_target_columns(task), *task.columns} <= {*(table.fieldnames or ())} and known):
        raise UsageError(
            f"{path} holds other predictions", remedy="Remove it, and this fold is measured again."
        )
    identity = "slide_id" if unit == "slide" else "patient_id"
    if isinstance(task, ClassificationTask):
        number = {name: n for n, name in enumerate(task.classes)}
        targets = np.array([number[row["target"]] for row in rows], np.float64)
    else:
        targets = np.array([[float(row[name]) for name in _target_columns(task)] for row in rows])
    return Predictions(
        tuple(row[identity] for row in rows),
        tuple(row["patient_id"] for row in rows),
        tuple(row["part"] for row in rows),
        np.array([int(row["fold"]) for row in rows], np.int64),
        targets,
        np.array([[float(row[name]) for name in task.columns] for row in rows]),
    )


def _target_columns(task: Task) -> list[str]:
    if task.kind == "classification":
        return ["target", "predicted"]
    return (
        ["time", "event"]
        if task.kind == "survival"
        else [f"target_{name}" for name in task.about()["columns"]]
    )


def _number(value: float) -> str:
    # Nine digits give every float32 back.
    return f"{value:.9g}"
