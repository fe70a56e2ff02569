"""What a training is told: one frozen dataclass, checked when it is made, the same from Python, flags or a file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from slidelake.encoders.slide.options import refuse_fixed
from slidelake.errors import UsageError

__all__ = ["LOSSES", "METRICS", "TITLES", "TrainConfig"]

#: The losses of each kind of task, the default first.
LOSSES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "classification": ("cross-entropy",),
        "regression": ("mse", "huber"),
        "survival": ("cox", "discrete"),
    }
)
#: What each kind of task is measured by besides its loss.
METRICS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "classification": ("auroc", "average_precision", "balanced_accuracy", "accuracy", "f1", "kappa"),
        "regression": ("spearman", "r2", "mae"),
        "survival": ("c_index",),
    }
)
#: What measures are called.
TITLES = {
    "auroc": "AUROC", "average_precision": "Average precision", "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy", "f1": "F1 (macro)", "kappa": "Cohen's kappa", "spearman": "Spearman's ρ", "r2": "R²",
    "mae": "Mean absolute error", "c_index": "C-index",
}  # fmt: skip
#: Bags of a batch where nothing is said of its size.
DEFAULT_BAGS = 8
_COLUMNS = {"classification": (1, 1), "regression": (1, 10_000), "survival": (2, 2)}
_CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "task": tuple(LOSSES),
        "unit": ("slide", "patient"),
        "balance": ("none", "class", "patient", "class+patient"),
        "precision": ("auto", "bf16", "fp16", "no"),
        "tensorboard": ("auto", "on", "off"),
    }
)
#: The least that a number may be.
_LEAST: Mapping[str, float] = MappingProxyType(
    {
        "folds": 0, "bins": 2, "entropy_weight": 0, "bags_per_batch": 0, "patches_per_batch": 0, "sample": 0,
        "accumulate": 1, "epochs": 1, "weight_decay": 0, "warmup_epochs": 0, "clip": 0, "patience": 0, "seed": 0,
        "bootstrap": 0, "checkpoint_minutes": 0,
    }
)  # fmt: skip


@dataclass(frozen=True)
class TrainConfig:
    """A training of one slide encoder. Empty text, 0 and empty lists mean "not given".

    Raises UsageError for a value that cannot be, by its name.
    """

    #: The column of labels; for survival two, time and event; for regression one or more.
    labels: Sequence[str]
    #: The folder for all that comes out.
    out: str
    task: str = "classification"
    #: A CSV or Parquet table with the columns; else they are columns of the lake's metadata.
    labels_file: str = ""
    #: Leave out what the table names and the lake does not hold, in place of refusing it.
    ignore_unknown: bool = False
    #: Names of the classes in their order; else those found, sorted. Of two, the second is the positive one.
    classes: Sequence[str] = ()
    #: Classes are grades: kappa weighs an error by the square of its distance.
    ordered: bool = False
    #: Grid and encoder; needed where the lake has several.
    space: str = ""
    snapshot: str = ""
    #: What a bag is: a slide, or all slides of a patient.
    unit: str = "slide"
    #: A file of splits; else they are made on the spot, by patient: folds, or parts by their shares.
    splits: str = ""
    folds: int = 0
    parts: Mapping[str, float] = field(default_factory=dict)
    #: The slide encoder, and its options.
    encoder: str = "abmil"
    options: Mapping[str, Any] = field(default_factory=dict)
    #: cross-entropy; mse or huber; cox or discrete. The first of a task is its default.
    loss: str = ""
    #: Intervals of time of the discrete loss: quantiles of the event times of the part that is trained on.
    bins: int = 4
    #: Weigh a class's loss by the inverse of its share of the part that is trained on.
    class_weights: bool = False
    #: Draw bags so that each class, each patient, or each patient within each class comes equally often.
    balance: str = "none"
    #: Times the mean negative entropy of attention (AEM, Zhang et al. 2024), added to the loss.
    entropy_weight: float = 0.0
    #: Bags of a batch at most; patches of a batch at most. Neither: 8 bags.
    bags_per_batch: int = 0
    patches_per_batch: int = 0
    #: Rows of a bag that are drawn for each step; 0: all. All are taken where a part is measured.
    sample: int = 0
    #: Shift and scale each feature to mean 0 and deviation 1 over rows of the part that is trained on. For encoders
    #: whose features are small numbers or far from 0, where training else stands on a plateau for many epochs.
    standardise: bool = False
    #: Batches of one step of the optimiser.
    accumulate: int = 1
    epochs: int = 50
    #: AdamW's; the rate rises for `warmup_epochs`, then falls by a cosine to 0 at the last epoch.
    lr: float = 2e-4
    weight_decay: float = 1e-4
    warmup_epochs: float = 1.0
    #: The gradient's norm at most; 0: whatever it is.
    clip: float = 1.0
    #: Stop after so many epochs that were no better on the validation part; 0: go on to the last.
    patience: int = 10
    #: What "better" is: "loss", or a metric of the task.
    metric: str = "loss"
    #: "auto": bf16 on a GPU that has it, else none.
    precision: str = "auto"
    seed: int = 0
    #: "auto": a GPU where there is one.
    device: str = "auto"
    #: Draws of the bootstrap intervals; 0: none.
    bootstrap: int = 1000
    #: Between two saved states within an epoch; 0: at the ends of epochs alone.
    checkpoint_minutes: float = 10.0
    #: TensorBoard events: "on", "off", or where it is installed.
    tensorboard: str = "auto"
    #: Draw the pictures of the report.
    pictures: bool = True
    #: A folder for copies of a remote store's arrays.
    cache: str = ""

    def __post_init__(self) -> None:
        for each in fields(self):
            object.__setattr__(self, each.name, _as_declared(each.name, getattr(self, each.name), each.type))
        _check_words(self)
        _check_numbers(self)
        _check_together(self)
        if not self.loss:
            object.__setattr__(self, "loss", LOSSES[self.task][0])

    @property
    def bags(self) -> int | None:
        """Bags of a batch at most, as the loader takes it."""
        return self.bags_per_batch or (None if self.patches_per_batch else DEFAULT_BAGS)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, in the order of the fields."""
        return {each.name: _plain(getattr(self, each.name)) for each in fields(self)}

    def lasting(self) -> dict[str, Any]:
        """What decides the weights: without the folder, and what is only about running and measuring."""
        passing = ("out", "bootstrap", "checkpoint_minutes", "tensorboard", "pictures", "cache")
        return {name: value for name, value in self.to_dict().items() if name not in passing}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def _as_declared(name: str, value: Any, kind: Any) -> Any:
    """The value as its field declares it; UsageError where it is of another kind (a file may hold anything)."""
    if kind == Sequence[str]:
        if isinstance(value, str):
            value = value.split(",")
        if isinstance(value, Sequence) and not isinstance(value, bytes):
            return tuple(str(each).strip() for each in value if str(each).strip())
    elif kind is float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    elif kind is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    elif kind in (str, bool):
        if isinstance(value, kind):
            return value
    elif isinstance(value, Mapping):
        return MappingProxyType({str(key): each for key, each in value.items()})
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    wanted = words.get(kind, "a list of names" if kind == Sequence[str] else "a table of names and values")
    raise UsageError(f"{name} is {value!r}", remedy=f"Give {wanted}.")


