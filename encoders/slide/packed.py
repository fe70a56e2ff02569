"""Sums, means, maxima, softmaxes and the highest rows of bags that lie end to end; all differentiable."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from slidelake.kernels import segment_sum

__all__ = [
    "bag_max",
    "bag_mean",
    "bag_of_row",
    "highest_row",
    "ranked_rows",
    "row_counts",
    "rows_at",
    "softmax_pool",
    "take_or_zero",
]

#: Rows that a CPU converts to float32 and reduces at a time, while they are in its cache: 20 times as fast as
#: converting the whole bag first (60,000 x 1,024 float16 on one core: 16 against 317 ms).
_CPU_ROWS = 256


def bag_of_row(cu_seqlens: Tensor, rows: int) -> Tensor:
    """(T,) int64: the number of the bag that holds each of the T = `rows` rows."""
    lengths = torch.diff(cu_seqlens).long()
    bags = torch.arange(len(lengths), device=lengths.device)
    return torch.repeat_interleave(bags, lengths, output_size=rows)


def row_counts(cu_seqlens: Tensor, mask: Tensor | None) -> Tensor:
    """(B,) int64: how many rows of each bag count."""
    if mask is None:
        return torch.diff(cu_seqlens).long()
    before = F.pad(torch.cumsum(mask, 0), (1, 0))
    return before[cu_seqlens[1:].long()] - before[cu_seqlens[:-1].long()]


def bag_mean(features: Tensor, cu_seqlens: Tensor, mask: Tensor | None = None) -> Tensor:
    """(B, D) float32 mean of each bag's rows of `features` (T, D), summed in float32; 0 for an empty bag."""
    sums = [
        torch.stack([block.sum(0, dtype=torch.float32) for block in blocks]).sum(0)
        for blocks in _bags_in_blocks(features, cu_seqlens, mask, 0.0)
    ]
    return torch.stack(sums) / row_counts(cu_seqlens, mask).clamp(min=1)[:, None]


def bag_max(features: Tensor, cu_seqlens: Tensor, mask: Tensor | None = None) -> Tensor:
    """(B, D) float32 maximum of each bag's rows of `features` (T, D); 0 for an empty bag."""
    maxima = [
        torch.stack([block.float().amax(0) for block in blocks if len(block)]).amax(0)
        if len(blocks[0])
        else features.new_zeros(features.shape[1], dtype=torch.float32)
        for blocks in _bags_in_blocks(features, cu_seqlens, mask, -torch.inf)
    ]
    empty = row_counts(cu_seqlens, mask) == 0
    return torch.stack(maxima).masked_fill(empty[:, None], 0)


def _bags_in_blocks(
    features: Tensor, cu_seqlens: Tensor, mask: Tensor | None, absent: float
) -> Iterator[tuple[Tensor, ...]]:
    """The blocks of each bag, at least one, with `absent` in rows that do not count."""
    # split, not slices: the gradient of T slices would be T arrays of the whole's size.
    lengths: list[int] = torch.diff(cu_seqlens).tolist()
    masks = torch.split(mask, lengths) if mask is not None else [None] * len(lengths)
    for bag, kept in zip(torch.split(features, lengths), masks, strict=True):
        size = _CPU_ROWS if bag.device.type == "cpu" else max(1, len(bag))
        blocks = torch.split(bag, size)
        if kept is None:
            yield blocks
        else:
            pairs = zip(blocks, torch.split(kept, size), strict=True)
            yield tuple(block.masked_fill(~counts[:, None], absent) for block, counts in pairs)


def softmax_pool(values: Tensor, scores: Tensor, cu_seqlens: Tensor) -> tuple[Tensor, Tensor]:
    """pooled (B, K, E) and lse (B, K) of `values` (T, E) float32 under the softmax of `scores` (K, T) in each bag.

    For scores that `gated_attention_pool` does not make, or that differ in the rows that their branches leave out
    (−inf). A bag without a row left has pooled 0 and lse −inf.
    """
    borders = cu_seqlens.long()
    bags = bag_of_row(borders, scores.shape[1])
    with torch.no_grad():
        # Any shift gives the same softmax; the maximum keeps exp() in range. A bag without a counting row: 0.
        top = scores.new_full((len(scores), len(borders) - 1), -torch.inf)
        top.scatter_reduce_(1, bags.expand_as(scores), scores, "amax")
        top = top.masked_fill(top.isneginf(), 0)
    grown = torch.exp(scores - top[:, bags])
    total = segment_sum(grown.T.contiguous(), borders).T  # (K, B)
    empty = total == 0
    total = total.masked_fill(empty, 1)
    attention = grown / total[:, bags]
    pooled = torch.stack([segment_sum(values, borders, branch) for branch in attention], dim=1)
    return pooled, (top + total.log()).masked_fill(empty, -torch.inf).T


def ranked_rows(scores: Tensor, cu_seqlens: Tensor) -> tuple[Tensor, Tensor]:
    """Each bag's rows by falling score, for K scores a row: rows (K, T) int64 and counts (K, B) int64.

    Bag b's rows stand at its own borders, the first of equals first, those of score −inf last; `counts` says how
    many are above that. Not differentiable.
    """
    scores, borders = scores.detach(), cu_seqlens.long()
    # By score, then by bag with that order kept: no loop over bags, and nothing is read back from the device.
    by_score = scores.argsort(dim=1, descending=True, stable=True)
    by_bag = bag_of_row(borders, scores.shape[1])[by_score].argsort(dim=1, stable=True)
    counted = F.pad(torch.cumsum(scores > -torch.inf, 1), (1, 0))
    return by_score.gather(1, by_bag), counted[:, borders[1:]] - counted[:, borders[:-1]]


def rows_at(ranked: Tensor, places: Tensor) -> Tensor:
    """The rows (K, B, k) that stand at `places` (K, B, k) of `ranked` (K, T); −1 where a place is negative."""
    if ranked.shape[1] == 0:
        return torch.full_like(places, -1)
    found = ranked.gather(1, places.clamp(min=0).flatten(1)).view_as(places)
    return found.masked_fill(places < 0, -1)


def highest_row(scores: Tensor, cu_seqlens: Tensor) -> Tensor:
    """(K, B) int64: the row with each bag's highest score, the first of equals; −1 where there is none above −inf."""
    scores, borders = scores.detach(), cu_seqlens.long()
    rows, bags = scores.shape[1], len(borders) - 1
    bag = bag_of_row(borders, rows).expand_as(scores)
    top = scores.new_full((len(scores), bags), -torch.inf).scatter_reduce_(1, bag, scores, "amax")
    is_top = (scores == top.gather(1, bag)) & (scores > -torch.inf)
    number = torch.arange(rows, device=scores.device).expand_as(scores).masked_fill(~is_top, rows)
    first = torch.full((len(scores), bags), rows, device=scores.device)
    first = first.scatter_reduce_(1, bag, number, "amin")
    return first.masked_fill(first == rows, -1)


def take_or_zero(values: Tensor, rows: Tensor) -> Tensor:
    """`values` (T, E) at `rows` (…) int64: (…, E); zeros where a row's number is negative."""
    if len(values) == 0:
        return values.new_zeros(*rows.shape, values.shape[1])
    return values[rows.clamp(min=0)].masked_fill((rows < 0)[..., None], 0)
