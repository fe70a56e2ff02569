"""MHIM (Tang et al. 2023, "Multiple instance learning framework with masked hard instance mining").

A teacher, the moving average of the student, attends to the whole bag. The student learns from what is left when some of
the rows that the teacher finds most salient, and others by chance, are masked: from the hard ones. Published settings
for ABMIL on CAMELYON16 are the defaults, with two differences: the base is gated attention (the paper's has one branch
with GELU), and the teacher starts as the student's copy where the paper starts it from a trained ABMIL. So that such a
teacher learns, its momentum begins low and rises to its value: min(momentum, (1 + step) / (10 + step)).
"""

import copy
import math
from dataclasses import replace
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slidelake.encoders.slide.kept_rows import kept_rows, scores_of_all
from slidelake.encoders.slide.model import Bags, SlideModel, SlideOutput
from slidelake.errors import UsageError
from slidelake.kernels import gated_attention_pool
from slidelake.kernels.packing import bag_of_row

__all__ = ["MHIM", "choose_masked"]


class MHIM(SlideModel):
    """ABMIL that learns from hard rows. The student answers, in evaluation too: it is what the loss trained, while
    the teacher is a thousand steps behind it. Training scores are −inf for masked rows.

    In each step, shares of a bag's rows: `mask_high` of the most salient, by chance from the top mask_high /
    high_random; `mask_low` of the least salient; `mask_random` by chance. With `schedule_steps`, mask_high falls to 0
    over that many steps along half a cosine. `consistency` weighs the cross-entropy between the student's embedding
    and the teacher's, whose softmax has `temperature`.
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
        shares = {
            "mask_high": mask_high,
            "mask_low": mask_low,
            "mask_random": mask_random,
            "momentum": momentum,
        }
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise UsageError(f"mhim: {name} is {share}", remedy="Give a share from 0 to 1.")
        if not 0 < high_random <= 1:
            raise UsageError(
                f"mhim: high_random is {high_random}",
                remedy="Give more than 0, up to 1: all of the most salient rows are masked.",
            )
        self.mask_high, self.high_random = mask_high, high_random
        self.mask_low, self.mask_random = mask_low, mask_random
        self.schedule_steps, self.momentum = schedule_steps, momentum
        self.consistency, self.temperature = consistency, temperature
        self.student = _Pooling(dim, hidden, attention, dropout)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False).eval()
        self.head = nn.Linear(hidden, outputs)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def train(self, mode: bool = True) -> Self:
        """The teacher stays in evaluation: it attends without dropout."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, bags: Bags, targets: Tensor | None = None) -> SlideOutput:
        """logits (B, C), embedding (B, 1, hidden), scores (1, T), lse (B, 1); in training the loss `consistency`."""
        whole, rows = kept_rows(bags)
        kept, losses = whole, {}
        if self.training:
            with torch.no_grad():
                taught, salience, _ = self.teacher(whole)
            masked = choose_masked(
                salience[0],
                whole.cu_seqlens,
                high=self._share_of_salient(),
                high_random=self.high_random,
                low=self.mask_low,
                random=self.mask_random,
            )
            kept, left = kept_rows(replace(whole, mask=~masked))
            rows = left if rows is None else rows[left]
        pooled, scores, lse = self.student(kept)
        embedding = pooled[:, 0]
        if self.training:
            losses["consistency"] = self.consistency * self._disagreement(embedding, taught[:, 0], lse[:, 0])
        scores = scores_of_all(scores, rows, len(bags.features))
        return SlideOutput(self.head(embedding).float(), pooled, scores, lse, losses)

    @torch.no_grad()
    def after_step(self) -> None:
        """The teacher follows the student by one step."""
        self.steps += 1
        step = int(self.steps)
        momentum = min(self.momentum, (1 + step) / (10 + step))
        for slow, fast in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
            slow.lerp_(fast, 1 - momentum)

    def _share_of_salient(self) -> Tensor:
        share = torch.full((), self.mask_high, device=self.steps.device)
        if not self.schedule_steps:
            return share
        return (
            share
            * (1 + (math.pi * self.steps.clamp(max=self.schedule_steps) / self.schedule_steps).cos())
            / 2
        )

    def _disagreement(self, student: Tensor, teacher: Tensor, lse: Tensor) -> Tensor:
        """Cross-entropy of the student's embedding to the teacher's; empty bags have none."""
        wanted = (teacher / self.temperature).softmax(-1)
        each = -(wanted * student.log_softmax(-1)).sum(-1)
        return each.masked_fill(lse.isneginf(), 0).sum() / (~lse.isneginf()).sum().clamp(min=1)


class _Pooling(nn.Module):
    """Gated attention pooling on projected rows."""

    def __init__(self, dim: int, hidden: int, attention: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Dropout(dropout))
        self.tanh, self.gate = nn.Linear(hidden, attention), nn.Linear(hidden, attention)
        self.weigh = nn.Linear(attention, 1)

    def forward(self, bags: Bags) -> tuple[Tensor, Tensor, Tensor]:
        rows = self.project(bags.features.to(self.weigh.weight.dtype))
        return gated_attention_pool(
            rows,
            self.tanh.weight,
            self.tanh.bias,
            self.gate.weight,
            self.gate.bias,
            self.weigh.weight,
            self.weigh.bias,
            bags.cu_seqlens,
        )


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

    Counts are rounded up, as published; a bag of which nothing would be left is not masked. Chance is torch's generator.
    """
    bag = bag_of_row(cu_seqlens, len(salience))
    lengths = torch.diff(cu_seqlens).long()
    rows = lengths[bag]

    def first(keys: Tensor, count: Tensor) -> Tensor:
        """The rows that stand among the first `count` (T,) of their bag in order of falling keys."""
        return _rank(keys, bag, cu_seqlens) < count

    top = first(salience, (rows * (high / high_random)).ceil())
    chance = torch.rand(2, len(salience), device=salience.device)
    tops = torch.zeros_like(lengths).index_add_(0, bag, top.long())[bag]
    masked = top & first(chance[0].masked_fill(~top, -1), (tops * high_random).ceil())
    masked |= first(-salience, (rows * low).ceil())
    masked |= first(chance[1], (rows * random).ceil())
    left = torch.zeros_like(lengths).index_add_(0, bag, (~masked).long())[bag]
    return masked & (left > 0)


def _rank(keys: Tensor, bag: Tensor, cu_seqlens: Tensor) -> Tensor:
    """(T,) the place of each row in its bag in order of falling keys; equal keys keep their order."""
    order = keys.argsort(descending=True, stable=True)
    order = order[bag[order].argsort(stable=True)]
    places = torch.arange(len(keys), device=keys.device) - cu_seqlens.long()[bag]
    return torch.empty_like(places).scatter_(0, order, places)
