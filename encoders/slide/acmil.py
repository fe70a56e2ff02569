"""ACMIL: attention-challenging multiple instance learning (Zhang et al. 2024), against attention that sees too little.

Several attention branches, each of which has to tell the class alone (semantic term) and looks elsewhere than the
others (diversity term), and masks that now and then take away the rows that a branch likes best (STKIM).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slidelake.encoders.slide.layers import AttentionPool, Projection, in_float32
from slidelake.encoders.slide.model import TASKS, Bags, SlideModel, SlideOutput
from slidelake.encoders.slide.options import number, share, whole
from slidelake.encoders.slide.packed import bag_of_row, ranked_rows, rows_at, softmax_pool
from slidelake.kernels import attention_weights, segment_sum

__all__ = ["ACMIL"]


class ACMIL(SlideModel):
    """logits = a linear layer on the mean of the branches' pooled bags.

    `branches` = M; `projection` = the width of Linear + ReLU before the attention (PathGen-1.6M: 512 features
    to 256, 768 to 384); `hidden` = L; `dropout` of both. In training, of the `masked` = K rows that a branch looks at
    most, the share `mask_share` = p is left out at random, anew each step. `branch_weight` of the semantic term:
    the mean cross-entropy of the branches' own classifiers (0: none, and any task). `diversity_weight` of the
    mean cosine between the branches' attentions. 1 for both is published.
    """

    task_remedy = "Train it on classes, or set branch_weight=0: no semantic term, any task."

    def __init__(
        self,
        dim: int,
        outputs: int,
        *,
        branches: int = 5,
        projection: int = 256,
        hidden: int = 128,
        dropout: float = 0.0,
        masked: int = 10,
        mask_share: float = 0.6,
        branch_weight: float = 1.0,
        diversity_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.branches, width = whole("branches", branches), whole("projection", projection)
        dropout = share("dropout", dropout)
        self.projection = Projection(dim, width, dropout=dropout)
        self.attention = AttentionPool(width, whole("hidden", hidden), branches=branches, dropout=dropout)
        self.masked = whole("masked", masked, least=0)
        self.mask_share = share("mask_share", mask_share)
        self.branch_weight = number("branch_weight", branch_weight)
        self.diversity_weight = number("diversity_weight", diversity_weight)
        self.head = nn.Linear(width, outputs)
        semantic = branches > 1 and self.branch_weight > 0
        self.branch_heads = nn.ModuleList(nn.Linear(width, outputs) for _ in range(branches * semantic))
        self.tasks = frozenset({"classification"}) if semantic else TASKS

    def forward(self, bags: Bags, targets: Tensor | None = None) -> SlideOutput:
        """embedding (B, M, projection); in training `losses` has "diversity", and on classes "branches".

        In training the scores of rows that were masked are −inf.
        """
        rows = self.projection(bags.features, bags.mask)
        pooled, scores, lse = self.attention(rows, bags.cu_seqlens, bags.mask)
        if self.training and self.masked:
            # Each branch leaves out rows of its own, which the kernel's one mask cannot say.
            scores = self._challenged(scores, bags.cu_seqlens)
            pooled, lse = softmax_pool(rows.float(), scores, bags.cu_seqlens)
        logits = in_float32(self.head, pooled.mean(1))
        losses = {}
        if self.training and self.branches > 1:
            if self.diversity_weight:
                likeness = _likeness(scores, lse, bags.cu_seqlens)
                losses["diversity"] = self.diversity_weight * likeness
            if self.branch_heads and targets is not None:
                self.check_classes(targets, bags)
                losses["branches"] = self.branch_weight * self._semantic(pooled, targets)
        return SlideOutput(logits, pooled, scores, lse, losses)

    def _challenged(self, scores: Tensor, cu_seqlens: Tensor) -> Tensor:
        """The scores with −inf at a random share of each branch's highest rows of each bag."""
        ranked, counts = ranked_rows(scores, cu_seqlens)
        candidates = counts.clamp(max=self.masked)[..., None]  # (M, B, 1)
        order = torch.arange(self.masked, device=scores.device)
        lots = torch.rand(*counts.shape, self.masked, device=scores.device)
        lots = lots.masked_fill(order >= candidates, torch.inf).argsort(2)  # the candidates, shuffled
        # Rounded down: a bag's only row is never taken.
        chosen = order < (candidates * self.mask_share).floor()
        places = (cu_seqlens[:-1].long()[:, None] + lots).where(chosen, -1)
        rows = rows_at(ranked, places).flatten(1)
        taken = scores.new_zeros(len(scores), scores.shape[1] + 1, dtype=torch.bool)
        # −1 goes to the column that is cut off.
        taken.scatter_(1, rows.where(rows >= 0, scores.shape[1]), True)
        return scores.masked_fill(taken[:, :-1], -torch.inf)

    def _semantic(self, pooled: Tensor, targets: Tensor) -> Tensor:
        logits = [in_float32(head, pooled[:, branch]) for branch, head in enumerate(self.branch_heads)]
        return F.cross_entropy(torch.cat(logits), targets.repeat(len(logits)))


def _likeness(scores: Tensor, lse: Tensor, cu_seqlens: Tensor) -> Tensor:
    """() the mean over pairs of branches, and bags with rows, of the cosine between their attentions."""
    borders = cu_seqlens.long()
    attention = attention_weights(scores, lse, borders)  # (M, T)
    one, other = torch.triu_indices(len(scores), len(scores), 1, device=scores.device)
    squares = segment_sum(attention.square().T.contiguous(), borders)  # (B, M)
    some = squares[:, 0] > 0
    lengths = squares.masked_fill(~some[:, None], 1).sqrt()
    # Of unit length before the product, row by row: a product of two small attentions could underflow.
    unit = attention / lengths.T[:, bag_of_row(borders, scores.shape[1])]
    products = segment_sum((unit[one] * unit[other]).T.contiguous(), borders)  # (B, pairs)
    return products.mean(1).sum() / some.sum().clamp(min=1)
