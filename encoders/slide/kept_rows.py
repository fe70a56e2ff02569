"""Packed bags without their left-out rows, and scores put back to where those rows are."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from slidelake.encoders.slide.model import Bags

__all__ = ["kept_rows", "scores_of_all"]


def kept_rows(bags: Bags) -> tuple[Bags, Tensor | None]:
    """The bags without the rows that `mask` leaves out, and those that remain as row numbers (T',), None = all.

    What a left-out row holds (zeros, NaN) then reaches neither output nor gradient.
    """
    if bags.mask is None:
        return bags, None
    rows = bags.mask.nonzero().squeeze(1)
    before = F.pad(bags.mask.cumsum(0), (1, 0))
    coords = None if bags.coords is None else bags.coords[rows]
    slides = None if bags.slide_seqlens is None else before[bags.slide_seqlens.long()]
    kept = replace(
        bags,
        features=bags.features[rows],
        cu_seqlens=before[bags.cu_seqlens.long()],
        mask=None,
        coords=coords,
        slide_seqlens=slides,
    )
    return kept, rows


def scores_of_all(scores: Tensor, rows: Tensor | None, total: int) -> Tensor:
    """Scores (K, T') of the kept rows as (K, T): −inf for those left out."""
    if rows is None:
        return scores
    return torch.full((len(scores), total), -torch.inf, device=scores.device).index_copy(1, rows, scores)
