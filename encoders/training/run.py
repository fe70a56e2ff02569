"""`train`: every fold of a training, then what it came to."""

import json
import logging
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xxhash

from slidelake._version import __version__
from slidelake.encoders.slide.entropy import attention_entropy
from slidelake.encoders.slide.model import Bags
from slidelake.encoders.slide.registry import create_slide_model
from slidelake.encoders.training.cohort import TRAIN, VAL, Cohort, read_cohort
from slidelake.encoders.training.config import TrainConfig
from slidelake.encoders.training.config_file import make_config, read_config, write_config
from slidelake.encoders.training.distributed import World, join_world
from slidelake.encoders.training.interrupt import noted_signals
from slidelake.encoders.training.log import tensorboard_there
from slidelake.encoders.training.loop import ANEW, BEST, LOG, STATE, FoldTraining
from slidelake.encoders.training.metrics import estimates, ranked_within_folds
from slidelake.encoders.training.pictures import draw_pictures
from slidelake.encoders.training.predict import (
    Predictions,
    concatenate,
    join,
    read_predictions,
    write_predictions,
)
from slidelake.encoders.training.report import FoldReport, Measured, TrainReport, doubts, save_report
from slidelake.encoders.training.tasks import Task, fit_task
from slidelake.encoders.training.whole_file import whole_file
from slidelake.errors import MissingDependencyError, UsageError
from slidelake.store.streaming import Labels, Splits

if TYPE_CHECKING:
    from slidelake.store import FeatureStore

__all__ = ["train"]

log = logging.getLogger(__name__)

CONFIG, SPLITS, PREDICTIONS, DONE = "config.toml", "splits.json", "predictions.csv", "fold.json"
#: With fewer bags in a step, risk sets say little.
_FEW_BAGS = 16
#: All that a training writes, so that overwriting takes away nothing else.
_OURS = (
    CONFIG,
    SPLITS,
    PREDICTIONS,
    DONE,
    BEST,
    STATE,
    LOG,
    "report.json",
    "report.html",
    "pictures",
    "tensorboard",
)


@dataclass(frozen=True)
class _Fold:
    """What a fold left behind: how it went, its log, its predictions."""

    report: FoldReport
    history: list[dict[str, Any]]
    predictions: Predictions
    parameters: int


def train(
    store: "FeatureStore",
    config: TrainConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Callable[..., None] | None = None,
) -> TrainReport:
    """Train a slide encoder on the bags of a store, fold by fold, and measure it on patients it never saw.

    In `config.out` lie then config.toml, splits.json, predictions.csv, report.json, pictures/, and for each fold
    (in fold-<n>/, or beside them where there is one division into parts) best.safetensors, log.csv and TensorBoard
    events. Without `resume` a folder that holds a training is refused; `overwrite` replaces it; `resume` goes on
    where it stopped, and ends with the same bits as if it had never stopped. Under torchrun each process takes its
    share of the batches; the first one writes, and all return the same report. Splits, predictions and the report name
    slides and patients, and lie outside the store: a deletion does not reach them.

    progress: start (folds, epochs), fold (fold, counts), steps (total), step (done), epoch (a row of the log), trained
    (kept: the row of the epoch that was kept), measure, end. Ctrl-C or SIGTERM: the state is saved, then
    KeyboardInterrupt.

    Raises UsageError and its kinds for what cannot be trained, MissingDependencyError without the packages of
    `slidelake[train]`, NotFiniteError for a loss that is no number, SlidelakeError where memory does not suffice.
    """
    began, tell = time.monotonic(), progress or _silence
    _need_packages(config)
    events = tensorboard_there(config.tensorboard)
    with join_world(config.device) as world, _own_chance(world):
        if not world.first:
            tell = _silence
        out = Path(config.out).expanduser()
        splits = world.first_makes(lambda: _look(out, config, resume, overwrite))
        cohort = read_cohort(store, config, splits)
        # Everything that can be refused is refused here, before the first fold is trained for hours.
        fitted = [fit_task(config, cohort.labels, cohort.bags(TRAIN, fold)) for fold in cohort.folds]
        _check_model(cohort, config, fitted[0][0], world)
        if world.first:
            if overwrite and not resume:
                _clear(out)
            out.mkdir(parents=True, exist_ok=True)
            cohort.splits.save(out / SPLITS, overwrite=True)
            write_config(config, out / CONFIG)
        checksum = _checksum(cohort.splits)
        provenance = {
            "config": config.lasting(),
            "snapshot": config.snapshot,
            "seed": config.seed,
            "splits": checksum,
            "processes": world.size,
        }
        tell("start", folds=len(cohort.folds), epochs=config.epochs)
        done = []
        with noted_signals() as stopping:
            for fold, (task, labels) in zip(cohort.folds, fitted, strict=True):
                folder = out if fold is None else out / f"fold-{fold}"
                training = FoldTraining(
                    cohort, config, task, labels, fold, folder, world, provenance, tell, stopping, events
                )
                done.append(_fold(training))
        tell("measure")
        task = fitted[0][0]
        report = _report(out, cohort, config, task, done, world, events)
        report = replace(report, splits_checksum=checksum, run=_run(world, training, began))
        if world.first:
            everything = concatenate(task, [each.predictions for each in done])
            write_predictions(out / PREDICTIONS, task, everything, config.unit)
            if config.pictures:
                histories = {each.report.fold: each.history for each in done}
                shown = everything.where(report.shown)
                names = draw_pictures(out / "pictures", task, shown, histories, config)
                report = replace(report, pictures=tuple(f"pictures/{name}" for name in names))
            save_report(report)
        tell("end")
        return report


