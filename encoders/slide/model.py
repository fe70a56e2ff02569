"""What a trainable slide encoder is: packed bags in; logits, slide embeddings and attention scores out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

__all__ = ["Bags", "SlideModel", "SlideOutput"]


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
    `create_slide_model` keeps them in `options`, so that a checkpoint can make the model again.
    """

    #: Which kinds of targets it can be trained on.
    tasks: ClassVar[frozenset[str]] = frozenset({"classification", "regression", "survival"})
    #: Whether it needs `Bags.coords`.
    needs_coords: ClassVar[bool] = False

    #: Set by `create_slide_model`.
    name: str = ""
    dim: int = 0
    outputs: int = 0
    options: Mapping[str, Any] = {}

    @abstractmethod
    def forward(self, bags: Bags, targets: Tensor | None = None) -> SlideOutput:
        """Encode bags. `targets` (B,) int64, (B, C) or (B, 2 or 3) as `Labels` gives them, in training only:
        models with losses of their own (CLAM's clustering of instances) use them there.

        Chance (dropout, masking) is drawn from torch's generator, in training mode alone.
        """

    def after_step(self) -> None:
        """Called after each step of the optimiser: a moving-average teacher follows here."""

    def __call__(self, bags: Bags, targets: Tensor | None = None) -> SlideOutput:
        return super().__call__(bags, targets)  # type: ignore[no-any-return]
