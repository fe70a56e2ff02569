"""The borders between packed bags: their check, and their values on the host."""

import numpy as np
import torch
from torch import Tensor

from slidelake.errors import KernelError
from slidelake.kernels.tracing import traced

#: Where a border tensor on a device keeps its values, with the version that they are of.
_HOST = "_slidelake_host_borders"


def check_cu_seqlens(cu_seqlens: Tensor, rows: int) -> None:
    """Refuse bag borders that are not a rising list from 0 to `rows`; reads the values (on a GPU: waits)."""
    if cu_seqlens.ndim != 1 or len(cu_seqlens) == 0:
        raise KernelError(
            f"cu_seqlens has shape {tuple(cu_seqlens.shape)}",
            remedy="Pass (B + 1,) bag borders that start at 0, as pack_bags makes them.",
        )
    if cu_seqlens.dtype not in (torch.int32, torch.int64):
        raise KernelError(f"cu_seqlens is {cu_seqlens.dtype}", remedy="Pass int32 or int64.")
    if traced(cu_seqlens) or (cu_seqlens.is_cuda and torch.cuda.is_current_stream_capturing()):
        return  # values are not known while tracing, and a CUDA graph cannot wait for them
    if cu_seqlens.dtype == torch.int32 and rows >= 2**31:
        raise KernelError(
            f"cu_seqlens is torch.int32, which cannot count {rows} rows",
            remedy="Pass int64: cu_seqlens.to(torch.int64).",
        )
    borders = host_borders(cu_seqlens)
    if borders[0] != 0:
        raise KernelError(f"cu_seqlens starts at {borders[0]}", remedy="Let the first bag start at row 0.")
    falls = np.flatnonzero(np.diff(borders) < 0)
    if len(falls):
        bag = int(falls[0])
        raise KernelError(
            f"cu_seqlens falls from {borders[bag]} to {borders[bag + 1]} at bag {bag}",
            remedy="Pass borders that rise; an empty bag repeats its border.",
        )
    if borders[-1] != rows:
        raise KernelError(
            f"cu_seqlens ends at {borders[-1]}, but there are {rows} rows",
            remedy="Let the last border be the number of rows of h.",
        )


def host_borders(cu_seqlens: Tensor) -> np.ndarray:
    """(B + 1,) int64 values of the borders on the host.

    Read once for each tensor that lies on a device: the values stay with the tensor for as long as nothing writes
    to it, so that a model that pools the same bags in several places waits for the device once.
    """
    if cu_seqlens.device.type == "cpu":
        return cu_seqlens.detach().numpy().astype(np.int64)
    if cu_seqlens.is_inference():  # such tensors do not tell when they are written to
        return cu_seqlens.cpu().numpy().astype(np.int64)
    known = getattr(cu_seqlens, _HOST, None)
    if known is None or known[0] != cu_seqlens._version:
        known = (cu_seqlens._version, cu_seqlens.cpu().numpy().astype(np.int64))
        setattr(cu_seqlens, _HOST, known)
    values: np.ndarray = known[1]
    return values


def wide_borders(cu_seqlens: Tensor) -> Tensor:
    """The borders in 64 bits; what is known of their values goes along."""
    wide = cu_seqlens.to(torch.int64)
    if wide is not cu_seqlens and hasattr(cu_seqlens, _HOST) and not traced(cu_seqlens):
        setattr(wide, _HOST, (wide._version, getattr(cu_seqlens, _HOST)[1]))
    return wide
