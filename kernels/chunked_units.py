"""The hidden units of a chunk: tanh(V h + bV), σ(U h + bU) and the dropout on them."""

import torch
from torch import Tensor

from slidelake.kernels.arguments import PoolArguments
from slidelake.kernels.chunked_products import Workspace, product
from slidelake.kernels.chunked_rows import Taken
from slidelake.kernels.dropout import dropout_masks


class HiddenUnits:
    """V over U in one matrix, so that a chunk's rows are read once for both branches."""

    def __init__(self, arguments: PoolArguments, product_dtype: torch.dtype, space: Workspace) -> None:
        self._arguments, self._space = arguments, space
        self.dtype = arguments.compute_dtype
        self.hidden = arguments.V.shape[0]
        self.gated = arguments.U is not None
        branches = [x for x in (arguments.V, arguments.U) if x is not None]
        biases = [x for x in (arguments.bV, arguments.bU) if x is not None]
        self.weights = torch.cat(branches).to(product_dtype)  # (2L, D), (L, D) without a gate
        self.biases = torch.cat(biases).to(self.dtype)
        self._per_branch = torch.split(self.weights, self.hidden)
        self._biases_per_branch = torch.split(self.biases, self.hidden)

    @property
    def width(self) -> int:
        return len(self.biases)

    def compute(self, rows: Taken, into: Tensor | None = None) -> tuple[Tensor, ...]:
        """(n, L) of the tanh branch and of the gate, before dropout; the tanh branch alone without a gate.

        `into` (2, n, L) or (1, n, L) is filled with them too.
        """
        factor = rows.factor
        if into is not None and into.dtype == self.dtype == factor.dtype:
            parts = into.unbind(0)
            for part, weights, biases in zip(parts, self._per_branch, self._biases_per_branch, strict=True):
                torch.addmm(biases, factor, weights.T, out=part)
            return self._activated(parts)
        units = self._space.take("units", (len(factor), self.width), self.dtype)
        if factor.dtype == self.dtype:
            torch.addmm(self.biases, factor, self.weights.T, out=units)
        else:
            product(factor, self.weights.T, units)
            torch.add(self.biases, units if rows.scale is None else units.mul_(rows.scale), out=units)
        parts = self._activated(torch.split(units, self.hidden, dim=1))
        if into is not None:
            for kept, part in zip(into, parts, strict=True):
                kept.copy_(part)
        return parts

    def _activated(self, parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        parts[0].tanh_()
        if self.gated:
            parts[1].sigmoid_()
        return parts

    def factor(self, start: int, stop: int) -> Tensor | None:
        """(n, L) what dropout multiplies tanh ⊙ σ by: 0 where either unit fell. None without dropout."""
        p = self._arguments.dropout_p
        if p == 0:
            return None
        kept, gate = dropout_masks(
            self._arguments.seed, p, stop - start, self.hidden, device=self.biases.device, first_row=start
        )
        scale = 1 / (1 - p)
        if self.gated:
            kept, scale = kept.logical_and_(gate), scale * scale
        return self._space.take("factor", (stop - start, self.hidden), self.dtype).copy_(kept).mul_(scale)
