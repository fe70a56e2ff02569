"""Bags of unlike length end to end in one array, with the borders between them."""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from slidelake.errors import KernelError
from slidelake.kernels.borders import check_cu_seqlens


class PackedBags(NamedTuple):
    """B bags of together T rows: `features` (T, D), `cu_seqlens` (B + 1,) int32 borders from 0 to T."""

    features: Tensor
    cu_seqlens: Tensor


def pack_bags(bags: Sequence[Tensor | np.ndarray]) -> PackedBags:
    """Lay bags (N_b, D) end to end; KernelError where they differ in D, dtype or device, or there is none."""
    tensors = [
        bag if isinstance(bag, Tensor) else torch.from_numpy(np.ascontiguousarray(bag)) for bag in bags
    ]
    if not tensors:
        raise KernelError("there is no bag to pack", remedy="Pass at least one bag; a bag may be empty.")
    first = tensors[0]
    for number, bag in enumerate(tensors):
        if bag.ndim != 2 or bag.shape[1] != first.shape[-1]:
            raise KernelError(
                f"bag {number} has shape {tuple(bag.shape)}, bag 0 {tuple(first.shape)}",
                remedy="Pack bags of one space only: each (N, D) with the same D.",
            )
        if bag.dtype != first.dtype or bag.device != first.device:
            raise KernelError(
                f"bag {number} is {bag.dtype} on {bag.device}, bag 0 {first.dtype} on {first.device}",
                remedy="Give all bags one dtype and one device.",
            )
    borders = [0, *accumulate(len(bag) for bag in tensors)]
    if borders[-1] >= 2**31:
        raise KernelError(
            f"the bags have {borders[-1]} rows together", remedy="Pack fewer than 2**31 rows at a time."
        )
    cu_seqlens = torch.tensor(borders, dtype=torch.int32, device=first.device)
    return PackedBags(torch.cat(tensors), cu_seqlens)


def unpack_bags(values: Tensor, cu_seqlens: Tensor, *, dim: int = 0) -> list[Tensor]:
    """The bags' parts of a packed array, as views: rows of (T, D), or with `dim=1` of scores (K, T)."""
    if not -values.ndim <= dim < values.ndim:
        raise KernelError(
            f"dim is {dim} for a {values.ndim}-D array", remedy="Name the axis that holds the rows."
        )
    check_cu_seqlens(cu_seqlens, values.shape[dim])
    lengths: list[int] = torch.diff(cu_seqlens).tolist()
    return list(torch.split(values, lengths, dim=dim))


def bag_of_row(cu_seqlens: Tensor, rows: int) -> Tensor:
    """(rows,) int64: the number of the bag that holds each row; an empty bag holds none."""
    every = torch.arange(rows, device=cu_seqlens.device)
    return torch.searchsorted(cu_seqlens.to(torch.int64), every, right=True) - 1
