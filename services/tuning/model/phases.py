"""The two phases: the projector on captions before a frozen language model, then projector and LoRA on the rest.

A step's loss is the mean over all learnt tokens of its batches. What is saved is enough to go on after a kill with the
same bits: the state is written between two steps, and chance belongs to places, not to a generator that ran on.
"""

import hashlib
import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from slidelake.errors import NotFiniteError
from slidelake.services.tuning.model.assistant import Assistant, pad_prompts
from slidelake.services.tuning.model.config import TuneConfig
from slidelake.services.tuning.model.features import FeatureReader, Waiting, stream
from slidelake.services.tuning.model.prompts import Prompt, Prompter
from slidelake.services.tuning.model.rows import Placed

if TYPE_CHECKING:
    from slidelake.encoders.training import Precision

__all__ = ["PHASES", "Phase", "PhaseRun"]

#: Phase 1 and phase 2.
PHASES = ("align", "tune")
#: Rows of the validation part whose loss is looked at after each epoch.
_MOST_VAL = 512
_NAMES = 5


@dataclass(frozen=True)
class Phase:
    """What is learnt from, how often and how fast: rows that fit the context, and those to look at meanwhile."""

    name: str
    rows: Sequence[Placed]
    val: Sequence[Placed]
    epochs: int
    lr: float

    def steps(self, config: TuneConfig) -> int:
        """Steps of the optimiser in an epoch."""
        return math.ceil(len(self.rows) / (config.batch * config.accumulate))


@dataclass
class _Sums:
    """What the log's next line has come to so far."""

    loss: float = 0.0
    learnt: int = 0
    tokens: int = 0
    norm: float = 0.0
    steps: int = 0
    seconds: float = 0.0
    waited: float = 0.0


