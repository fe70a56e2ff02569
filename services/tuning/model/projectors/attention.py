"""Gated attention with one branch a token, then a linear layer: ChatEXAONEPath's projector with several tokens."""

import torch
from torch import Tensor, nn

from slidelake.errors import UsageError
from slidelake.kernels import gated_attention_pool
from slidelake.services.tuning.model.projectors.base import Projector

__all__ = ["AttentionProjector", "GatedPool"]


class GatedPool(nn.Module):
    """Gated attention pooling (Ilse et al. 2018) with K branches: rows (T, dim) to (B, K, dim), float32."""

    def __init__(self, dim: int, hidden: int, branches: int) -> None:
        super().__init__()
        self.tanh, self.gate = nn.Linear(dim, hidden), nn.Linear(dim, hidden)
        self.score = nn.Linear(hidden, branches)

    def forward(self, rows: Tensor, cu_seqlens: Tensor) -> Tensor:
        # Named, not "auto", which looks at the free memory: the same training has to give the same bits.
        pooled, _, _ = gated_attention_pool(
            rows,
            *(self.tanh.weight, self.tanh.bias, self.gate.weight, self.gate.bias),
            *(self.score.weight, self.score.bias),
            cu_seqlens,
            save="recompute",
        )
        return pooled


class AttentionProjector(Projector):
    """Each token has its branch of attention and a vector of its own, which tells it from the others.

    A softmax weighs the rows: a bag with each row twice gives the same tokens, so a slide's size does not matter.
    """

    def __init__(self, dim: int, width: int, tokens: int, hidden: int = 128) -> None:
        super().__init__(dim, width, tokens)
        if hidden < 1:
            raise UsageError(f"hidden is {hidden}", remedy="Give a number of at least 1.")
        self.attention = GatedPool(dim, hidden, tokens)
        self.linear = nn.Linear(dim, width)
        self.own = nn.Parameter(torch.randn(tokens, width) / width**0.5)

    def pool(self, rows: Tensor, cu_seqlens: Tensor, coords: Tensor | None) -> Tensor:
        made: Tensor = self.linear(self.attention(rows, cu_seqlens)) + self.own
        return made
