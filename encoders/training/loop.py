"""The training of one fold: epochs of packed bags, the best weights kept, the place saved.

What is saved is enough to go on after a kill with the same bits: the state is written between two steps, and chance
belongs to places (step.py), not to a generator that ran on.
"""

import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import xxhash

from slidelake._version import __version__
from slidelake.encoders.slide.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from slidelake.encoders.slide.model import SlideModel
from slidelake.encoders.slide.registry import create_slide_model
from slidelake.encoders.training.cohort import TRAIN, VAL, Cohort
from slidelake.encoders.training.config import DEFAULT_BAGS, TrainConfig
from slidelake.encoders.training.distributed import World
from slidelake.encoders.training.faults import memory_told, refuse_not_finite, refuse_not_finite_outputs
from slidelake.encoders.training.log import EventLog, write_log
from slidelake.encoders.training.metrics import lower_is_better, measure
from slidelake.encoders.training.precision import Precision
from slidelake.encoders.training.predict import Outputs, predict
from slidelake.encoders.training.row_statistics import SAMPLED_ROWS, row_statistics
from slidelake.encoders.training.schedule import Patience, rate_at
from slidelake.encoders.training.state import load_state, save_state
from slidelake.encoders.training.step import Stepped, Stepper
from slidelake.encoders.training.tasks import Task
from slidelake.errors import UsageError
from slidelake.store import BagLoader
from slidelake.store.streaming import Labels, RandomRows

if TYPE_CHECKING:
    from slidelake.store.streaming import Batch

__all__ = ["ANEW", "BEST", "STATE", "FoldTraining"]

log = logging.getLogger(__name__)

BEST, STATE, LOG = "best.safetensors", "state.pt", "log.csv"
#: What to do where a training cannot go on as it was begun.
ANEW = (
    "Begin again with --overwrite, or in another folder. With --snapshot, and labels that nobody edits meanwhile, "
    "a training can always go on."
)
_SAVED = "the training was stopped and its state saved; --resume goes on with it"
#: On a GPU losses are looked at after so many steps, so that the steps do not wait for it.
_LOOK_EVERY = 16


@dataclass
class _Sums:
    """What an epoch has come to so far, on this process."""

    loss: float = 0.0
    weight: float = 0.0
    norm: float = 0.0
    steps: int = 0
    seconds: float = 0.0


