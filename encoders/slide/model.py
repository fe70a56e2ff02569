"""What a trainable slide encoder is: packed bags in; logits, slide embeddings and attention scores out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from slidelake.errors import UsageError

__all__ = ["TASKS", "Bags", "SlideModel", "SlideOutput"]

#: The kinds of targets there are.
TASKS = frozenset({"classification", "regression", "survival"})
_FEATURES = (torch.float16, torch.bfloat16, torch.float32)


@dataclass(frozen=True)
class Bags:
    """B bags of together T rows, end to end: what the loader's packed batches hold.

    `features` (T, D) float16, bfloat16 or float32; `cu_seqlens` (B + 1,) int32 or int64 borders from 0 to T;
    `mask` (T,) bool, False = the row is left out, whatever it holds; `coords` (T, 2) level-0 px of the patches'
    top-left corners, for models that ask where a patch lies; `slide_seqlens` (S + 1,) borders of the slides where a
    bag is a patient (every border of a bag is one of a slide).
    """

    features: Tensor
    cu_seqlens: Tensor
    mask: Tensor | None = None
    coords: Tensor | None = None
    slide_seqlens: Tensor | None = None

    def __len__(self) -> int:
        return len(self.cu_seqlens) - 1


class SlideOutput(NamedTuple):
    """What a slide encoder makes of B bags with T rows.

    `logits` (B, C) float32: class logits, values to regress, one log-risk (Cox) or a logit a time interval;
    `embedding` (B, K, E) float32: what the last layer saw, one a branch; with attention `scores` (K, T) float32, −inf
    for left-out rows, and `lse` (B, K): attention = exp(scores − lse), 1 in sum over a bag. `losses`: terms that the
    model adds to the task's loss, weighted already, by name; empty outside of training.
    """

    logits: Tensor
    embedding: Tensor
    scores: Tensor | None
    lse: Tensor | None
    losses: Mapping[str, Tensor]


class SlideModel(nn.Module, ABC):
    """A trainable slide encoder: one file, one registry line.

    A subclass's `__init__` takes `dim` (D) and `outputs` (C), then options by keyword, each with a default;
    `create_slide_model` keeps them in `options`, so that a checkpoint can make the model again. Options are what
    JSON holds: numbers, text, true and false, lists and dicts of these.
    """

    #: Which kinds of targets it can be trained on; an instance may narrow it, as its options say.
    tasks: frozenset[str] = TASKS
    #: What else to do where `tasks` lacks a kind: the end of `check_task`'s message.
    task_remedy: str = "Train another slide encoder on it."
    #: Whether it needs `Bags.coords`.
    needs_coords: bool = False

    #: Set by `create_slide_model`.
    name: str = ""
    dim: int = 0
    outputs: int = 0
    options: Mapping[str, Any] = {}
    #: What features are shifted and divided by before `forward` sees them; None: nothing. Set by `standardise`.
    feature_mean: Tensor | None
    feature_spread: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("feature_mean", None)
        self.register_buffer("feature_spread", None)

    @abstractmethod
    def forward(self, bags: Bags, targets: Tensor | None = None) -> SlideOutput:
        """Encode bags. `targets` (B,) int64, (B, C) or (B, 2 or 3) as `Labels` gives them, in training only:
        models with losses of their own (CLAM's clustering of instances) use them there.

        Chance (dropout, masking) is drawn from torch's generator, in training mode alone.
        """

    def after_step(self) -> None:
        """Called after each step of the optimiser: a moving-average teacher follows here."""

    def standardise(self, mean: Tensor, spread: Tensor) -> None:
        """From now on features are taken as (features − mean) / spread, (D,) each, in their own dtype; a spread of 0
        counts as 1. Both are saved with the weights. It costs a copy of the bags."""
        self.feature_mean = mean.detach().float().clone()
        self.feature_spread = torch.where(spread > 0, spread, 1).detach().float()

    def check_task(self, kind: str) -> None:
        """Refuse a kind of target that it cannot be trained on: UsageError."""
        if kind not in self.tasks:
            raise UsageError(
                f"{self._called} as it is set cannot be trained on {kind} (only on {', '.join(sorted(self.tasks))})",
                remedy=self.task_remedy,
            )

    def check_classes(self, targets: Tensor, bags: Bags) -> None:
        """Refuse targets that are no classes, for a loss of the model's own that needs them: UsageError."""
        if targets.dtype != torch.int64 or targets.shape != (len(bags),):
            raise UsageError(
                f"{self._called} learns from the bags' classes, and the targets are {targets.dtype} "
                f"of shape {tuple(targets.shape)}",
                remedy=self.task_remedy,
            )

    def check_bags(self, bags: Bags) -> None:
        """Refuse bags that do not fit: UsageError."""
        features, mask = bags.features, bags.mask
        if features.ndim != 2 or features.dtype not in _FEATURES:
            raise UsageError(
                f"the features are {features.dtype} of shape {tuple(features.shape)}",
                remedy="Pass (T, D) float16, bfloat16 or float32: bags end to end, as packed batches hold them.",
            )
        if self.dim and features.shape[1] != self.dim:
            raise UsageError(
                f"{self._called} takes {self.dim} features a patch, the bags have {features.shape[1]}",
                remedy=f"Make it with dim={features.shape[1]}, or give bags of the space it was trained on.",
            )
        if mask is not None and (mask.dtype != torch.bool or mask.shape != features.shape[:1]):
            raise UsageError(
                f"the mask is {mask.dtype} of shape {tuple(mask.shape)}",
                remedy=f"Pass one boolean a row, True where it counts: ({features.shape[0]},).",
            )
        if not len(bags):
            raise UsageError("there is no bag", remedy="Pass at least one; a bag may be empty.")
        if self.needs_coords and bags.coords is None:
            raise UsageError(
                f"{self._called} asks where a patch lies, and the bags have no coords",
                remedy="Stream them with_coords=True.",
            )
        if bags.cu_seqlens.device.type == "cpu":  # elsewhere reading the borders waits for the device
            _check_borders(bags.cu_seqlens, features.shape[0])

    @property
    def _called(self) -> str:
        return self.name or type(self).__name__

    def __call__(self, bags: Bags, targets: Tensor | None = None) -> SlideOutput:
        self.check_bags(bags)
        if self.feature_mean is not None and self.feature_spread is not None:
            standard = (bags.features - self.feature_mean) / self.feature_spread
            bags = replace(bags, features=standard.to(bags.features.dtype))
        return super().__call__(bags, targets)  # type: ignore[no-any-return]


def _check_borders(cu_seqlens: Tensor, rows: int) -> None:
    borders = cu_seqlens.tolist()
    if borders[0] != 0 or borders[-1] != rows or sorted(borders) != borders:
        raise UsageError(
            f"cu_seqlens are no borders of {rows} rows (from {borders[0]} to {borders[-1]})",
            remedy="Pass (B + 1,) borders that rise from 0 to the number of rows, as packed batches hold them.",
        )
