"""Bags to test slide encoders with: random ones, parts of them, and ones in which a class was planted."""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from slidelake.encoders.slide.model import Bags

__all__ = ["LENGTHS", "make_bags", "one_bag", "planted_bags", "take_rows"]

#: Rows of the bags of most tests: each of two slides or more, an empty one among them.
LENGTHS = (40, 1, 130, 7)


def make_bags(lengths: Sequence[int] = LENGTHS, *, dim: int = 24, seed: int = 0) -> Bags:
    """Random bags with coords on a grid of 256 px, no two alike in a bag, and each bag cut into slides."""
    generator = torch.Generator().manual_seed(seed)
    borders = [0]
    slides = [0]
    for length in lengths:
        start = borders[-1]
        slides += [start + length // 3, start + length // 3, start + length]
        borders.append(start + length)
    cells = [torch.randperm(max(1, 4 * length), generator=generator)[:length] for length in lengths]
    coords = [torch.stack([cell % 16, cell // 16], 1) * 256 for cell in cells]
    return Bags(
        torch.randn(borders[-1], dim, generator=generator),
        torch.tensor(borders, dtype=torch.int32),
        coords=torch.cat(coords).int(),
        slide_seqlens=torch.tensor(slides, dtype=torch.int32),
    )


def take_rows(bags: Bags, rows: Tensor) -> Bags:
    """The bags with `rows` (n,) int64 of theirs alone, in that order, which keeps bags and slides together."""

    def borders(old: Tensor) -> Tensor:
        return (rows[None] < old[:, None]).sum(1).to(old.dtype)

    return Bags(
        bags.features[rows],
        borders(bags.cu_seqlens),
        None if bags.mask is None else bags.mask[rows],
        None if bags.coords is None else bags.coords[rows],
        None if bags.slide_seqlens is None else borders(bags.slide_seqlens),
    )


def one_bag(bags: Bags, number: int) -> Bags:
    """The bag of that number, with its slides."""
    start, stop = bags.cu_seqlens[number : number + 2].tolist()
    alone = take_rows(bags, torch.arange(start, stop))
    alone = replace(alone, cu_seqlens=alone.cu_seqlens[number : number + 2])
    if bags.slide_seqlens is None or alone.slide_seqlens is None:
        return alone
    inside = (bags.slide_seqlens >= start) & (bags.slide_seqlens <= stop)
    return replace(alone, slide_seqlens=alone.slide_seqlens[inside])


def planted_bags(
    count: int, rows: int, *, dim: int = 24, shift: float = 8.0, share: float = 0.01, seed: int = 0
) -> tuple[Bags, Tensor, Tensor]:
    """Bags, classes (count,) and which rows are planted (T,): in class 1, `share` of the rows are moved by `shift`
    standard deviations along one direction; every other value is noise."""
    generator = torch.Generator().manual_seed(seed)
    direction = F.normalize(torch.ones(dim), dim=0)
    classes = torch.arange(count) % 2
    bags = make_bags((rows,) * count, dim=dim, seed=seed)
    planted = torch.zeros(count, rows, dtype=torch.bool)
    for bag in range(1, count, 2):
        planted[bag, torch.randperm(rows, generator=generator)[: max(1, round(share * rows))]] = True
    flat = planted.flatten()
    bags.features[flat] += shift * direction
    return bags, classes, flat