def _check_words(config: TrainConfig) -> None:
    for name, known in _CHOICES.items():
        value = getattr(config, name)
        if value not in known:
            raise UsageError(f"{name} is {value!r}", remedy=f"Use one of: {', '.join(known)}.")
    for name, known in (
        ("loss", ("", *LOSSES[config.task])),
        ("metric", ("loss", *METRICS[config.task])),
    ):
        value = getattr(config, name)
        if value not in known:
            raise UsageError(
                f"{name} is {value!r}, which is none of {config.task}",
                remedy=f"Use one of: {', '.join(filter(None, known))}.",
            )


def _check_numbers(config: TrainConfig) -> None:
    for name, least in _LEAST.items():
        value = getattr(config, name)
        if not math.isfinite(value) or value < least:
            raise UsageError(f"{name} is {value}", remedy=f"Give a number from {least:g} up.")
    if not 0 < config.lr < math.inf:
        raise UsageError(f"lr is {config.lr}", remedy="Give a number above 0, such as 2e-4.")
    if config.warmup_epochs > config.epochs:
        raise UsageError(
            f"warmup_epochs is {config.warmup_epochs:g} of {config.epochs} epochs",
            remedy="Warm up for no more than the epochs there are.",
        )
    if config.folds == 1:
        raise UsageError("folds is 1", remedy="Give 2 or more, or leave it out for one division into parts.")
    if config.seed >= 2**32:
        raise UsageError(f"seed is {config.seed}", remedy="Give a whole number below 2³².")


def _check_together(config: TrainConfig) -> None:
    if not config.out:
        raise UsageError("no folder was named for the results", remedy="Pass --out FOLDER.")
    least, most = _COLUMNS[config.task]
    if not least <= len(config.labels) <= most:
        wanted = {"classification": "one column", "regression": "at least one column"}.get(
            config.task, "two columns, time and event"
        )
        raise UsageError(
            f"labels names {', '.join(config.labels) or 'nothing'}",
            remedy=f"For {config.task} name {wanted}.",
        )
    given = [name for name in ("splits", "folds", "parts") if getattr(config, name)]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} were both given", remedy="Give one of the two.")
    for part, share in config.parts.items():
        if isinstance(share, bool) or not isinstance(share, int | float):
            raise UsageError(f"the share of part {part} is {share!r}", remedy="Give a number, such as 0.7.")
    refuse_fixed("options", config.options)
    if empty := [name for name, value in config.options.items() if value is None]:
        raise UsageError(f"option {empty[0]} is None", remedy="Leave it out: its default stands then.")
    if config.task != "classification":
        for name in ("classes", "ordered", "class_weights"):
            if getattr(config, name):
                raise UsageError(f"{name} is given, and the task is {config.task}", remedy="Leave it out.")
    if config.class_weights and "class" in config.balance:
        raise UsageError(
            f"class_weights and balance={config.balance} both even out the classes",
            remedy="Give one of the two: together they would count a rare class twice over.",
        )