def _check_model(cohort: Cohort, config: TrainConfig, task: Task, world: World) -> None:
    """Raises UsageError for a slide encoder or an option that there is not, or that is not made for the task."""
    dim = cohort.store.bag(cohort.slides(TRAIN, cohort.folds[0])[0], cohort.space).dim
    model = create_slide_model(config.encoder, dim=dim, outputs=task.outputs, **config.options)
    model.check_task(task.kind)
    if config.entropy_weight:
        # Whether there is attention, an output tells.
        bag = Bags(torch.zeros(8, dim), torch.tensor([0, 8]), coords=torch.zeros(8, 2, dtype=torch.int32))
        with torch.no_grad():
            attention_entropy(model.eval()(bag), bag.cu_seqlens)
    if task.joint and config.bags is not None and config.bags * config.accumulate * world.size < 2:
        raise UsageError(
            "Cox's loss compares bags, and a step has one",
            remedy="Give --bags-per-batch or --accumulate so that a step has two bags at least, better dozens.",
        )


def _need_packages(config: TrainConfig) -> None:
    needed = ["matplotlib"] * config.pictures + ["lifelines"] * (config.task == "survival")
    if absent := [name for name in needed if find_spec(name) is None]:
        raise MissingDependencyError(
            f"training needs {' and '.join(absent)}", remedy="pip install 'slidelake[train]'."
        )


@contextmanager
def _own_chance(world: World) -> Iterator[None]:
    """The caller's random numbers go on afterwards as if nothing had been drawn."""
    devices = [world.device] if world.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        yield


def _look(out: Path, config: TrainConfig, resume: bool, overwrite: bool) -> Splits | None:
    """The folder for the results, looked at and left as it is; the splits of the training that goes on."""
    there = out.is_dir() and any(out.iterdir())
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file", remedy="Name a folder with --out.")
    ours = (out / CONFIG).is_file()
    if resume:
        if not ours:
            raise UsageError(f"there is no training in {out} to go on with", remedy="Leave --resume out.")
        _same_config(out, config)
        return Splits.load(out / SPLITS)
    if not there:
        return None
    if not overwrite:
        remedy = "Pass --resume to go on with it, --overwrite to replace it," if ours else ""
        raise UsageError(
            f"{out} holds {'a training' if ours else 'other things'} already",
            remedy=f"{remedy} or name another folder." if ours else "Name another folder with --out.",
        )
    if not ours:
        raise UsageError(f"{out} holds no training to overwrite", remedy="Name another folder with --out.")
    return None


def _clear(out: Path) -> None:
    """Removes what an earlier training wrote; last of all what the folder is known by, should this be interrupted."""
    for each in [*out.glob("fold-*"), *(out / name for name in reversed(_OURS))]:
        if each.is_dir():
            shutil.rmtree(each)
        else:
            each.unlink(missing_ok=True)


def _same_config(out: Path, config: TrainConfig) -> None:
    before = make_config(read_config(out / CONFIG)).lasting()
    now = config.lasting()
    other = [f"{name} ({before[name]!r}, now {now[name]!r})" for name in now if now[name] != before[name]]
    if other:
        raise UsageError(
            f"the training in {out} has other settings: {', '.join(other)}",
            remedy="Go on with those it was begun with, or name another folder.",
        )


def _checksum(splits: Splits) -> str:
    body = {"folds": splits.folds, "buckets": splits.buckets}
    text = json.dumps(body, sort_keys=True, ensure_ascii=False)
    return f"xxh3-128:{xxhash.xxh3_128(text.encode()).hexdigest()}"


