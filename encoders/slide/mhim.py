"""MHIM (Tang et al. 2023, "Multiple instance learning framework with masked hard instance mining").

A teacher, the moving average of the student, attends to the whole bag. The student learns from what is left when some
of the rows that the teacher finds most salient, and others by chance, are masked: from the hard ones. The defaults are
the published settings for ABMIL on CAMELYON16, with two differences: the base is gated attention (theirs has one branch
with GELU), and the teacher starts as the student's copy, where theirs starts from a trained ABMIL. So that such a
teacher learns, its momentum rises to its value from a low start: min(momentum, (1 + step) / (10 + step)).
"""

import copy
import math
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor, nn

from slidelake.encoders.slide.kept_rows import kept_rows, scores_of_all
from slidelake.encoders.slide.layers import AttentionPool, Projection, in_float32
from slidelake.encoders.slide.model import Bags, SlideModel, SlideOutput
from slidelake.encoders.slide.options import number, share, whole
from slidelake.encoders.slide.packed import bag_of_row, ranked_rows
from slidelake.errors import UsageError

__all__ = ["MHIM", "choose_masked"]


class MHIM(SlideModel):
    """ABMIL that learns from hard rows. The student answers, in evaluation too: it is what the loss trained, and at
    the published momentum the teacher is ten thousand steps behind it.

    In each step, shares of a bag's rows are masked: `mask_high` of the most salient, by chance from the top
    mask_high / high_random; `mask_low` of the least salient; `mask_random` by chance. With `schedule_steps`,
    mask_high falls to 0 over that many steps along half a cosine. `consistency` weighs the cross-entropy between the
    student's embedding and the teacher's, whose softmax has `temperature`. In training, scores are −inf for masked
    rows.
    """

    steps: Tensor

    def __init__(
        self,
        dim: int,
        outputs: int,
        *,
        hidden: int = 512,
        attention: int = 128,
        dropout: float = 0.25,
        mask_high: float = 0.01,
        high_random: float = 0.5,
        mask_low: float = 0.0,
        mask_random: float = 0.5,
        schedule_steps: int = 0,
        consistency: float = 0.1,
        temperature: float = 0.1,
        momentum: float = 0.9999,
    ) -> None:
        super().__init__()
        if not 0 < number("high_random", high_random) <= 1:
            raise UsageError(
                f"high_random is {high_random}",
                remedy="Give more than 0, up to 1: all of the most salient rows are masked.",
            )
        if number("temperature", temperature) == 0:
            raise UsageError("temperature is 0", remedy="Give more than 0, 0.1 in the paper.")
        self.mask_high, self.high_random = share("mask_high", mask_high), float(high_random)
        self.mask_low, self.mask_random = share("mask_low", mask_low), share("mask_random", mask_random)
        self.schedule_steps = whole("schedule_steps", schedule_steps, least=0)
        self.momentum = share("momentum", momentum)
        self.consistency, self.temperature = number("consistency", consistency), float(temperature)
        hidden = whole("hidden", hidden)
        self.student = _Pooling(dim, hidden, whole("attention", attention), share("dropout", dropout))
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.head = nn.Linear(hidden, outputs)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.train()

    def train(self, mode: bool = True) -> Self:
        """The teacher stays in evaluation: it attends without dropout."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, bags: Bags, targets: Tensor | None = None) -> SlideOutput:
        """logits (B, C), embedding (B, 1, hidden), scores (1, T), lse (B, 1); in training the loss `consistency`."""
        full, rows = kept_rows(bags)
        if not self.training:
            pooled, scores, lse = self.student(full)
            scores = scores_of_all(scores, rows, len(bags.features))
            return SlideOutput(in_float32(self.head, pooled[:, 0]), pooled, scores, lse, {})
        with torch.no_grad():
            taught, salience, _ = self.teacher(full)
        masked = choose_masked(
            salience[0],
            full.cu_seqlens,
            high=self._share_of_salient(),
            high_random=self.high_random,
            low=self.mask_low,
            random=self.mask_random,
        )
        hard, left = kept_rows(replace(full, mask=~masked))
        pooled, scores, lse = self.student(hard)
        scores = scores_of_all(scores_of_all(scores, left, len(masked)), rows, len(bags.features))
        loss = self.consistency * self._disagreement(pooled[:, 0], taught[:, 0], lse[:, 0])
        return SlideOutput(in_float32(self.head, pooled[:, 0]), pooled, scores, lse, {"consistency": loss})

    @torch.no_grad()
    def after_step(self) -> None:
        """The teacher follows the student by one step."""
        self.steps += 1
        step = int(self.steps)
        momentum = min(self.momentum, (1 + step) / (10 + step))
        for slow, fast in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
            slow.lerp_(fast, 1 - momentum)

    def _share_of_salient(self) -> Tensor:
        if not self.schedule_steps:
            return torch.full((), self.mask_high, device=self.steps.device)
        progress = self.steps.clamp(max=self.schedule_steps) / self.schedule_steps
        return self.mask_high * (1 + (math.pi * progress).cos()) / 2

    def _disagreement(self, student: Tensor, teacher: Tensor, lse: Tensor) -> Tensor:
        """Cross-entropy of the student's embeddings (B, E) to the teacher's; empty bags have none."""
        wanted = (teacher / self.temperature).softmax(-1)
        each = -(wanted * student.log_softmax(-1)).sum(-1)
        empty = lse.isneginf()
        return each.masked_fill(empty, 0).sum() / (~empty).sum().clamp(min=1)


class _Pooling(nn.Module):
    """A projection of the patches and gated attention pooling."""

    def __init__(self, dim: int, hidden: int, attention: int, dropout: float) -> None:
        super().__init__()
        self.projection = Projection(dim, hidden, dropout=dropout)
        self.attention = AttentionPool(hidden, attention)

    def forward(self, bags: Bags) -> tuple[Tensor, Tensor, Tensor]:
        """pooled (B, 1, hidden), scores (1, T), lse (B, 1)."""
        found: tuple[Tensor, Tensor, Tensor] = self.attention(self.projection(bags.features), bags.cu_seqlens)
        return found


def choose_masked(
    salience: Tensor,
    cu_seqlens: Tensor,
    *,
    high: float | Tensor,
    high_random: float,
    low: float,
    random: float,
) -> Tensor:
    """(T,) bool, True = masked: of each bag's rows a share `high` of the most salient (by chance from the top
    high / high_random), a share `low` of the least salient and a share `random` by chance.

    Counts are rounded up, as published; a bag of which nothing would be left is not masked. Torch's generator draws.
    """
    bag = bag_of_row(cu_seqlens, len(salience))
    lengths = torch.diff(cu_seqlens).long()
    rows = lengths[bag]

    def first(keys: Tensor, count: Tensor) -> Tensor:
        """The rows that stand among the first `count` (T,) of their bag, rounded up, in order of falling keys."""
        # A tenth of 100 is 10.0000001 in 32 bits.
        return _rank(keys, bag, cu_seqlens) < (count - 1e-4).ceil()

    top = first(salience, rows * (high / high_random))
    chance = torch.rand(2, len(salience), device=salience.device)
    tops = torch.zeros_like(lengths).index_add_(0, bag, top.long())[bag]
    masked = top & first(chance[0].masked_fill(~top, -1), tops * high_random)
    masked |= first(-salience, rows * low)
    masked |= first(chance[1], rows * random)
    left = torch.zeros_like(lengths).index_add_(0, bag, (~masked).long())[bag]
    return masked & (left > 0)


def _rank(keys: Tensor, bag: Tensor, cu_seqlens: Tensor) -> Tensor:
    """(T,) the place of each row in its bag in order of falling keys; equal keys keep their order."""
    ranked, _ = ranked_rows(keys[None], cu_seqlens)
    places = torch.arange(len(keys), device=keys.device) - cu_seqlens.long()[bag]
    return torch.empty_like(places).scatter_(0, ranked[0], places)
