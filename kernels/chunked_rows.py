"""The rows of a chunk as the arithmetic takes them."""

import torch
from torch import Tensor


class Workspace:
    """Arrays that every chunk uses again: `take` gives the first rows of one, made at its first use."""

    def __init__(self, rows: int, device: torch.device) -> None:
        self._rows, self.device = rows, device
        self._arrays: dict[str, Tensor] = {}

    def take(self, name: str, rows: int, width: int, dtype: torch.dtype) -> Tensor:
        """(rows, width), contiguous; whatever was there."""
        if name not in self._arrays:
            self._arrays[name] = torch.empty((self._rows, width), dtype=dtype, device=self.device)
        return self._arrays[name][:rows]


def product_dtype(h: Tensor) -> torch.dtype:
    """The dtype of the large products' factors: h's own on CUDA, where 16-bit products are summed in 32 bits.

    Elsewhere 16-bit features are widened chunk by chunk: a CPU's 16-bit products are rounded to 16 bits.
    """
    if h.device.type == "cuda" or h.dtype == torch.float64:
        return h.dtype
    return torch.float32


def product(a: Tensor, b: Tensor, out: Tensor) -> Tensor:
    """a @ b into `out`, summed in out's dtype, which may be wider than that of the factors (CUDA)."""
    if a.dtype == out.dtype:
        return torch.mm(a, b, out=out)
    return torch.mm(a, b, out_dtype=out.dtype, out=out)


class FeatureRows:
    """The rows of h, chunk by chunk: `take` gives them, and `give_gradient` takes theirs."""

    def __init__(self, h: Tensor, mask: Tensor | None) -> None:
        self._h, self._mask = h, mask
        self.count, self.dim = h.shape
        self.device, self.dtype = h.device, product_dtype(h)
        #: Bytes of scratch for each row, beside (n, D) of the accumulation's dtype.
        self.scratch_bytes = self.dim * self.dtype.itemsize
        self.grad: Tensor | None = None

    def take(self, start: int, stop: int, space: Workspace) -> Tensor:
        """(n, D) in the products' dtype; rows that the mask leaves out are 0. h itself where that will do."""
        rows = self._h[start:stop]
        if self._mask is None and rows.dtype == self.dtype and rows.is_contiguous():
            return rows
        copy = space.take("rows", stop - start, self.dim, self.dtype).copy_(rows)
        if self._mask is not None:
            copy.masked_fill_(~self._mask[start:stop, None], 0)
        return copy

    def widened(self, rows: Tensor, dtype: torch.dtype, space: Workspace) -> Tensor:
        """Rows that `take` gave, in the accumulation's dtype."""
        return rows if rows.dtype == dtype else space.take("widened", len(rows), self.dim, dtype).copy_(rows)

    def want_gradient(self) -> None:
        """Make room for the gradient of h."""
        self.grad = torch.empty(self._h.shape, dtype=self._h.dtype, device=self._h.device)

    def give_gradient(self, start: int, stop: int, gradient: Tensor) -> None:
        """The rows' gradient (n, D), 0 for left-out rows."""
        if self.grad is not None:
            self.grad[start:stop].copy_(gradient)
