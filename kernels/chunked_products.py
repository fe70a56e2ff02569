"""What the chunks of the chunked back end share: arrays used again, and matrix products summed in 32 bits."""

from collections.abc import Sequence

import torch
from torch import Tensor


class Workspace:
    """Arrays that every chunk uses again: `take` gives the first rows of one, made at its first use."""

    def __init__(self, rows: int, device: torch.device) -> None:
        self._rows, self.device = rows, device
        self._arrays: dict[str, Tensor] = {}

    def take(self, name: str, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """(rows, width), contiguous; whatever was there. One name has one width and one dtype."""
        rows, width = shape
        if name not in self._arrays:
            self._arrays[name] = torch.empty((self._rows, width), dtype=dtype, device=self.device)
        return self._arrays[name][:rows]


def product_dtype(h: Tensor) -> torch.dtype:
    """The dtype of the large products' factors: h's own on CUDA, where 16-bit products are summed in 32 bits.

    Elsewhere (ROCm too) 16-bit features are widened chunk by chunk: there such products are rounded to 16 bits.
    """
    if h.dtype == torch.float64 or (h.device.type == "cuda" and torch.version.hip is None):
        return h.dtype
    return torch.float32


def product(a: Tensor, b: Tensor, out: Tensor) -> Tensor:
    """a @ b into `out`, summed in out's dtype, which may be wider than that of the factors (CUDA)."""
    if a.dtype == out.dtype:
        return torch.mm(a, b, out=out)
    return torch.mm(a, b, out_dtype=out.dtype, out=out)


def narrowed(values: Tensor, dtype: torch.dtype, name: str, space: Workspace) -> tuple[Tensor, Tensor | None]:
    """What is computed here as a factor of the large products, and what these have to be multiplied by; None for 1.

    In 16 bits it is divided by a power of two that keeps the largest value in range: the gradients of a loss that
    is scaled up for float16, or of a mean over a million rows, would otherwise leave it.
    """
    if values.dtype == dtype:
        return values, None
    # The largest finite one: a row of NaN is not to decide about the rows beside it.
    largest = values.abs().nan_to_num_(0, 0, 0).amax()
    scale = torch.exp2(largest.clamp_min(1e-30).log2().ceil())
    narrow = space.take(name, values.shape, dtype)
    return torch.div(values, scale, out=narrow), scale


def add_product(out: Tensor, a: Tensor, b: Tensor, scale: Tensor | None) -> None:
    """out += scale · a @ b, summed in out's dtype."""
    if scale is None:
        out.addmm_(a, b)
    else:
        out.addcmul_(product(a, b, torch.empty_like(out)), scale)


def combined(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    """The product of two scales, None for 1."""
    if one is None or other is None:
        return other if one is None else one
    return one * other
