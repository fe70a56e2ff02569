"""Forward pass of the chunked back end: plain torch on any device, with scratch that does not grow with T.

The rows pass through in chunks; each is read once and pooled at once, by an online softmax (Milakov and Gimelshein
2018, "Online normalizer calculation for softmax"): a bag that goes on in the next chunk is carried there as the
maximum of its scores so far, the sum of exp(score − maximum), and that sum with the features as weights.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from slidelake.kernels.arguments import PoolArguments
from slidelake.kernels.chunked_plan import BagPlan, Chunk, chunk_rows
from slidelake.kernels.chunked_products import Workspace
from slidelake.kernels.chunked_rows import rows_of, split_saved
from slidelake.kernels.chunked_units import HiddenUnits
from slidelake.kernels.fused import Pooled, saved_dtype, saved_shape
from slidelake.kernels.packing import bag_of_row
from slidelake.kernels.segments import segment_max, segment_sum


class _Sums(NamedTuple):
    """Of the rows of one bag so far: max s, Σ exp(s − max s), Σ exp(s − max s) h."""

    top: Tensor  # (K,)
    total: Tensor  # (K,)
    features: Tensor  # (K, D)

    def joined(self, other: "_Sums") -> "_Sums":
        top = torch.maximum(self.top, other.top)
        shift = _finite(top)
        ours, theirs = torch.exp(self.top - shift), torch.exp(other.top - shift)
        return _Sums(
            top,
            self.total * ours + other.total * theirs,
            self.features * ours[:, None] + other.features * theirs[:, None],
        )


def forward(arguments: PoolArguments, *, store: bool) -> Pooled:
    """As `slidelake.kernels.fused.Forward` says."""
    rows = rows_of(arguments)
    borders, branches, hidden = arguments.cu_seqlens, len(arguments.w), len(arguments.V)
    bags, device, dtype = len(borders) - 1, rows.device, arguments.compute_dtype
    gates = 1 if arguments.U is None else 2
    per_row = (hidden * (gates + 1 + (arguments.dropout_p > 0)) + rows.dim + 2 * branches) * dtype.itemsize
    plan = BagPlan(borders, rows.count, chunk_rows(device, per_row + rows.scratch_bytes))
    space = Workspace(plan.step, device)
    units = HiddenUnits(arguments, rows.dtype, space)
    w = arguments.w.to(dtype)
    scores = torch.empty((branches, rows.count), dtype=dtype, device=device)
    saved = torch.empty(saved_shape(arguments) if store else 0, dtype=saved_dtype(arguments), device=device)
    kept = split_saved(saved, arguments, rows, filled=False) if store else None
    softmax = _OnlineSoftmax(plan, branches, rows.dim, dtype, device)
    for chunk in plan:
        features = rows.take(chunk.start, chunk.stop, space)
        parts = units.compute(features, None if kept is None else kept[:, chunk.start : chunk.stop])
        gated = space.take("gated", (chunk.stop - chunk.start, hidden), dtype)
        gated = torch.mul(*parts, out=gated) if gates == 2 else gated.copy_(parts[0])
        factor = units.factor(chunk.start, chunk.stop)
        if factor is not None:
            gated.mul_(factor)
        found = torch.mm(w, gated.T)  # (K, n)
        if arguments.mask is not None:
            found.masked_fill_(~arguments.mask[chunk.start : chunk.stop], -torch.inf)
        scores[:, chunk.start : chunk.stop] = found
        softmax.add(chunk, found, features.wide)
    pooled, lse = plan.everywhere(softmax.pooled, bags, 0), plan.everywhere(softmax.lse, bags, -torch.inf)
    return Pooled(pooled, scores, lse, saved)


class _OnlineSoftmax:
    """pooled (count, K, D) and lse (count, K) of the plan's bags, chunk by chunk."""

    def __init__(
        self, plan: BagPlan, branches: int, dim: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self._plan = plan
        self.pooled = torch.empty((plan.count, branches, dim), dtype=dtype, device=device)
        self.lse = torch.empty((plan.count, branches), dtype=dtype, device=device)
        # A bag of a million rows is a sum of a thousand chunks: it is carried in 64 bits where there are any.
        self._wide = dtype if device.type == "mps" else torch.float64
        self._carried: _Sums | None = None

    def add(self, chunk: Chunk, scores: Tensor, features: Tensor) -> None:
        """Take in a chunk: scores (K, n), features (n, D)."""
        if chunk.pieces == 1:
            first = last = self._one_bag(scores, features)
        else:
            first, last = self._many_bags(chunk, scores, features)
        if self._carried is not None:
            first = self._carried.joined(self._widened(first))
            if chunk.pieces == 1:
                last = first
        if chunk.pieces > 1 or not chunk.goes_on:
            self._write(chunk.first, first)
        if chunk.pieces > 1 and not chunk.goes_on:
            self._write(chunk.last, last)
        self._carried = self._widened(last) if chunk.goes_on else None

    def _one_bag(self, scores: Tensor, features: Tensor) -> _Sums:
        top = scores.amax(1)
        grown = scores.sub_(_finite(top)[:, None]).exp_()
        return _Sums(top, grown.sum(1), torch.mm(grown, features))

    def _many_bags(self, chunk: Chunk, scores: Tensor, features: Tensor) -> tuple[_Sums, _Sums]:
        """The sums of the first and of the last bag; those between are whole, and written."""
        borders = self._plan.borders(chunk)
        piece = bag_of_row(borders, len(features))
        top = segment_max(scores, piece, chunk.pieces)  # (K, P)
        grown = scores.sub_(_finite(top)[:, piece]).exp_()
        total = segment_sum(grown.T, borders)  # (P, K)
        lse, divisor = _log_sum(top.T, total)
        inside = slice(chunk.first, chunk.last + 1)
        self.lse[inside] = lse
        ends = features.new_empty((2, len(scores), features.shape[1]))
        for branch, weights in enumerate(grown):
            sums = segment_sum(features, borders, weights)  # (P, D)
            ends[0, branch], ends[1, branch] = sums[0], sums[-1]
            torch.div(sums, divisor[:, branch, None], out=self.pooled[inside, branch])
        return _Sums(top[:, 0], total[0], ends[0]), _Sums(top[:, -1], total[-1], ends[1])

    def _widened(self, sums: _Sums) -> _Sums:
        return _Sums(*(x.to(self._wide) for x in sums))

    def _write(self, bag: int, sums: _Sums) -> None:
        lse, divisor = _log_sum(sums.top, sums.total)
        self.lse[bag] = lse
        self.pooled[bag] = sums.features / divisor[:, None]


def _log_sum(top: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
    """log Σ exp s, and what the sums are divided by; a bag with no row left has −inf and 1."""
    none = total == 0
    divisor = total.masked_fill(none, 1)
    return (top + divisor.log()).masked_fill(none, -torch.inf), divisor


def _finite(top: Tensor) -> Tensor:
    """A shift that keeps exp() in range: the maximum, 0 where no row counts."""
    return top.masked_fill(top == -torch.inf, 0)
