"""Learnt queries that look at the rows by cross-attention (Perceiver, Jaegle et al. 2021; Flamingo's resampler)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slidelake.errors import UsageError
from slidelake.kernels import unpack_bags
from slidelake.services.tuning.model.projectors.base import Projector

__all__ = ["ResamplerProjector"]


class ResamplerProjector(Projector):
    """`tokens` queries, `depth` layers of cross-attention with a feed-forward layer each, then a linear layer.

    As with attention pooling, a softmax over the rows makes it free of their number.
    """

    def __init__(
        self, dim: int, width: int, tokens: int, hidden: int = 128, heads: int = 4, depth: int = 1
    ) -> None:
        super().__init__(dim, width, tokens)
        if min(hidden, heads, depth) < 1 or hidden % heads:
            raise UsageError(
                f"hidden is {hidden}, heads {heads}, depth {depth}",
                remedy="Give numbers from 1 up, and a hidden width that the heads divide.",
            )
        self.heads = heads
        self.queries = nn.Parameter(torch.randn(tokens, hidden))
        self.rows = nn.Linear(dim, hidden)
        self.row_norm = nn.LayerNorm(hidden)
        self.layers = nn.ModuleList(_Layer(hidden) for _ in range(depth))
        self.linear = nn.Linear(hidden, width)

    def pool(self, rows: Tensor, cu_seqlens: Tensor, coords: Tensor | None) -> Tensor:
        seen = unpack_bags(self.row_norm(self.rows(rows)), cu_seqlens)
        made: Tensor = self.linear(torch.stack([self._of_bag(each) for each in seen]))
        return made

    def _of_bag(self, rows: Tensor) -> Tensor:
        queries = self.queries
        for layer in self.layers:
            queries = layer(queries, rows, self.heads)
        return queries


class _Layer(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.query_norm, self.wide_norm = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.query, self.key, self.value, self.out = (nn.Linear(hidden, hidden) for _ in range(4))
        self.wide = nn.Sequential(nn.Linear(hidden, 2 * hidden), nn.GELU(), nn.Linear(2 * hidden, hidden))

    def forward(self, queries: Tensor, rows: Tensor, heads: int) -> Tensor:
        """(K, hidden) of queries (K, hidden) and one bag's rows (N, hidden); no rows change nothing."""
        if len(rows):
            q, k, v = (
                layer(each).unflatten(1, (heads, -1)).transpose(0, 1)
                for layer, each in (
                    (self.query, self.query_norm(queries)),
                    (self.key, rows),
                    (self.value, rows),
                )
            )
            seen = F.scaled_dot_product_attention(q, k, v).transpose(0, 1).flatten(1)
            queries = queries + self.out(seen)
        made: Tensor = queries + self.wide(self.wide_norm(queries))
        return made
