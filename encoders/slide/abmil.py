"""ABMIL: attention-based multiple instance learning (Ilse, Tomczak and Welling 2018)."""

from torch import Tensor, nn

from slidelake.encoders.slide.layers import AttentionPool, Projection, in_float32
from slidelake.encoders.slide.model import Bags, SlideModel, SlideOutput
from slidelake.encoders.slide.options import share, switch, whole
from slidelake.encoders.slide.projected_pool import pool_projected

__all__ = ["ABMIL"]


class ABMIL(SlideModel):
    """Attention pooling, then a linear layer on the branches' pooled bags, end to end.

    `hidden` = L of the attention (128 in the paper); `branches` = K; `gated` False: tanh attention (equation 8)
    instead of gated (9); `dropout` of the attention's units, and of the projection where there is one. `projection`
    = the width of a Linear + ReLU before the attention, 0 for none (PathGen-1.6M: 512 or 768 to 256 or 384).
    """

    def __init__(
        self,
        dim: int,
        outputs: int,
        *,
        hidden: int = 128,
        branches: int = 1,
        gated: bool = True,
        dropout: float = 0.0,
        projection: int = 0,
    ) -> None:
        super().__init__()
        hidden, branches, dropout = (
            whole("hidden", hidden),
            whole("branches", branches),
            share("dropout", dropout),
        )
        width = whole("projection", projection, least=0) or dim
        self.projection = Projection(dim, width, dropout=dropout) if projection else None
        self.attention = AttentionPool(
            width, hidden, branches=branches, gated=switch("gated", gated), dropout=dropout
        )
        self.head = nn.Linear(branches * width, outputs)

    def forward(self, bags: Bags, targets: Tensor | None = None) -> SlideOutput:
        """embedding (B, K, E), E the projection's width or D; no loss of its own."""
        if self.projection is not None:
            pooled, scores, lse, _ = pool_projected(self.projection, self.attention, bags)
        else:
            pooled, scores, lse = self.attention(bags.features, bags.cu_seqlens, bags.mask)
        return SlideOutput(in_float32(self.head, pooled.flatten(1)), pooled, scores, lse, {})
