"""CLAM: clustering-constrained attention multiple instance learning (Lu et al. 2021), one branch or one a class.

The published loss is 0.7 · bag + 0.3 · instances. Here the task's loss is counted whole and the model adds
0.3 / 0.7 of the instances' one (`instance_weight` = 0.3): the same gradient up to the factor 0.7, which Adam does not
feel. The published code takes one bag a step; packed batches of any number give each bag's own loss, averaged.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slidelake.encoders.slide.layers import AttentionPool, Projection, in_float32
from slidelake.encoders.slide.model import TASKS, Bags, SlideModel, SlideOutput
from slidelake.encoders.slide.options import choice, share, switch, whole
from slidelake.encoders.slide.packed import ranked_rows, rows_at
from slidelake.encoders.slide.projected_pool import pool_projected

__all__ = ["ClamMB", "ClamSB"]

#: The margin of each instance loss. The smooth SVM loss (Berrada et al. 2018, k = 1, τ = 1) is
#: log Σ_j exp(s_j − s_y + margin · [j ≠ y]): cross-entropy that is not content before the margin is reached.
_MARGINS = {"svm": 1.0, "cross-entropy": 0.0}


class ClamSB(SlideModel):
    """CLAM with one attention branch.

    `projection` = the width of Linear + ReLU before the attention; `hidden` = L; `dropout` of the projection and of
    both attention branches; `instances` = k, how many rows of highest and of lowest attention are clustered;
    `instance_weight` = the instance loss's share of the whole (0: no clustering, and any task); `instance_loss` "svm"
    (smooth SVM, the paper's, against fitting noisy pseudo-labels) or "cross-entropy" (its code's default);
    `subtyping`: classes exclude each other, so rows that stand out for another class are negatives of it.
    """

    task_remedy = "Train it on classes, or set instance_weight=0: no clustering, any task."
    #: An attention branch for each class, or one for all.
    branch_a_class = False

    def __init__(
        self,
        dim: int,
        outputs: int,
        *,
        projection: int = 512,
        hidden: int = 256,
        dropout: float = 0.25,
        instances: int = 8,
        instance_weight: float = 0.3,
        instance_loss: str = "svm",
        subtyping: bool = False,
    ) -> None:
        super().__init__()
        width, dropout = whole("projection", projection), share("dropout", dropout)
        self.projection = Projection(dim, width, dropout=dropout)
        branches = outputs if self.branch_a_class else 1
        self.attention = AttentionPool(width, whole("hidden", hidden), branches=branches, dropout=dropout)
        self.head = nn.Linear(width, outputs)
        self.count = whole("instances", instances)
        self.weight = share("instance_weight", instance_weight)
        self.margin = _MARGINS[choice("instance_loss", instance_loss, _MARGINS)]
        self.subtyping = switch("subtyping", subtyping)
        self.tasks = frozenset({"classification"}) if self.weight else TASKS
        self.instances = nn.Linear(width, 2 * outputs) if self.weight else None

    def forward(self, bags: Bags, targets: Tensor | None = None) -> SlideOutput:
        """embedding (B, K, projection); in training on classes `losses` has "instances"."""
        pooled, scores, lse, take = pool_projected(self.projection, self.attention, bags)
        losses = {}
        if self.training and self.instances is not None and targets is not None:
            self.check_classes(targets, bags)
            term = self._instance_loss(self.instances, take, scores, bags.cu_seqlens, targets)
            losses["instances"] = self.weight / (1 - self.weight) * term
        return SlideOutput(self._logits(pooled), pooled, scores, lse, losses)

    def _logits(self, pooled: Tensor) -> Tensor:
        """(B, C) of pooled (B, K, width)."""
        return in_float32(self.head, pooled[:, 0])

    def _instance_loss(
        self,
        classifier: nn.Linear,
        take: Callable[[Tensor], Tensor],
        scores: Tensor,
        cu_seqlens: Tensor,
        targets: Tensor,
    ) -> Tensor:
        """() the mean over bags: of a bag's class, the rows looked at most are positive and those looked at least
        are negative; with `subtyping` the rows looked at most for any other class are negative there."""
        classes = len(self.head.weight)
        ranked, counts = ranked_rows(scores, cu_seqlens)
        if len(scores) == 1:  # one branch for all classes
            ranked, counts = ranked.expand(classes, -1), counts.expand(classes, -1)
        start = cu_seqlens[:-1].long()[:, None]  # (B, 1)
        place = torch.arange(self.count, device=scores.device)  # (k,)
        own = F.one_hot(targets, classes).T.bool()  # (C, B)
        # A bag of fewer than 2 k rows gives half of them to either side: no row is both positive and negative.
        most = torch.where(own, counts // 2, counts)[..., None]
        highest = rows_at(ranked, (start + place).where(place < most, -1))  # (C, B, k)
        lowest = rows_at(ranked, (start + counts[..., None] - 1 - place).where(place < most, -1))

        # Both sides of a bag's own class, then the highest of the others: (B, 2 k) and (B, C, k) rows.
        bag = torch.arange(len(targets), device=scores.device)
        both = torch.cat([highest[targets, bag], lowest[targets, bag]], 1)
        positive = torch.arange(2 * self.count, device=scores.device) < self.count
        logits = _by_class(in_float32(classifier, take(both)))
        loss = self._mean_loss(logits[bag, :, targets], positive.long().expand_as(both), both >= 0)
        if self.subtyping:
            others = highest.transpose(0, 1).masked_fill(own.T[..., None], -1)
            logits = _by_class(in_float32(classifier, take(others)))
            of_class = torch.arange(classes, device=scores.device)
            # (B, C, k, 2): each class's rows by its own classifier.
            logits = logits[:, of_class, :, of_class].transpose(0, 1)
            negative = torch.zeros_like(others)
            loss = (loss + self._mean_loss(logits, negative, others >= 0).sum(1)) / classes
        some = counts[0] > 0
        return (loss * some).sum() / some.sum().clamp(min=1)

    def _mean_loss(self, logits: Tensor, labels: Tensor, held: Tensor) -> Tensor:
        """The mean over the last axis of labels (…, k), of those held; logits (…, k, 2). 0 where none is held."""
        margin = self.margin * (1 - F.one_hot(labels, 2))
        loss = F.cross_entropy((logits + margin).flatten(0, -2), labels.flatten(), reduction="none")
        return (loss.view_as(labels) * held).sum(-1) / held.sum(-1).clamp(min=1)


class ClamMB(ClamSB):
    """CLAM with an attention branch and a classifier a class: logit c is made of the bag as branch c sees it.

    Options as ClamSB's; instances are chosen by their own class's branch.
    """

    branch_a_class = True

    def _logits(self, pooled: Tensor) -> Tensor:
        # Row c of the head is class c's own classifier.
        return (pooled * self.head.weight).sum(2) + self.head.bias


def _by_class(logits: Tensor) -> Tensor:
    """(…, C, 2) of (…, 2 C)."""
    return logits.view(*logits.shape[:-1], -1, 2)
