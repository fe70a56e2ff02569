"""What a training came to: who was in it, how good it is and how sure that is, and where everything lies."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from slidelake.encoders.training.cohort import VAL, PartCount
from slidelake.encoders.training.config import TrainConfig
from slidelake.encoders.training.metrics import Estimate
from slidelake.encoders.training.predict import Predictions
from slidelake.encoders.training.tasks import ClassificationTask, Task
from slidelake.encoders.training.whole_file import whole_file

__all__ = ["FoldReport", "Measured", "TrainReport", "doubts", "load_report", "save_report"]

_FORMAT = 1
#: Percentile intervals from fewer patients are known to cover too little.
_FEW_PATIENTS = 20


@dataclass(frozen=True)
class FoldReport:
    """One fold (None: the one division into parts): how long it was trained, which epoch was kept, and where."""

    fold: int | None
    epochs: int
    best_epoch: int
    #: "epochs": all were trained; "patience": it got no better.
    ended: str
    seconds: float
    checkpoint: str
    parts: tuple[PartCount, ...]


@dataclass(frozen=True)
class Measured:
    """The measures of one part: of one fold, or (`fold` None) of all folds together."""

    part: str
    fold: int | None
    bags: int
    patients: int
    metrics: Mapping[str, Estimate]


@dataclass(frozen=True)
class TrainReport:
    """What `train` did. Paths are relative to `out`; `report.json` holds the same."""

    out: Path
    config: Mapping[str, Any]
    task: Mapping[str, Any]
    space: str
    #: Fingerprint of the patch encoder.
    patch_encoder: Mapping[str, Any]
    parameters: int
    folds: tuple[FoldReport, ...]
    measured: tuple[Measured, ...]
    #: The part that the pictures show: held out, where there is one.
    shown: str
    splits_checksum: str
    #: Slides that took no part, by the reason.
    left_out: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]
    pictures: tuple[str, ...]
    #: Device, precision, processes, versions, times.
    run: Mapping[str, Any] = field(default_factory=dict)

    def metrics(self, part: str | None = None, fold: int | None = None) -> Mapping[str, Estimate]:
        """The measures of a part (by default the one that is shown), of one fold or of all together; none where it
        was not measured."""
        part = part or self.shown
        for each in self.measured:
            if (each.part, each.fold) == (part, fold):
                return each.metrics
        return {}

    def checkpoints(self) -> list[Path]:
        """The trained slide encoders, one a fold."""
        return [self.out / each.checkpoint for each in self.folds]

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        plain = asdict(self) | {"format": _FORMAT, "out": str(self.out)}
        plain["folds"] = [{**asdict(f), "parts": [p.to_dict() for p in f.parts]} for f in self.folds]
        return plain


def save_report(report: TrainReport) -> Path:
    """Writes report.json, whole or not at all."""
    path = report.out / "report.json"
    text = json.dumps(report.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
    with whole_file(path) as beside:
        beside.write_text(text + "\n", encoding="utf-8")
    return path


def load_report(out: str | os.PathLike[str]) -> TrainReport:
    """The report of a finished training, from its folder."""
    folder = Path(out)
    body = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    folds = tuple(
        FoldReport(**{**each, "parts": tuple(PartCount(**part) for part in each["parts"])})
        for each in body["folds"]
    )
    measured = tuple(
        Measured(**{**each, "metrics": {name: Estimate(**value) for name, value in each["metrics"].items()}})
        for each in body["measured"]
    )
    return TrainReport(
        folder,
        body["config"],
        body["task"],
        body["space"],
        body["patch_encoder"],
        body["parameters"],
        folds,
        measured,
        body["shown"],
        body["splits_checksum"],
        {reason: tuple(slides) for reason, slides in body["left_out"].items()},
        tuple(body["notes"]),
        tuple(body["pictures"]),
        body["run"],
    )


def doubts(everything: Predictions, parts: list[str], task: Task, config: TrainConfig) -> list[str]:
    """What a reader of the measures should know of the parts that they are of."""
    notes = []
    for part in parts:
        made = everything.where(part)
        patients = len(set(made.patients))
        if part != VAL and config.bootstrap and patients < _FEW_PATIENTS:
            notes.append(
                f"part {part} has {patients} patients: intervals from so few come out too narrow, and tell little"
            )
        if isinstance(task, ClassificationTask) and len(made) > 1:
            said = set(made.values.argmax(axis=1).tolist())
            if len(said) == 1:
                notes.append(
                    f"every bag of part {part} is predicted to be {task.classes[said.pop()]}: "
                    "more epochs, a larger --lr or --class-weights may help"
                )
    return notes
