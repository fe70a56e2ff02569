"""What a projector is: packed bags in, a fixed number of vectors of the language model's width out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

__all__ = ["Projector"]


class Projector(nn.Module, ABC):
    """Makes `tokens` vectors of `width` values of each bag of features with `dim` values.

    A subclass writes `pool`. Here features are shifted and scaled by the statistics of the training part
    (`standardise`), and what comes out has the size of the language model's own embeddings (`match`), so that a new
    projector does not start far from the words.
    """

    #: Whether `pool` looks at the places of patches.
    needs_coords: ClassVar[bool] = False
    #: How it is made again: its name in the registry, and its own options.
    name: str
    options: Mapping[str, Any]

    feature_mean: Tensor
    feature_spread: Tensor

    def __init__(self, dim: int, width: int, tokens: int) -> None:
        super().__init__()
        self.dim, self.width, self.tokens = dim, width, tokens
        self.register_buffer("feature_mean", torch.zeros(dim))
        self.register_buffer("feature_spread", torch.ones(dim))
        self.norm = nn.RMSNorm(width, eps=1e-6)

    def standardise(self, mean: Tensor, spread: Tensor) -> None:
        """Shift by `mean` (dim,) and divide by `spread` (dim,); a feature that never changes is only shifted."""
        self.feature_mean.copy_(mean)
        self.feature_spread.copy_(torch.where(spread > 0, spread, torch.ones_like(spread)))

    def match(self, size: float) -> None:
        """Let the vectors start with this root mean square."""
        with torch.no_grad():
            self.norm.weight.fill_(size)

    def forward(self, features: Tensor, cu_seqlens: Tensor, coords: Tensor | None = None) -> Tensor:
        """(B, tokens, width) float32 of packed bags: features (T, dim) of any float dtype, borders (B + 1,), coords
        (T, 2) in level-0 px for those that need them. The order of a bag's rows does not matter."""
        with torch.autocast(features.device.type, enabled=False):
            rows = (features.float() - self.feature_mean) / self.feature_spread
            made: Tensor = self.norm(self.pool(rows, cu_seqlens, coords))
        return made

    @abstractmethod
    def pool(self, rows: Tensor, cu_seqlens: Tensor, coords: Tensor | None) -> Tensor:
        """(B, tokens, width) float32 of standardised rows (T, dim) float32."""
