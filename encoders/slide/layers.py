"""The parts that slide encoders are made of: a projection of patches, attention pooling, a head."""

import torch
from torch import Tensor, nn

from slidelake.encoders.slide.projection import Projection
from slidelake.kernels import gated_attention_pool

__all__ = ["AttentionPool", "Projection", "in_float32"]


class AttentionPool(nn.Module):
    """Attention pooling with K branches over rows of `dim` values (Ilse et al. 2018): `gated_attention_pool`.

    Gated: wᵀ(tanh(V h) ⊙ σ(U h)); else wᵀ tanh(V h). `dropout` takes units of both branches, in training alone.
    """

    def __init__(
        self, dim: int, hidden: int, *, branches: int = 1, gated: bool = True, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.tanh = nn.Linear(dim, hidden)
        self.gate = nn.Linear(dim, hidden) if gated else None
        self.score = nn.Linear(hidden, branches)
        self.dropout = dropout

    def forward(
        self, rows: Tensor, cu_seqlens: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """pooled (B, K, dim), scores (K, T) and lse (B, K), float32, of rows (T, dim)."""
        gate = self.gate
        return gated_attention_pool(
            rows,
            self.tanh.weight,
            self.tanh.bias,
            gate.weight if gate is not None else None,
            gate.bias if gate is not None else None,
            self.score.weight,
            self.score.bias,
            cu_seqlens,
            mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
        )


def in_float32(layer: nn.Module, values: Tensor) -> Tensor:
    """A layer on a few values a bag, in float32 whatever autocast says: rounding logits would gain nothing."""
    with torch.autocast(values.device.type, enabled=False):
        made: Tensor = layer(values.float())
    return made