@dataclass
class PhaseRun:
    """One phase of one tuning. `save` is called between steps with the place; `stopping` says whether to stop there."""

    phase: Phase
    assistant: Assistant
    prompter: Prompter
    reader: FeatureReader
    config: TuneConfig
    precision: "Precision"
    device: torch.device
    history: list[dict[str, Any]]
    tell: Callable[..., None]
    due: Callable[[], str]
    save: Callable[["PhaseRun"], None]
    epoch: int = 0
    step: int = 0
    sums: _Sums = field(default_factory=_Sums)

    def __post_init__(self) -> None:
        self.assistant.requires_grad_(False)
        learns: list[nn.Module] = [self.assistant.projector]
        self.assistant.projector.requires_grad_(True)
        self.parameters = list(self.assistant.projector.parameters())
        if self.phase.name == "tune":
            lora = [each for name, each in self.assistant.language.named_parameters() if "lora_" in name]
            self.parameters += [each.requires_grad_(True) for each in lora]
            learns.append(self.assistant.language)
        elif self.config.recompute:
            # transformers computes again in training mode alone.
            learns.append(self.assistant.language)
        self._learns = learns
        groups = [
            {
                "params": [each for each in self.parameters if each.ndim > 1],
                "weight_decay": self.config.weight_decay,
            },
            {"params": [each for each in self.parameters if each.ndim < 2], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW([each for each in groups if each["params"]], lr=self.phase.lr)

    # The place

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides how this phase goes on, but for what learns."""
        return {
            "phase": self.phase.name,
            "epoch": self.epoch,
            "step": self.step,
            "sums": list(vars(self.sums).values()),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes what `state_dict` gave."""
        self.epoch, self.step = int(state["epoch"]), int(state["step"])
        self.sums = _Sums(*state["sums"])
        self.optimizer.load_state_dict(state["optimizer"])

    # Steps

    def run(self) -> bool:
        """All epochs that are left; whether it was stopped, after the state was saved."""
        steps = self.phase.steps(self.config)
        self.tell(
            "phase",
            name=self.phase.name,
            total=self.phase.epochs * steps,
            done=self.epoch * steps + self.step,
        )
        while self.epoch < self.phase.epochs:
            if self._epoch(steps) == "stop" and self.epoch < self.phase.epochs:
                return True
        return False

    def _epoch(self, steps: int) -> str:
        windows = self._windows(self._order(self.epoch), self.step)
        began = time.perf_counter()
        for window in windows:
            self._set_rate(self.epoch * steps + self.step, self.phase.epochs * steps)
            self._learn(window)
            self.step += 1
            last = self.step == steps
            self.sums.seconds += time.perf_counter() - began
            if self.sums.steps == self.config.log_every or last:
                self._log(val=self._val_loss() if last else None)
            self.tell("step", phase=self.phase.name, done=self.epoch * steps + self.step)
            if last:
                break
            if due := self.due():
                self.save(self)
                if due == "stop":
                    windows.close()
                    return "stop"
            began = time.perf_counter()
        self.epoch, self.step = self.epoch + 1, 0
        self.save(self)
        return self.due()

    def _order(self, epoch: int) -> list[Placed]:
        order = np.random.default_rng([self.config.seed, PHASES.index(self.phase.name), epoch]).permutation(
            len(self.phase.rows)
        )
        return [self.phase.rows[number] for number in order]

    def _windows(self, rows: Sequence[Placed], first: int) -> Generator[Any, None, None]:
        """The batches of each step from the `first` on: (rows, prompts, features), read ahead."""
        size, several = self.config.batch, self.config.accumulate
        cut = [rows[n : n + size] for n in range(0, len(rows), size)][first * several :]
        waiting = Waiting()
        places = [((self.phase.name, self.epoch, first * several + n), each) for n, each in enumerate(cut)]
        packed = stream(
            self.reader, places, readers=self.config.readers, ahead=self.config.ahead, waiting=waiting
        )
        window = []
        for number, (batch, features) in enumerate(zip(cut, packed, strict=True), 1):
            window.append((batch, features))
            if len(window) == several or number == len(cut):
                self.sums.waited += waiting.seconds
                waiting.seconds = 0.0
                yield window
                window = []

    def _learn(self, window: Sequence[Any]) -> None:
        for each in self._learns:
            each.train()
        prompts = [self._prompts(batch) for batch, _ in window]
        learnt = sum(sum(label >= 0 for label in each.labels) for batch in prompts for each in batch)
        for place, ((batch, packed), written) in enumerate(zip(window, prompts, strict=True)):
            key = (self.config.seed, self.phase.name, self.epoch, self.step, place)
            digest = hashlib.blake2b("\0".join(map(str, key)).encode(), digest_size=8).digest()
            torch.manual_seed(int.from_bytes(digest) >> 1)
            loss = self._loss(written, packed)
            if not math.isfinite(value := float(loss.detach())):
                raise self._not_finite(batch, "loss")
            self.precision.scale(loss / learnt).backward()  # type: ignore[no-untyped-call]
            self.sums.loss += value
            self.sums.tokens += sum(len(each.ids) for each in written)
        self.precision.unscale(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.clip or float("inf"))
        if not math.isfinite(norm):
            raise self._not_finite([each for batch, _ in window for each in batch], "gradient")
        self.precision.step(self.optimizer)
        self.optimizer.zero_grad(set_to_none=True)
        for each in self._learns:
            each.eval()
        self.sums.learnt += learnt
        self.sums.norm += float(norm)
        self.sums.steps += 1

    def _loss(self, prompts: Sequence[Prompt], packed: Any) -> Tensor:
        padded = pad_prompts(prompts, self.prompter.pad).to(self.device)
        with self.precision.cast():
            return self.assistant.loss(padded, packed.to(self.device))

    def _prompts(self, rows: Sequence[Placed]) -> list[Prompt]:
        # Rows that are too long were left out before: each has a prompt.
        return [prompt for each in rows if (prompt := self.prompter(each.row)) is not None]

    def _set_rate(self, done: int, total: int) -> None:
        rate = self.phase.lr * _share(done + 0.5, total, self.config.warmup * total)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def _not_finite(self, rows: Sequence[Placed], what: str) -> NotFiniteError:
        named = ", ".join(f"{each.row.id} ({each.slide_id})" for each in rows[:_NAMES])
        rate = "align_lr" if self.phase.name == "align" else "tune_lr"
        return NotFiniteError(
            f"the {what} is not finite in phase {self.phase.name}, step {self.step + 1} of epoch {self.epoch + 1}, "
            f"at a batch with {named}; their features are finite",
            remedy=f"Lower --{rate.replace('_', '-')} ({self.optimizer.param_groups[0]['lr']:.3g} now), pass --clip 1, "
            "or use --precision no. --resume goes on from the state that was saved last.",
        )

    # The log

    @torch.inference_mode()
    def _val_loss(self) -> float | None:
        """The mean loss a learnt token over the validation part, seen the same way each time."""
        rows = self.phase.val[:_MOST_VAL]
        total, learnt = 0.0, 0
        cut = [rows[n : n + self.config.batch] for n in range(0, len(rows), self.config.batch)]
        packed = stream(
            self.reader,
            [(("val",), each) for each in cut],
            readers=self.config.readers,
            ahead=self.config.ahead,
            waiting=Waiting(),
        )
        for batch, features in zip(cut, packed, strict=True):
            prompts = self._prompts(batch)
            total += float(self._loss(prompts, features))
            learnt += sum(label >= 0 for each in prompts for label in each.labels)
        return total / learnt if learnt else None

    def _log(self, val: float | None) -> None:
        sums = self.sums
        self.history.append(
            {
                "phase": self.phase.name,
                "epoch": self.epoch + 1,
                "step": self.epoch * self.phase.steps(self.config) + self.step,
                "lr": self.optimizer.param_groups[0]["lr"],
                "train_loss": sums.loss / sums.learnt,
                "val_loss": val,
                "grad_norm": sums.norm / sums.steps,
                "tokens": sums.tokens,
                "learnt_tokens": sums.learnt,
                "seconds": round(sums.seconds, 4),
                "waited": round(sums.waited, 4),
            }
        )
        self.sums = _Sums()
        self.tell("log", **self.history[-1])


def _share(done: float, total: int, warmup: float) -> float:
    """The rate at a place, as a share of the largest: a line up, then half a cosine down to 0; of the place alone."""
    if done < warmup:
        return done / warmup
    return 0.5 * (1 + math.cos(math.pi * (done - warmup) / (total - warmup)))