def _fold(training: FoldTraining) -> _Fold:
    """Trains a fold, or takes up what it left when it was done before; then measures what was kept."""
    cohort, fold, task, world = training.cohort, training.fold, training.task, training.world
    unit = training.config.unit
    counts = tuple(cohort.count(part, fold) for part in cohort.splits.parts)
    parameters = sum(each.numel() for each in training.model.parameters())
    folder = training.folder
    before = None
    if world.first and (folder / DONE).is_file():
        said = json.loads((folder / DONE).read_text(encoding="utf-8"))
        before = said, read_predictions(folder / PREDICTIONS, task, unit)
        _check_labels(folder / PREDICTIONS, before[1], training.labels)
    if (known := world.from_first(before)) is not None:
        said, predictions = known
        return _Fold(_fold_report(said, training, counts), said["history"], predictions, parameters)
    if world.first:
        folder.mkdir(parents=True, exist_ok=True)
    training.tell("fold", fold=fold, counts=counts)
    training.run()
    training.load_best()
    parts = [VAL] * cohort.validates + list(cohort.held_out)
    made = [
        (part, fold or 0, training.outputs(training.loader(part)))
        for part in parts
        if cohort.bags(part, fold)
    ]
    predictions = join(task, made)
    said = {
        "ended": training.ended,
        "best_epoch": next(row["epoch"] for row in reversed(training.history) if row["best"]),
        "history": training.history,
    }
    kept = training.history[said["best_epoch"]]
    training.tell("trained", fold=fold, epochs=len(training.history), ended=training.ended, kept=kept)
    if world.first:
        write_predictions(folder / PREDICTIONS, task, predictions, unit)
        predictions = read_predictions(folder / PREDICTIONS, task, unit)
        with whole_file(folder / DONE) as beside:
            beside.write_text(json.dumps(said) + "\n", encoding="utf-8")
        (folder / STATE).unlink(missing_ok=True)
    return _Fold(
        _fold_report(said, training, counts), training.history, world.from_first(predictions), parameters
    )


def _check_labels(path: Path, made: Predictions, labels: Labels) -> None:
    """Raises UsageError where a fold that was done before was measured by other labels than there are now."""
    for bag, target in zip(made.bags, made.targets, strict=True):
        if bag not in labels:
            continue
        before, now = np.atleast_1d(target).astype(np.float32), np.atleast_1d(labels.target_of(bag))
        if not np.array_equal(before, now[: len(before)]):
            raise UsageError(f"the labels changed since {path} was written ({bag}, for one)", remedy=ANEW)


def _fold_report(said: Mapping[str, Any], training: FoldTraining, counts: Any) -> FoldReport:
    best = training.folder / BEST
    return FoldReport(
        training.fold,
        len(said["history"]),
        said["best_epoch"],
        said["ended"],
        round(sum(row["seconds"] for row in said["history"]), 3),
        best.name if training.fold is None else f"{training.folder.name}/{best.name}",
        counts,
    )


def _report(
    out: Path,
    cohort: Cohort,
    config: TrainConfig,
    task: Task,
    done: list[_Fold],
    world: World,
    events: bool,
) -> TrainReport:
    everything = concatenate(task, [each.predictions for each in done])
    parts = [part for part in (VAL, *cohort.held_out) if part in everything.parts]
    shown = next((part for part in parts if part != VAL), VAL if VAL in parts else "")
    measured = []
    for part in parts:
        for fold in [*([] if len(cohort.folds) == 1 else range(len(cohort.folds))), None]:
            made = everything.where(part, fold)
            if len(made):
                # The validation part chose the epoch: an interval would claim more than it can.
                draws = config.bootstrap if part != VAL else 0
                measured.append(_measured(part, fold, made, task, config, draws))
    notes = list(cohort.notes)
    if task.joint and config.bags is not None and config.bags * config.accumulate * world.size < _FEW_BAGS:
        bags = config.bags * config.accumulate * world.size
        notes.append(f"Cox's loss compared {bags} bags a step: with --accumulate it compares more")
    notes += doubts(everything, parts, task, config)
    if config.tensorboard == "auto" and not events:
        notes.append("no TensorBoard events: pip install 'slidelake[train]' for them")
    first = cohort.store.bag(cohort.slides(TRAIN, cohort.folds[0])[0], cohort.space)
    log.info("training done", extra={"out": str(out), "processes": world.size})
    return TrainReport(
        out=out,
        config=config.to_dict(),
        task=task.about(),
        space=cohort.space,
        patch_encoder=first.commit.provenance.get("encoder") or {},
        parameters=done[0].parameters,
        folds=tuple(each.report for each in done),
        measured=tuple(measured),
        shown=shown,
        splits_checksum="",
        left_out=cohort.left_out,
        notes=tuple(notes),
        pictures=(),
    )


def _measured(
    part: str, fold: int | None, made: Predictions, task: Task, config: TrainConfig, draws: int
) -> Measured:
    one_model = len(set(made.folds.tolist())) == 1
    comparable = made if task.kind != "survival" or one_model else ranked_within_folds(made)
    found = estimates(task.kind, comparable, ordered=config.ordered, draws=draws, seed=config.seed)
    return Measured(part, fold, len(made), len(set(made.patients)), found)


def _run(world: World, training: FoldTraining, began: float) -> dict[str, Any]:
    """Where and with what it ran."""
    device = world.device
    name = (
        torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or device.type
    )
    return {
        "device": f"{device.type} ({name})" if name != device.type else name,
        "precision": training.precision.name,
        "processes": world.size,
        "slidelake": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began, 1),
    }


def _silence(event: str, **fields: object) -> None:
    """Progress that nobody watches."""
