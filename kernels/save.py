"""What the backward pass is given: the activations, or the work of computing them again."""

import math

import torch

from slidelake.errors import KernelError
from slidelake.kernels.arguments import PoolArguments
from slidelake.kernels.fused import saved_dtype, saved_shape

SAVES = ("auto", "recompute", "store")
#: `save="auto"` stores at most this, and at most this share of what is free.
_MOST_BYTES = 512 << 20
_MOST_SHARE = 0.05
#: So little is stored without asking how much is free, which takes longer than a small bag's pooling.
_UNASKED_BYTES = 16 << 20


def check_save(save: str) -> None:
    """KernelError for a word that is no save mode."""
    if save not in SAVES:
        raise KernelError(
            f"save is {save!r}, which is no save mode", remedy=f"Use one of: {', '.join(SAVES)}."
        )


def wants_gradient(arguments: PoolArguments) -> bool:
    """Whether a backward pass can follow."""
    a = arguments
    tensors = [a.h, a.V, a.bV, a.U, a.bU, a.w, a.bw]
    if a.projection is not None:
        tensors += [a.projection.weight, a.projection.bias]
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in tensors)


def stored_bytes(arguments: PoolArguments) -> int:
    """Bytes of what store mode keeps: tanh and gate of each row, and the projected rows where there are any."""
    return math.prod(saved_shape(arguments)) * saved_dtype(arguments).itemsize


def eager_bytes(arguments: PoolArguments) -> int:
    """Bytes of the arrays that the eager back end keeps, and of its copies of the features where it makes some."""
    a = arguments
    units = (2 if a.U is None else 3) + (a.dropout_p > 0) * (1 if a.U is None else 2)
    copies = (a.h.dtype != a.compute_dtype) + (a.mask is not None)
    per_row = units * a.V.shape[0] + copies * a.h.shape[1]
    if a.projection is not None:
        per_row += a.V.shape[1] * (2 if a.projection.dropout_p > 0 else 1)
    return per_row * a.h.shape[0] * a.compute_dtype.itemsize


def fits(bytes_wanted: int, device: torch.device) -> bool:
    """Whether so much may be kept on the device without being asked for: the budget of `save="auto"`."""
    if bytes_wanted <= _UNASKED_BYTES:
        return True
    return bytes_wanted <= _MOST_BYTES and bytes_wanted <= _MOST_SHARE * free_bytes(device)


def free_bytes(device: torch.device) -> int:
    """Bytes that an allocation on the device can still have."""
    if device.type == "cuda":
        if torch.cuda.is_current_stream_capturing():
            return 0  # a graph under capture keeps what it allocates for as long as it lives
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + cached)
    import psutil

    return int(psutil.virtual_memory().available)
