"""The mean of a bag and a linear layer for each token: the least that sees a slide's composition."""

from torch import Tensor, nn

from slidelake.kernels import segment_sum
from slidelake.services.tuning.model.projectors.base import Projector

__all__ = ["MeanProjector"]


class MeanProjector(Projector):
    """Nothing is weighed: what few patches show is drowned by the others."""

    def __init__(self, dim: int, width: int, tokens: int) -> None:
        super().__init__(dim, width, tokens)
        self.linear = nn.Linear(dim, tokens * width)

    def pool(self, rows: Tensor, cu_seqlens: Tensor, coords: Tensor | None) -> Tensor:
        counts = cu_seqlens.diff().clamp(min=1)[:, None]
        made: Tensor = self.linear(segment_sum(rows, cu_seqlens) / counts)
        return made.reshape(-1, self.tokens, self.width)
