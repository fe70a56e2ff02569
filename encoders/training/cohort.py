"""Whom a training is about: slides with a bag and a label, divided by patient, counted and checked before the first
step."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from slidelake.encoders.training.config import TrainConfig
from slidelake.errors import UsageError
from slidelake.store.streaming import Classification, Labels, Regression, Splits, Survival, make_splits

if TYPE_CHECKING:
    import pandas as pd

    from slidelake.store import FeatureStore

__all__ = ["Cohort", "PartCount", "read_cohort"]

TRAIN, VAL = "train", "val"
#: More than these, and more than one in two bags: numbers or names, which are no classes.
_MANY_CLASSES = 10


@dataclass(frozen=True)
class PartCount:
    """How many of what are in a part; `groups`: bags by class, or with an event and censored."""

    part: str
    patients: int
    slides: int
    bags: int
    patches: int
    groups: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {**self.__dict__, "groups": dict(self.groups)}


@dataclass(frozen=True)
class Cohort:
    """What is learnt from: a store (or its snapshot), a space, labels and splits."""

    store: "FeatureStore"
    space: str
    unit: str
    labels: Labels
    splits: Splits
    #: Each slide that has a bag in the space, with its patient; and its patches.
    patient_of: Mapping[str, str]
    patches_of: Mapping[str, int]
    #: Slides that are not in this training, by the reason.
    left_out: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...] = field(default=())

    @property
    def folds(self) -> tuple[int | None, ...]:
        """The turns: fold numbers, or one that is None where there are parts."""
        return (None,) if self.splits.folds is None else tuple(range(self.splits.folds))

    @property
    def held_out(self) -> tuple[str, ...]:
        """The parts that neither train nor choose the epoch."""
        return tuple(part for part in self.splits.parts if part not in (TRAIN, VAL))

    @property
    def validates(self) -> bool:
        """Whether there is a part to choose the epoch by."""
        return VAL in self.splits.parts

    def slides(self, part: str, fold: int | None) -> list[str]:
        """The slides of a part that have a bag and a label."""
        return [slide for slide in self.splits.part(part, fold) if self._key(slide) is not None]

    def bags(self, part: str, fold: int | None) -> list[str]:
        """The ids of the bags of a part: slides or patients, sorted."""
        return sorted({key for slide in self.slides(part, fold) if (key := self._key(slide)) is not None})

    def _key(self, slide: str) -> str | None:
        if slide not in self.patient_of:
            return None
        key = slide if self.unit == "slide" else self.patient_of[slide]
        return key if key in self.labels else None

    def count(self, part: str, fold: int | None) -> PartCount:
        """What a part holds."""
        slides, bags = self.slides(part, fold), self.bags(part, fold)
        groups: Mapping[str, int] = {}
        if bags and isinstance(self.labels.target, Classification):
            there = Counter(self.labels.group_of(bag) for bag in bags)
            groups = {name: there[number] for number, name in enumerate(self.labels.classes)}
        elif isinstance(self.labels.target, Survival):
            events = int(self.labels.targets(bags)[:, 1].sum()) if bags else 0
            groups = {"event": events, "censored": len(bags) - events}
        return PartCount(
            part,
            len({self.patient_of[slide] for slide in slides}),
            len(slides),
            len(bags),
            sum(self.patches_of[slide] for slide in slides),
            groups,
        )


def read_cohort(store: "FeatureStore", config: TrainConfig, splits: Splits | None = None) -> Cohort:
    """Looks everything up that a training is about, and checks each part of each fold.

    `splits` are those of a training that goes on; else they are read or made as the configuration says. Raises
    UsageError and its kinds: nothing to train on, one class only, no event, a column that is not there.
    """
    store = store.at(config.snapshot) if config.snapshot else store
    space = store.resolve_space(config.space or None)
    catalog = store.catalog()
    rows = [
        dict(zip(n, c, strict=True)) for n, c in zip(catalog["spaces"], catalog["space_patches"], strict=True)
    ]
    there = np.array([space in each for each in rows], bool)
    slides = catalog.loc[there].reset_index(drop=True)
    patient_of = dict(zip(map(str, slides["slide_id"]), map(str, slides["patient_id"]), strict=True))
    counts = [int(each[space]) for each in rows if space in each]
    labels = _read_labels(store, config)
    _check_classes(labels, config)
    splits = splits or _splits(store, slides, labels, config)
    notes = []
    if all(slide == patient for slide, patient in patient_of.items()):
        notes.append("no patients are known: each slide counts as a patient of its own")
    check = splits.check(slides)
    if check.gone:
        named = ", ".join(check.gone[:5])
        notes.append(f"{len(check.gone)} slides of the splits have no bag in {space}: {named}")
    cohort = Cohort(
        store,
        space,
        config.unit,
        labels,
        splits,
        patient_of,
        dict(zip(patient_of, counts, strict=True)),
        _left_out(catalog, patient_of, labels, check.new, config),
    )
    notes += _check_parts(cohort, config)
    return replace(cohort, notes=tuple(dict.fromkeys(notes)))


def _target(config: TrainConfig) -> Classification | Regression | Survival:
    if config.task == "classification":
        return Classification(config.labels[0], config.classes or None)
    if config.task == "regression":
        return Regression(config.labels)
    return Survival(config.labels[0], config.labels[1])


def _read_labels(store: "FeatureStore", config: TrainConfig) -> Labels:
    labels = Labels.read(
        config.labels_file or store,
        _target(config),
        by="patient" if config.unit == "patient" else "slide",
        store=store,
        unknown="ignore" if config.ignore_unknown else "refuse",
    )
    if not len(labels):
        raise UsageError(
            f"no {labels.by} has a label in {', '.join(config.labels)}",
            remedy="Look at `slidelake metadata show`, or pass the table with --labels-file.",
        )
    return labels


def _check_classes(labels: Labels, config: TrainConfig) -> None:
    """Raises UsageError for a column of numbers or names that was taken for one of classes."""
    if config.task != "classification" or len(labels.classes) <= max(_MANY_CLASSES, len(labels) // 2):
        return
    shown = ", ".join(labels.classes[:3])
    raise UsageError(
        f"{config.labels[0]} has {len(labels.classes)} classes in {len(labels)} {labels.by}s ({shown}, …)",
        remedy="Pass --task regression for numbers, or name a column of classes.",
    )


def _splits(store: "FeatureStore", slides: "pd.DataFrame", labels: Labels, config: TrainConfig) -> Splits:
    if config.splits:
        table = config.splits.lower().endswith((".csv", ".parquet"))
        return Splits.from_table(config.splits, store=store) if table else Splits.load(config.splits)
    if slides.empty:
        raise UsageError("no slide has a bag in the space", remedy="Ingest slides first.")
    return make_splits(
        slides,
        labels=labels,
        parts=dict(config.parts) or None,
        folds=config.folds or None,
        seed=config.seed,
    )


def _left_out(
    catalog: "pd.DataFrame",
    patient_of: Mapping[str, str],
    labels: Labels,
    new: Sequence[str],
    config: TrainConfig,
) -> dict[str, tuple[str, ...]]:
    """Every slide of the lake that is not in the training, by the first reason that holds."""
    found: dict[str, list[str]] = {}
    unsplit = set(new)
    for slide, patient in zip(map(str, catalog["slide_id"]), map(str, catalog["patient_id"]), strict=True):
        if (slide if config.unit == "slide" else patient) not in labels:
            found.setdefault("no label", []).append(slide)
        elif slide not in patient_of:
            found.setdefault("no bag in the space", []).append(slide)
        elif slide in unsplit:
            found.setdefault("in no part of the splits", []).append(slide)
    if labels.unknown:
        found["labelled, but not in the lake"] = list(labels.unknown)
    return {reason: tuple(sorted(slides)) for reason, slides in found.items()}


def _check_parts(cohort: Cohort, config: TrainConfig) -> list[str]:
    """Raises UsageError for what cannot be trained; gives notes of what can, and should be known."""
    if TRAIN not in cohort.splits.parts:
        raise UsageError(
            f"the splits have no part train (they have: {', '.join(cohort.splits.parts)})",
            remedy="Name the part to train on train, the one that chooses the epoch val, others as you like.",
        )
    notes = []
    if not cohort.validates:
        notes.append("there is no validation part: no early stopping, and the last epoch's weights are kept")
        if config.metric != "loss":
            raise UsageError(
                f"metric is {config.metric}, and there is no validation part to measure",
                remedy="Leave it out, or divide into 3 folds or more, or into train, val and test.",
            )
    if not cohort.held_out:
        notes.append("there is no held-out part: metrics are of the part that chose the epoch, and flatter")
    for fold in cohort.folds:
        for part in cohort.splits.parts:
            where = part if fold is None else f"{part} of fold {fold}"
            notes += _check_part(cohort, config, part, fold, where)
    return notes


def _check_part(cohort: Cohort, config: TrainConfig, part: str, fold: int | None, where: str) -> list[str]:
    count = cohort.count(part, fold)
    if not count.bags:
        if part in (TRAIN, VAL):
            raise UsageError(
                f"no slide of part {where} has a label and a bag in {cohort.space}",
                remedy="Divide the slides otherwise: fewer folds, other shares, or another file of splits.",
            )
        return [f"nothing is in part {where}: it is not measured"]
    if config.task == "regression":
        return _check_numbers(cohort, part, fold, where)
    absent = [name for name, bags in count.groups.items() if not bags]
    if config.task == "survival":
        joint = config.loss == "cox" or config.metric != "loss"
        needs_events = part == TRAIN or (part == VAL and joint)
        if "event" in absent and needs_events:
            raise UsageError(
                f"no event is in part {where} ({count.bags} bags, all censored)",
                remedy="Divide the slides otherwise: fewer folds, or larger shares.",
            )
        return [f"no event is in part {where}: it has no C-index"] if "event" in absent else []
    if len(count.groups) - len(absent) < 2:
        [name] = [each for each, bags in count.groups.items() if bags]
        if part == TRAIN or (part == VAL and config.metric in ("auroc", "average_precision")):
            raise UsageError(
                f"part {where} has one class only: {name} ({count.bags} bags)",
                remedy="Divide the slides otherwise, or look at the labels."
                if part == TRAIN
                else "Divide the slides otherwise, or choose the epoch by --metric loss.",
            )
        return [f"part {where} has one class only, {name}: it has no AUROC"]
    return [f"no bag of {', '.join(absent)} is in part {where}"] if absent else []


def _check_numbers(cohort: Cohort, part: str, fold: int | None, where: str) -> list[str]:
    values = cohort.labels.targets(cohort.bags(part, fold))
    names = cohort.labels.target.columns
    constant = [
        name for name, spread in zip(names, np.ptp(values, axis=0).tolist(), strict=True) if not spread
    ]
    if constant and part == TRAIN:
        raise UsageError(
            f"{', '.join(constant)} is the same for every bag of part {where}",
            remedy="Leave the column out, or divide the slides otherwise.",
        )
    return [f"{', '.join(constant)} is the same for every bag of part {where}"] if constant else []
