"""The rows that are pooled, chunk by chunk: those of h, or what a projection makes of them."""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from slidelake.kernels.arguments import PoolArguments, Projection
from slidelake.kernels.chunked_products import Workspace, add_product, narrowed, product, product_dtype
from slidelake.kernels.dropout import PROJECTION_STREAM, dropout_masks


class Taken(NamedTuple):
    """n rows of a chunk. Not to be written to."""

    #: (n, D) in the accumulation's dtype; rows that the mask leaves out are finite.
    wide: Tensor
    #: The same as a factor of the large products, (n, D) in their dtype: `wide` = scale · `factor`, None for 1.
    factor: Tensor
    scale: Tensor | None


class Rows(Protocol):
    """Where a pass over the chunks has its rows from, and where their gradient goes."""

    count: int
    dim: int
    device: torch.device
    #: Of the large products' factors.
    dtype: torch.dtype
    #: Bytes of scratch for each row.
    scratch_bytes: int
    #: Numbers that the forward pass can keep for each row, so that the backward pass need not make it again.
    kept_width: int

    def take(self, start: int, stop: int, space: Workspace) -> Taken: ...

    def keep(self, saved: Tensor, *, filled: bool) -> None:
        """Give (T, kept_width) in the accumulation's dtype, which `take` fills, or has its rows from if filled."""

    def want_gradients(self, *, features: bool, parameters: bool) -> bool:
        """Make room for the gradients; whether the rows' own, (n, D), is needed for them."""

    def give_gradient(self, start: int, stop: int, rows: Taken, gradient: Tensor, space: Workspace) -> None:
        """The gradient (n, D) of what `take` gave, 0 for left-out rows; may be written to."""

    def gradients(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Of h, W1 and b1; None for what was not wanted."""


def rows_of(arguments: PoolArguments) -> Rows:
    """The rows that the arguments ask to pool."""
    features = FeatureRows(arguments.h, arguments.mask)
    if arguments.projection is None:
        return features
    return ProjectedRows(features, arguments.projection, arguments.seed)


def split_saved(saved: Tensor, arguments: PoolArguments, rows: Rows, *, filled: bool) -> Tensor:
    """The part of `saved` that holds the hidden units, (2, T, L); the rest goes to the rows."""
    if arguments.projection is None:
        return saved
    gates = 1 if arguments.U is None else 2
    sizes = [gates * rows.count * len(arguments.V), rows.count * rows.kept_width]
    units, kept = torch.split(saved, sizes)
    rows.keep(kept.view(rows.count, rows.kept_width), filled=filled)
    return units.view(gates, rows.count, len(arguments.V))


class FeatureRows:
    """The rows of h."""

    kept_width = 0

    def __init__(self, h: Tensor, mask: Tensor | None) -> None:
        self._h, self._mask = h, mask
        self.count, self.dim = h.shape
        self.device, self.dtype = h.device, product_dtype(h)
        self.wide_dtype = torch.float64 if h.dtype == torch.float64 else torch.float32
        self.scratch_bytes = self.dim * (self.dtype.itemsize + self.wide_dtype.itemsize)
        self._grad: Tensor | None = None

    def factor(self, start: int, stop: int, space: Workspace) -> Tensor:
        """(n, D) in the products' dtype; left-out rows are 0."""
        rows = self._h[start:stop]
        if self._mask is None and rows.dtype == self.dtype and rows.is_contiguous():
            return rows
        rows = space.take("rows", rows.shape, self.dtype).copy_(rows)
        if self._mask is not None:
            rows.masked_fill_(~self._mask[start:stop, None], 0)
        return rows

    def take(self, start: int, stop: int, space: Workspace) -> Taken:
        rows = self.factor(start, stop, space)
        if rows.dtype == self.wide_dtype:
            return Taken(rows, rows, None)
        return Taken(space.take("wide_rows", rows.shape, self.wide_dtype).copy_(rows), rows, None)

    def keep(self, saved: Tensor, *, filled: bool) -> None:
        pass  # they lie in h

    def want_gradients(self, *, features: bool, parameters: bool) -> bool:
        if features:
            self._grad = torch.empty(self._h.shape, dtype=self._h.dtype, device=self._h.device)
        return features

    def give_gradient(self, start: int, stop: int, rows: Taken, gradient: Tensor, space: Workspace) -> None:
        self.put_gradient(start, stop, gradient)

    def put_gradient(self, start: int, stop: int, gradient: Tensor) -> None:
        """(n, D) in any dtype."""
        if self._grad is not None:
            self._grad[start:stop].copy_(gradient)

    def gradients(self) -> tuple[Tensor | None, None, None]:
        return self._grad, None, None


class ProjectedRows:
    """dropout(relu(x W1ᵀ + b1)), made again in the backward pass unless the forward pass could keep it."""

    def __init__(self, features: FeatureRows, projection: Projection, seed: int) -> None:
        self._x, self._seed, self._dropout_p = features, seed, projection.dropout_p
        self._parameter_dtype = projection.weight.dtype
        self.count, self.device, self.dtype = features.count, features.device, features.dtype
        self._wide = features.wide_dtype
        self._weight, self._bias = projection.weight.to(self.dtype), projection.bias.to(self._wide)
        self.dim, inner = self._weight.shape
        self.kept_width = self.dim
        # The rows, their dropout, the gradient of x; 16-bit copies.
        width = self._wide.itemsize
        self.scratch_bytes = features.scratch_bytes + self.dim * (2 * width + 4) + inner * width
        self._kept: Tensor | None = None
        self._filled = False
        self._wants_x = False
        self._sums: tuple[Tensor, Tensor] | None = None

    def take(self, start: int, stop: int, space: Workspace) -> Taken:
        rows = space.take("projected", (stop - start, self.dim), self._wide)
        if self._kept is not None:
            rows = self._kept[start:stop]
        if not self._filled:
            x = self._x.factor(start, stop, space)
            if x.dtype == rows.dtype:
                torch.addmm(self._bias, x, self._weight.T, out=rows)
            else:
                product(x, self._weight.T, rows).add_(self._bias)
            rows.relu_()
            if self._dropout_p > 0:
                kept, _ = dropout_masks(
                    *(self._seed, self._dropout_p, stop - start, self.dim),
                    device=self.device,
                    first_row=start,
                    stream=PROJECTION_STREAM,
                )
                rows.mul_(kept).mul_(1 / (1 - self._dropout_p))
        return Taken(rows, *narrowed(rows, self.dtype, "narrow_rows", space))

    def keep(self, saved: Tensor, *, filled: bool) -> None:
        self._kept, self._filled = saved, filled

    def want_gradients(self, *, features: bool, parameters: bool) -> bool:
        self._wants_x = self._x.want_gradients(features=features, parameters=parameters)
        if parameters:
            weight = torch.zeros(self._weight.shape, dtype=self._wide, device=self.device)
            self._sums = weight, torch.zeros_like(self._bias)
        return features or parameters

    def give_gradient(self, start: int, stop: int, rows: Taken, gradient: Tensor, space: Workspace) -> None:
        # A unit that fell, or that relu cut off, is 0 in the rows; the rest were scaled.
        gradient.masked_fill_(rows.wide <= 0, 0).mul_(1 / (1 - self._dropout_p))
        x = self._x.factor(start, stop, space)
        narrow, scale = narrowed(gradient, self.dtype, "narrow_gradient", space)
        if self._sums is not None:
            add_product(self._sums[0], narrow.T, x, scale)
            self._sums[1].add_(gradient.sum(0))
        if self._wants_x:
            inner = space.take("grad_x", x.shape, self._wide).zero_()
            add_product(inner, narrow, self._weight, scale)
            self._x.put_gradient(start, stop, inner)

    def gradients(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        grad, _, _ = self._x.gradients()
        if self._sums is None:
            return grad, None, None
        return grad, self._sums[0].to(self._parameter_dtype), self._sums[1].to(self._parameter_dtype)
