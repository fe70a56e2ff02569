"""TransMIL (Shao et al. 2021): a transformer over a slide's patches, with Nyström attention.

Published settings: width 512, 8 heads, 256 landmarks, 6 iterations of the pseudo-inverse, a residual convolution of 33,
dropout 0.1, a pyramid position encoding of 7 × 7, 5 × 5 and 3 × 3 between the two layers. Rows are laid out as a square
in their order in the bag, as in the paper: it does not ask where a patch lies.

Unlike theirs, no zero rows are added to make landmarks of equal runs (such rows take attention), bags of up to
`landmarks` rows are attended exactly, and no matrix of n × landmarks is in memory: the usual end of large bags.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slidelake.encoders.slide.kept_rows import kept_rows, scores_of_all
from slidelake.encoders.slide.layers import Projection, in_float32
from slidelake.encoders.slide.model import Bags, SlideModel, SlideOutput
from slidelake.encoders.slide.options import share, switch, whole
from slidelake.encoders.slide.transmil_attention import NystromAttention
from slidelake.errors import UsageError
from slidelake.kernels import unpack_bags


class TransMIL(SlideModel):
    """Class token + patches → attention → position encoding → attention → the class token's head.

    `exact_class_attention`: the second layer, of which only the class token is used, attends exactly for that one row
    instead of by landmarks, and its attention over the patches comes out as scores (mean of the heads; the share that
    the token gives to itself is left out by lse). Without it `scores` is None: a row of a Nyström approximation has
    negative weights, so that it is no attention. Memory is linear in a bag's rows either way.
    """

    def __init__(
        self,
        dim: int,
        outputs: int,
        *,
        hidden: int = 512,
        heads: int = 8,
        landmarks: int = 256,
        iterations: int = 6,
        kernel: int = 33,
        dropout: float = 0.1,
        exact_class_attention: bool = False,
    ) -> None:
        super().__init__()
        hidden, heads = whole("hidden", hidden), whole("heads", heads)
        if hidden % heads:
            raise UsageError(
                f"hidden {hidden} is not a multiple of heads {heads}",
                remedy="Give hidden = heads times the width of a head, 512 = 8 · 64 in the paper.",
            )
        if whole("kernel", kernel) % 2 == 0:
            raise UsageError(f"kernel {kernel} is even", remedy="Give an odd number, 33 in the paper.")
        self.exact = switch("exact_class_attention", exact_class_attention)
        self.projection = Projection(dim, hidden)
        self.class_token = nn.Parameter(torch.randn(1, hidden))
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(3))
        self.first, self.last = (
            NystromAttention(
                hidden,
                heads=heads,
                landmarks=whole("landmarks", landmarks),
                iterations=whole("iterations", iterations),
                kernel=kernel,
                dropout=share("dropout", dropout),
            )
            for _ in range(2)
        )
        self.positions = PyramidPositionEncoding(hidden)
        self.head = nn.Linear(hidden, outputs)

    def forward(self, bags: Bags, targets: Tensor | None = None) -> SlideOutput:
        """logits (B, C), embedding (B, 1, hidden); scores (1, T) and lse (B, 1) where the last layer is exact."""
        kept, rows = kept_rows(bags)
        found = [self._encode(features) for features in unpack_bags(kept.features, kept.cu_seqlens)]
        embedding: Tensor = self.norms[2](torch.cat([token for token, _ in found])).float()
        logits = in_float32(self.head, embedding)
        if not self.exact:
            return SlideOutput(logits, embedding[:, None], None, None, {})
        scores = torch.cat([attention for _, attention in found])[None]
        lse = torch.stack([attention.logsumexp(0) for _, attention in found])[:, None]
        return SlideOutput(
            logits, embedding[:, None], scores_of_all(scores, rows, len(bags.features)), lse, {}
        )

    def _encode(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The class token (1, hidden) of one bag (n, D) after both layers, and the log-attention (n,) it gave."""
        rows = len(features)
        side = math.isqrt(max(rows - 1, 0)) + 1 if rows else 0
        patches = self.projection(features)
        # The square's last places hold the first rows once more, as published.
        patches = torch.cat([patches, patches[: side * side - rows]])
        x = torch.cat([self.class_token.to(patches.dtype), patches])
        x = x + self.first(self.norms[0](x))
        if rows:
            x = torch.cat([x[:1], self.positions(x[1:], side)])
        if not self.exact:
            return x[:1] + self.last.first_row(self.norms[1](x)), x.new_empty(0)
        token, attention = self.last.first_row_exactly(self.norms[1](x))
        attention, copies = attention[1 : rows + 1], attention[rows + 1 :]
        # A row that stands twice in the square has the attention of both places.
        attention = torch.cat([torch.logaddexp(attention[: len(copies)], copies), attention[len(copies) :]])
        return x[:1] + token, attention


class PyramidPositionEncoding(nn.Module):
    """x + its depthwise convolutions of 7 × 7, 5 × 5 and 3 × 3 over the square.

    Sums of convolutions are convolutions by summed filters: one pass instead of three, with a third of their memory.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.seven, self.five, self.three = (nn.Conv2d(dim, dim, side, groups=dim) for side in (7, 5, 3))

    def forward(self, patches: Tensor, side: int) -> Tensor:
        """(side², dim) to the same."""
        weight = self.seven.weight + F.pad(self.five.weight, [1] * 4) + F.pad(self.three.weight, [2] * 4)
        bias = self.seven.bias + self.five.bias + self.three.bias  # type: ignore[operator]
        square = patches.T.reshape(1, -1, side, side)
        encoded = F.conv2d(square, weight, bias, padding=3, groups=len(weight))
        return patches + encoded[0].flatten(1).T
