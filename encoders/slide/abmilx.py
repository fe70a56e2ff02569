"""ABMILX (Tang et al. 2025, "Revisiting end-to-end learning with slide-level supervision in computational pathology"),
after its description: multi-head local attention, refined by the correlation of all patches.

Each head scores its slice of a patch by a small network that all heads share; the refinement adds to a patch's score
the scores of the patches that are like it, s' = s + α · softmax(Q Kᵀ / √d) s. Paper and published code leave choices
open; made here: no normalisation before pooling or after, α a learnt number that starts at 1, and one linear layer on
the heads' pooled slices where theirs are two with nothing between them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slidelake.encoders.slide.kept_rows import kept_rows, scores_of_all
from slidelake.encoders.slide.layers import Projection, in_float32
from slidelake.encoders.slide.model import Bags, SlideModel, SlideOutput
from slidelake.encoders.slide.options import share, switch, whole
from slidelake.errors import UsageError
from slidelake.kernels import unpack_bags


class ABMILX(SlideModel):
    """Multi-head attention pooling. The refinement takes time in the square of a bag's rows and memory linear in them
    (fused attention makes no n × n matrix): 50,000 rows are 5 TFLOP forward; `refine` False leaves it out.
    """

    def __init__(
        self,
        dim: int,
        outputs: int,
        *,
        hidden: int = 512,
        heads: int = 8,
        dropout: float = 0.25,
        refine: bool = True,
    ) -> None:
        super().__init__()
        hidden, self.heads = whole("hidden", hidden), whole("heads", heads)
        if hidden % heads:
            raise UsageError(
                f"hidden {hidden} is not a multiple of heads {heads}",
                remedy="Give hidden = heads times the width of a head, 512 = 8 · 64 in the paper.",
            )
        self.width = width = hidden // heads
        self.projection = Projection(dim, hidden, dropout=share("dropout", dropout))
        self.score = nn.Sequential(
            nn.Linear(width, width, bias=False), nn.GELU(), nn.Linear(width, 1, bias=False)
        )
        self.refinement = _Refinement(width) if switch("refine", refine) else None
        self.head = nn.Linear(hidden, outputs)

    def forward(self, bags: Bags, targets: Tensor | None = None) -> SlideOutput:
        """logits (B, C), embedding (B, heads, hidden / heads), scores (heads, T) as refined, lse (B, heads)."""
        kept, rows = kept_rows(bags)
        patches = self.projection(kept.features).unflatten(1, (self.heads, self.width))
        local = self.score(patches)  # (T', heads, 1)
        pooled, scores, lse = [], [], []
        for bag, score in zip(
            unpack_bags(patches, kept.cu_seqlens), unpack_bags(local, kept.cu_seqlens), strict=True
        ):
            if self.refinement is not None and len(bag):
                score = self.refinement(bag, score)
            score = score[:, :, 0].T.float()  # (heads, n)
            scores.append(score)
            lse.append(score.logsumexp(-1))
            attention = score.softmax(-1).to(bag.dtype)
            pooled.append(torch.einsum("hn,nhd->hd", attention, bag))
        embedding = torch.stack(pooled).float()
        return SlideOutput(
            in_float32(self.head, embedding.flatten(1)),
            embedding,
            scores_of_all(torch.cat(scores, dim=1), rows, len(bags.features)),
            torch.stack(lse),
            {},
        )


class _Refinement(nn.Module):
    """s + α · softmax(Q Kᵀ / √d) s over one bag, each head on its own, with the weights of Q and K shared."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.query, self.key = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, bag: Tensor, score: Tensor) -> Tensor:
        """(n, heads, width) and (n, heads, 1) to (n, heads, 1)."""
        rows = self.norm(bag).transpose(0, 1).unsqueeze(0)
        query, key = self.query(rows), self.key(rows)  # (1, heads, n, width)
        # As wide as the keys: fused attention takes no values of another width, and the plain one makes n × n.
        value = F.pad(score.transpose(0, 1).unsqueeze(0), (0, key.shape[-1] - 1)).to(key.dtype)
        seen = F.scaled_dot_product_attention(query, key, value)[0, :, :, :1].transpose(0, 1)
        return score + self.scale * seen
