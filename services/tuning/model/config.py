"""What a tuning is told: one frozen dataclass, checked when it is made."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from slidelake.errors import UsageError

__all__ = ["TARGETS", "TINY", "TuneConfig"]

#: The linear layers of a LLaMA that take LoRA: those of attention and of the feed-forward part.
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
#: The name of a small random LLaMA that is made on the spot, with a tokenizer from the rows' own words.
TINY = "tiny"
_CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"features": ("lake", "zeros", "shuffled"), "precision": ("auto", "bf16", "no")}
)
#: The least that a number may be.
_LEAST: Mapping[str, float] = MappingProxyType(
    {
        "tokens": 1, "patches": 1, "context": 16, "rank": 1, "alpha": 0, "batch": 1, "accumulate": 1,
        "align_epochs": 0, "tune_epochs": 0, "weight_decay": 0, "warmup": 0, "clip": 0, "answer_tokens": 1,
        "held_out_rows": 0, "seed": 0, "checkpoint_minutes": 0, "readers": 1, "ahead": 1, "log_every": 1,
    }
)  # fmt: skip
#: What changes nothing about the weights.
_PASSING = ("out", "checkpoint_minutes", "readers", "ahead", "pictures", "answer_tokens", "held_out_rows")


@dataclass(frozen=True)
class TuneConfig:
    """A tuning of a projector and of a language model's LoRA. Raises UsageError for a value that cannot be."""

    #: rows.jsonl, as `slidelake tune-data` writes it.
    rows: str
    #: The folder for all that comes out.
    out: str
    #: A folder with a causal language model and its tokenizer in Hugging Face's form, or "tiny".
    model: str = TINY
    #: A folder that an earlier tuning wrote: its projector and LoRA are where this one begins.
    start: str = ""
    #: Grid and encoder of the features; needed where the rows name none and the lake has several.
    space: str = ""
    snapshot: str = ""
    #: Leave out rows about slides that the lake lacks, in place of refusing them.
    ignore_unknown: bool = False
    #: The projector, its number of tokens, its options.
    projector: str = "attention"
    tokens: int = 8
    options: Mapping[str, Any] = field(default_factory=dict)
    #: Rows of a bag that are seen at once, drawn anew for each step where it has more.
    patches: int = 4096
    #: What the model is shown: the lake's features, or as controls none at all (zeros) or another patient's.
    features: str = "lake"
    #: Tokens of a whole conversation, with those of the features; 0: what the model can take, 2,048 at most.
    context: int = 0
    #: LoRA.
    rank: int = 64
    alpha: float = 16.0
    dropout: float = 0.05
    targets: tuple[str, ...] = TARGETS
    #: Rows of a batch, batches of a step.
    batch: int = 8
    accumulate: int = 1
    #: Phase 1: the projector on captions, the language model frozen. Phase 2: projector and LoRA on the other rows.
    align_epochs: int = 1
    tune_epochs: int = 3
    align_lr: float = 1e-3
    tune_lr: float = 2e-4
    weight_decay: float = 0.0
    #: Share of a phase's steps in which the rate rises, before it falls by a cosine.
    warmup: float = 0.03
    #: The gradient's norm at most; 0: whatever it is.
    clip: float = 1.0
    #: "auto": bf16 on a GPU that has it.
    precision: str = "auto"
    #: Compute activations again in the backward pass, for less memory.
    recompute: bool = False
    #: Tokens of an answer at most, and rows of the held-out part that are asked (0: all).
    answer_tokens: int = 64
    held_out_rows: int = 0
    seed: int = 0
    device: str = "auto"
    #: Between two saved states; 0: at the ends of epochs alone.
    checkpoint_minutes: float = 10.0
    #: Threads that read bags, and batches that are read ahead.
    readers: int = 2
    ahead: int = 4
    #: Steps of a line of the log.
    log_every: int = 10
    pictures: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))
        object.__setattr__(self, "targets", tuple(self.targets))
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise UsageError(
                    f"{name} is {getattr(self, name)!r}", remedy=f"Use one of: {', '.join(known)}."
                )
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if name == "context" and value == 0:
                continue
            if not math.isfinite(value) or value < least:
                raise UsageError(f"{name} is {value}", remedy=f"Give a number from {least:g} up.")
        for name in ("align_lr", "tune_lr"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(
                    f"{name} is {getattr(self, name)}", remedy="Give a number above 0, such as 2e-4."
                )
        for name in ("dropout", "warmup"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(
                    f"{name} is {getattr(self, name)}", remedy="Give a number from 0 to below 1."
                )
        for name in ("rows", "out", "targets"):
            if not getattr(self, name):
                raise UsageError(f"{name} is empty", remedy=_EMPTY[name])
        if not self.align_epochs + self.tune_epochs and not self.start:
            raise UsageError(
                "both phases have 0 epochs",
                remedy="Give one of them an epoch, or --start FOLDER to measure it.",
            )

    def to_dict(self) -> dict[str, Any]:
        """As plain values, in the order of the fields."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        return plain | {"options": dict(self.options), "targets": list(self.targets)}

    def lasting(self) -> dict[str, Any]:
        """What decides the weights."""
        return {name: value for name, value in self.to_dict().items() if name not in _PASSING}

    @staticmethod
    def check_own(file: Path) -> None:
        """Raises UsageError for a config.json that no tuning wrote: a language model's, or anybody's."""
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            told = None
        if not isinstance(told, dict) or "align_epochs" not in told:
            raise UsageError(
                f"{file} was not written by a tuning: it is not replaced",
                remedy="Name another folder with --out.",
            )

    @classmethod
    def read(cls, file: Path) -> "TuneConfig":
        """The settings that a tuning was begun with. Raises UsageError for a file that holds none."""
        try:
            return cls(**json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as exc:
            raise UsageError(
                f"{file} holds no settings of a tuning ({exc})", remedy="Begin again with --overwrite."
            ) from exc


_EMPTY = {
    "rows": "Name the rows.jsonl of slidelake tune-data.",
    "out": "Pass --out FOLDER.",
    "targets": f"Name modules of the language model; a LLaMA has {', '.join(TARGETS)}.",
}