@dataclass
class FoldTraining:
    """One fold, or the one division into parts: trained, measured, and saved under `folder`."""

    cohort: Cohort
    config: TrainConfig
    task: Task
    labels: Labels
    fold: int | None
    folder: Path
    world: World
    provenance: dict[str, Any]
    tell: Callable[..., None]
    stopping: Callable[[], bool]
    events: bool = False
    #: A row an epoch; how it ended: "epochs" or "patience".
    history: list[dict[str, Any]] = field(default_factory=list)
    ended: str = "epochs"

    def __post_init__(self) -> None:
        config, world = self.config, self.world
        self.precision = Precision(config.precision, world.device)
        torch.manual_seed(config.seed)
        first = self.cohort.slides(TRAIN, self.fold)[0]
        self.bag = self.cohort.store.bag(first, self.cohort.space)
        self.model = create_slide_model(
            config.encoder, dim=self.bag.dim, outputs=self.task.outputs, **config.options
        ).to(world.device)
        if config.standardise:
            self.model.standardise(*row_statistics(self._sampled()))
            self.model.to(world.device)
        world.same_weights(self.model)
        self.optimizer = _optimizer(self.model, config)
        self.patience = Patience(
            config.patience if self.cohort.validates else 0, not lower_is_better(config.metric)
        )
        self.sums = _Sums()
        self._saved_at = time.monotonic()

    # Loaders

    def loader(self, part: str, *, train: bool = False) -> BagLoader:
        """The bags of a part: shuffled, drawn and sampled as configured to train on; whole and in order to measure."""
        config, world = self.config, self.world
        alone = bool(config.sample) and not train
        sample = RandomRows(config.sample) if config.sample and train else None
        return BagLoader(
            self.cohort.store,
            space=self.cohort.space,
            labels=self.labels,
            splits=self.cohort.splits,
            part=part,
            fold=self.fold,
            unit="patient" if config.unit == "patient" else "slide",
            # Batches are cut for what is sampled: whole bags come one by one.
            bags_per_batch=1 if alone else config.bags,
            patches_per_batch=None if alone else config.patches_per_batch or None,
            sample=sample,
            balance=None if config.balance == "none" or not train else config.balance,  # type: ignore[arg-type]
            shuffle=train,
            seed=config.seed,
            rank=world.rank,
            world_size=world.size,
            device=world.device if world.device.type == "cuda" else None,
            cache=config.cache or None,
            with_coords=self.model.needs_coords,
        )

    def _sampled(self) -> BagLoader:
        """Some rows of every bag that is trained on, the same ones in every process."""
        return BagLoader(
            self.cohort.store,
            space=self.cohort.space,
            splits=self.cohort.splits,
            part=TRAIN,
            fold=self.fold,
            bags_per_batch=DEFAULT_BAGS,
            sample=RandomRows(SAMPLED_ROWS),
            shuffle=False,
            seed=self.config.seed,
            cache=self.config.cache or None,
        )

    # Epochs

    def run(self) -> None:
        """All epochs, from where a saved state stands. Raises KeyboardInterrupt after a signal, the state saved."""
        loader, state = self.loader(TRAIN, train=True), self._restore()
        if state is not None:
            try:
                loader.load_state_dict(state["loader"] | {"rank": self.world.rank})
            except UsageError as exc:
                raise UsageError(exc.problem, remedy=ANEW) from exc
            if state["labels"] != self._labels_digest:
                raise UsageError(
                    "the labels, or the slides to validate on, changed since the state was saved", remedy=ANEW
                )
        val = self.loader(VAL) if self.cohort.validates else None
        first = loader.epoch
        writer = EventLog(self.folder / "tensorboard", first) if self.events and self.world.first else None
        try:
            if first and self.patience.over(first - 1):
                self.ended = "patience"
                return
            for epoch in range(first, self.config.epochs):
                with memory_told(self.config, f"in epoch {epoch + 1}", max(self.cohort.patches_of.values())):
                    self._train(loader, epoch)
                row = self._finish(epoch, val)
                self._save(loader)
                if writer is not None:
                    writer.epoch(row)
                self.tell("epoch", fold=self.fold, **row)
                if self.patience.over(epoch):
                    self.ended = "patience"
                    return
                if epoch + 1 < self.config.epochs and self._due() == "stop":
                    raise KeyboardInterrupt(_SAVED)
        finally:
            if writer is not None:
                writer.close()

    def _train(self, loader: BagLoader, epoch: int) -> None:
        self.model.train()
        plan = [len(draws) for draws in loader.plan(epoch).steps]
        size = self.config.accumulate
        bags = self.world.sums([float(sum(plan[n : n + size])) for n in range(0, len(plan), size)])
        self.tell("steps", fold=self.fold, epoch=epoch, total=len(bags))
        step = Stepper(
            self.model, self.task, self.optimizer, self.precision, self.world, self.config, self.fold
        )
        waiting: list[Stepped] = []
        started = time.monotonic()
        for number, window in _windows(loader, size):
            self._set_rate(epoch + (number + 0.5) / len(bags))
            waiting.append(step(window, epoch, number, round(bags[number])))
            del window
            due = self._due()
            if due or self.world.device.type == "cpu" or len(waiting) == _LOOK_EVERY:
                self._look(waiting)
            self.tell("step", fold=self.fold, epoch=epoch, done=number + 1)
            if due and number + 1 < len(bags):
                self.sums.seconds += time.monotonic() - started
                started = time.monotonic()
                self._save(loader)
                if due == "stop":
                    raise KeyboardInterrupt(_SAVED)
        self._look(waiting)
        self.sums.seconds += time.monotonic() - started

    def _due(self) -> str:
        """Whether the state is to be saved now: "stop", "save" or "". The same on every process."""
        minutes = self.config.checkpoint_minutes
        late = bool(minutes) and time.monotonic() - self._saved_at > 60 * minutes
        stop, save = self.world.sums([float(self.stopping()), float(late and self.world.first)])
        return "stop" if stop else "save" if save else ""

    def _look(self, waiting: list[Stepped]) -> None:
        """Takes what steps gave into the epoch's sums, once it is known to be numbers."""
        refuse_not_finite(self.cohort, waiting, scaled=self.precision.scales)
        for each in waiting:
            self.sums.loss += float(each.loss)
            self.sums.weight += each.weight
            self.sums.norm += float(each.norm) if math.isfinite(each.norm) else 0.0
            self.sums.steps += 1
        waiting.clear()

    def _set_rate(self, place: float) -> None:
        config = self.config
        rate = rate_at(place, lr=config.lr, warmup_epochs=config.warmup_epochs, epochs=config.epochs)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def _finish(self, epoch: int, val: BagLoader | None) -> dict[str, Any]:
        """The epoch's row of the log; the weights are kept if they are the best."""
        sums = self.sums
        loss, weight, norm, steps = self.world.sums([sums.loss, sums.weight, sums.norm, float(sums.steps)])
        row: dict[str, Any] = {
            "epoch": epoch,
            "lr": self.optimizer.param_groups[0]["lr"],
            "train_loss": loss / weight if weight else None,
            "grad_norm": norm / steps,
        }
        value = None
        if val is not None:
            found = self.measured(val)
            row |= {f"val_{name}": each for name, each in found.items()}
            value = found[self.config.metric]
        best = self.patience.saw(epoch, value) if val is not None else epoch == self.config.epochs - 1
        # What was measured last is kept where nothing else can be said.
        best = best or (self.patience.best is None and epoch == self.config.epochs - 1)
        self.history.append(row | {"best": best, "seconds": round(sums.seconds, 3)})
        self.sums = _Sums()
        if best and self.world.first:
            self._keep(row)
        return self.history[-1]

    def measured(self, loader: BagLoader) -> dict[str, float | None]:
        """The loss over a part, and its measures."""
        out = self.outputs(loader)
        values = measure(
            self.task.kind,
            out.targets.numpy(),
            self.task.predictions(out.logits),
            ordered=self.config.ordered,
        )
        return {"loss": self.task.part_loss(out.logits, out.targets), **values}

    def outputs(self, loader: BagLoader) -> Outputs:
        """The model's output for each bag of a part."""
        with memory_told(self.config, "while a part was measured", max(self.cohort.patches_of.values())):
            out = predict(
                self.model, loader, self.world, self.precision, patients=self.config.unit == "patient"
            )
        refuse_not_finite_outputs(self.cohort, out)
        return out

    # What is kept

    def _keep(self, row: dict[str, Any]) -> None:
        checkpoint = Checkpoint(
            self.model,
            self.cohort.space,
            self.task.about(),
            self.bag.commit.provenance.get("encoder") or {},
            {
                **self.provenance,
                "slidelake_version": __version__,
                "fold": self.fold,
                "precision": self.precision.name,
                "metrics": row,
            },
        )
        save_checkpoint(self.folder / BEST, checkpoint)

    def load_best(self) -> None:
        """Puts the weights that were kept into the model, on every process."""
        state = None
        if self.world.first:
            state = load_checkpoint(self.folder / BEST).model.state_dict()
        kept = self.world.from_first(state)
        assert kept is not None
        self.model.load_state_dict(kept)

    def _save(self, loader: BagLoader) -> None:
        self._saved_at = time.monotonic()
        sums = self.world.gather(astuple(self.sums))
        if not self.world.first:
            return
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.precision.state_dict(),
            "loader": loader.state_dict(),
            "patience": [self.patience.best, self.patience.best_epoch],
            # Kept apart for each process: a sum over all would round otherwise.
            "sums": [list(each) for each in sums],
            "history": self.history,
            "labels": self._labels_digest,
        }
        save_state(self.folder / STATE, self.config, state)
        if self.history:
            write_log(self.folder / LOG, self.history)

    def _restore(self) -> dict[str, Any] | None:
        """Takes over a saved state, where there is one."""
        own = load_state(self.folder / STATE, self.config) if self.world.first else None
        state = self.world.from_first(own)
        if state is None:
            return None
        if len(state["sums"]) != self.world.size:
            raise UsageError(
                f"the training was begun by {len(state['sums'])} processes, and goes on with {self.world.size}",
                remedy="Start as many, so that batches and results are those of before.",
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.precision.load_state_dict(state["scaler"])
        self.patience.best, self.patience.best_epoch = state["patience"]
        self.sums = _Sums(*state["sums"][self.world.rank])
        self.history = list(state["history"])
        log.info("training goes on", extra={"fold": self.fold, "epoch": state["loader"]["epoch"]})
        return state

    @cached_property
    def _labels_digest(self) -> str:
        """Changes with the label of any bag that decides the weights."""
        parts = [TRAIN] + [VAL] * self.cohort.validates
        bags = [bag for part in parts for bag in self.cohort.bags(part, self.fold)]
        told = [self.labels.classes, bags, self.labels.targets(bags).tolist()]
        return xxhash.xxh3_128_hexdigest(json.dumps(told).encode())


def _windows(loader: BagLoader, size: int) -> "Iterator[tuple[int, list[Batch]]]":
    """The batches that are left of the epoch, by steps of the optimiser, each with its number."""
    number = loader.state_dict()["step"] // size
    window: list[Batch] = []
    steps = len(loader)
    done = number * size
    for batch in loader:
        window.append(batch)
        done += 1
        if len(window) == size or done == steps:
            handed, window = window, []
            yield number, handed
            number += 1


def _optimizer(model: SlideModel, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW; biases, norms and other vectors do not decay."""
    trained = [each for each in model.parameters() if each.requires_grad]
    groups = [
        {"params": [each for each in trained if each.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [each for each in trained if each.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([each for each in groups if each["params"]], lr=config.lr)
