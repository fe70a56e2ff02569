"""An overview and a grid of regions, each one token: where on the slide something lies is kept, whatever its size."""

from math import isqrt
from typing import ClassVar

import torch
from torch import Tensor, nn

from slidelake.errors import UsageError
from slidelake.services.tuning.model.projectors.attention import GatedPool
from slidelake.services.tuning.model.projectors.base import Projector

__all__ = ["RegionsProjector"]


class RegionsProjector(Projector):
    """1 + side² tokens: attention over all rows, and over those of each cell of side × side cells of the tissue's box.

    Cells are shares of the box around a slide's patches, so a biopsy and a resection give as many tokens. A cell
    without patches gives a vector that is learnt.
    """

    needs_coords: ClassVar[bool] = True

    def __init__(self, dim: int, width: int, tokens: int, hidden: int = 128) -> None:
        super().__init__(dim, width, tokens)
        self.side = isqrt(tokens - 1)
        if tokens < 2 or self.side**2 != tokens - 1:
            raise UsageError(
                f"the projector regions cannot have {tokens} tokens",
                remedy="Give 1 + a square: 2, 5, 10, 17, …",
            )
        self.overview, self.region = GatedPool(dim, hidden, 1), GatedPool(dim, hidden, 1)
        self.linear = nn.Linear(dim, width)
        self.empty = nn.Parameter(torch.randn(width) / width**0.5)
        self.own = nn.Parameter(torch.randn(tokens, width) / width**0.5)

    def pool(self, rows: Tensor, cu_seqlens: Tensor, coords: Tensor | None) -> Tensor:
        if coords is None:
            raise UsageError(
                "the projector regions was given no coordinates", remedy="Pass coords (T, 2) in level-0 px."
            )
        bags, cells = len(cu_seqlens) - 1, self.side**2
        place = cells_of(coords, cu_seqlens, self.side)
        # Stable: rows of a cell keep their order, and the same bag gives the same bits.
        order = torch.argsort(place, stable=True)
        counts = torch.bincount(place, minlength=bags * cells)
        borders = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        regions = self.linear(self.region(rows[order], borders)[:, 0])  # (B * cells, width)
        regions = torch.where((counts > 0)[:, None], regions, self.empty).reshape(bags, cells, -1)
        return torch.cat([self.linear(self.overview(rows, cu_seqlens)), regions], 1) + self.own


def cells_of(coords: Tensor, cu_seqlens: Tensor, side: int) -> Tensor:
    """(T,) int64: bag * side² + the cell, counted along x first, in which each row's top-left corner lies."""
    bags = len(cu_seqlens) - 1
    bag = torch.repeat_interleave(torch.arange(bags, device=coords.device), cu_seqlens.diff())
    xy, of = coords.long(), bag[:, None].expand(-1, 2)
    least = xy.new_full((bags, 2), torch.iinfo(torch.int64).max).scatter_reduce(0, of, xy, "amin")
    most = xy.new_full((bags, 2), torch.iinfo(torch.int64).min).scatter_reduce(0, of, xy, "amax")
    cell = (xy - least[bag]) * side // (most - least + 1)[bag]
    return bag * side**2 + cell[:, 1] * side + cell[:, 0]
