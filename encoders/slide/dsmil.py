"""DSMIL: dual-stream multiple instance learning (Li, Li and Eliceiri 2021).

One stream scores each row for each class; its highest row is the critical instance. The other attends to rows by
their likeness to it and classifies what they pool to.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slidelake.encoders.slide.layers import in_float32
from slidelake.encoders.slide.model import TASKS, Bags, SlideModel, SlideOutput
from slidelake.encoders.slide.options import switch, whole
from slidelake.encoders.slide.packed import bag_of_row, highest_row, row_counts, softmax_pool, take_or_zero

__all__ = ["DSMIL"]


class DSMIL(SlideModel):
    """logits = the bag stream's; the instance stream is trained beside it, by the cross-entropy of each class's
    highest row, with equal weight.

    `hidden` = the queries' width (128). `average`: logits = the mean of both streams, as the paper predicts, and no
    loss of its own, so that any task goes.
    """

    task_remedy = "Train it on classes, or set average=True: the mean of both streams, any task."

    def __init__(self, dim: int, outputs: int, *, hidden: int = 128, average: bool = False) -> None:
        super().__init__()
        hidden = whole("hidden", hidden)
        self.instance = nn.Linear(dim, outputs)
        self.query = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.Tanh())
        # Each class's logit sees all classes' pooled bags, as the published convolution over all of D does.
        self.head = nn.Linear(outputs * dim, outputs)
        self.average = switch("average", average)
        self.tasks = TASKS if average else frozenset({"classification"})

    def forward(self, bags: Bags, targets: Tensor | None = None) -> SlideOutput:
        """embedding (B, C, D), one a class; in training on classes `losses` has "critical instance"."""
        rows = bags.features.float()
        if bags.mask is not None:
            rows = rows.masked_fill(~bags.mask[:, None], 0)
        instance = self.instance(rows).float()  # (T, C)
        told = instance.T if bags.mask is None else instance.T.masked_fill(~bags.mask, -torch.inf)
        critical = highest_row(told, bags.cu_seqlens)  # (C, B)
        scores = self._scores(rows, critical, bags)
        pooled, lse = softmax_pool(rows, scores, bags.cu_seqlens)  # (B, C, D), (B, C)
        logits = in_float32(self.head, pooled.flatten(1))
        # (B, C): entry (b, c) is what class c's critical row says of class c; 0 for a bag without rows.
        largest = take_or_zero(instance, critical).diagonal(dim1=0, dim2=2)
        losses = {}
        if self.average:
            logits = (logits + largest) / 2
        elif self.training and targets is not None:
            losses["critical instance"] = self._critical_loss(largest, targets, bags)
        return SlideOutput(logits, pooled, scores, lse, losses)

    def _scores(self, rows: Tensor, critical: Tensor, bags: Bags) -> Tensor:
        """(C, T): each row's query times that of its bag's critical instance of each class, over √hidden."""
        queries = self.query(rows).float()  # (T, hidden)
        bag = bag_of_row(bags.cu_seqlens, len(rows))
        # Class by class: (T, hidden) at a time, where all at once would be C times that.
        scores = [(queries * take_or_zero(queries, of_class)[bag]).sum(1) for of_class in critical]
        made = torch.stack(scores) / math.sqrt(queries.shape[1])
        return made if bags.mask is None else made.masked_fill(~bags.mask, -torch.inf)

    def _critical_loss(self, largest: Tensor, targets: Tensor, bags: Bags) -> Tensor:
        self.check_classes(targets, bags)
        some = row_counts(bags.cu_seqlens, bags.mask) > 0
        loss = F.cross_entropy(largest, targets, reduction="none")
        return (loss * some).sum() / some.sum().clamp(min=1)
