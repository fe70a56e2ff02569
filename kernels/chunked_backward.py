"""Backward pass of the chunked back end: the hidden units of each chunk are computed again, or taken from those
that the forward pass saved; the gradients of the parameters are summed chunk by chunk, always in the same order."""

import torch
from torch import Tensor

from slidelake.kernels.arguments import PoolArguments
from slidelake.kernels.chunked_plan import BagPlan, Chunk, chunk_rows
from slidelake.kernels.chunked_products import Workspace, add_product, combined, narrowed
from slidelake.kernels.chunked_rows import rows_of, split_saved
from slidelake.kernels.chunked_units import HiddenUnits
from slidelake.kernels.fused import Gradients
from slidelake.kernels.packing import bag_of_row


def backward(
    arguments: PoolArguments,
    pooled: Tensor,
    scores: Tensor,
    lse: Tensor,
    saved: Tensor,
    grad_pooled: Tensor | None,
    grad_scores: Tensor | None,
    grad_lse: Tensor | None,
    *,
    need_h: bool,
    need_parameters: bool,
) -> Gradients:
    """As `slidelake.kernels.fused.Backward` says."""
    rows = rows_of(arguments)
    need_rows = rows.want_gradients(features=need_h, parameters=need_parameters)
    dtype, hidden, branches = arguments.compute_dtype, len(arguments.V), len(arguments.w)
    gates = 1 if arguments.U is None else 2
    per_row = (
        hidden * (2 * gates + 2 + (arguments.dropout_p > 0)) + 2 * rows.dim + 4 * branches
    ) * dtype.itemsize
    plan = BagPlan(arguments.cu_seqlens, rows.count, chunk_rows(rows.device, per_row + rows.scratch_bytes))
    space = Workspace(plan.step, rows.device)
    units = HiddenUnits(arguments, rows.dtype, space)
    outputs, grads = (pooled, scores, lse), (grad_pooled, grad_scores, grad_lse)
    softmax = _SoftmaxGradient(plan, arguments.mask, outputs, grads, space)
    sums = _ParameterSums(units, branches, rows.dim)
    kept = split_saved(saved, arguments, rows, filled=True) if saved.numel() else None
    w = arguments.w.to(dtype)
    for chunk in plan:
        inside = slice(chunk.start, chunk.stop)
        features = rows.take(chunk.start, chunk.stop, space)
        grad_rows = space.take("grad_rows", features.wide.shape, dtype) if need_rows else None
        ds = softmax.of_scores(chunk, features.wide, grad_rows)  # (K, n)
        active = units.compute(features) if kept is None else _from_saved(kept[:, inside], units, space)
        gated, d_units = _through_units(ds, w, active, units.factor(chunk.start, chunk.stop), space)
        narrow, scale = narrowed(d_units, rows.dtype, "narrow_units", space)
        if need_parameters:
            sums.add(ds, gated, d_units)
            add_product(sums.weights, narrow.T, features.factor, combined(scale, features.scale))
        if grad_rows is not None:
            add_product(grad_rows, narrow, units.weights, scale)
            if arguments.mask is not None:
                grad_rows.masked_fill_(~arguments.mask[inside, None], 0)
            rows.give_gradient(chunk.start, chunk.stop, features, grad_rows, space)
    found = sums.gradients(arguments) if need_parameters else Gradients(*(None,) * 6)
    h, W1, b1 = rows.gradients()
    return found._replace(h=h, W1=W1, b1=b1)


class _SoftmaxGradient:
    """From the gradients of the outputs to that of the scores, and of the features that the softmax weighs."""

    def __init__(
        self,
        plan: BagPlan,
        mask: Tensor | None,
        outputs: tuple[Tensor, Tensor, Tensor],
        grads: tuple[Tensor | None, Tensor | None, Tensor | None],
        space: Workspace,
    ) -> None:
        pooled, self._scores, lse = outputs
        self._grad_pooled, self._grad_scores, grad_lse = grads
        self._plan, self._mask, self._space = plan, mask, space
        # Any finite number for the bags with no row left: their rows are masked.
        self._lse = lse.masked_fill(lse.isneginf(), 0)  # (B, K)
        #: (B, K) what a score's gradient has over its row's own part: ∂lse − Σ_d ∂pooled · pooled.
        self._shift: Tensor | None = None
        if self._grad_pooled is not None:
            self._shift = -(self._grad_pooled * pooled).sum(-1)
        if grad_lse is not None:
            self._shift = grad_lse if self._shift is None else self._shift + grad_lse

    def of_scores(self, chunk: Chunk, features: Tensor, grad_rows: Tensor | None) -> Tensor:
        """(K, n) gradient of the chunk's scores; `grad_rows` (n, D) is filled with what comes by the sum alone."""
        scores = self._scores[:, chunk.start : chunk.stop]
        index = self._bags(chunk)
        if grad_rows is not None and (self._grad_pooled is None or chunk.pieces > 1):
            grad_rows.zero_()
        if self._shift is None:
            ds = torch.zeros_like(scores)
        else:
            weights = torch.exp(scores - self._lse[index].T)
            ds = self._shift[index].T.expand_as(scores).clone()
            self._through_sum(chunk, index, features, weights, ds, grad_rows)
            ds.mul_(weights)
        if self._grad_scores is not None:
            ds += self._grad_scores[:, chunk.start : chunk.stop]
        if self._mask is not None:
            ds.masked_fill_(~self._mask[chunk.start : chunk.stop], 0)
        return ds

    def _bags(self, chunk: Chunk) -> Tensor | slice:
        """The number of the bag of each row; a slice of one where the chunk lies in one bag."""
        if chunk.pieces == 1:
            return slice(chunk.bag, chunk.bag + 1)
        index = bag_of_row(self._plan.borders(chunk), chunk.stop - chunk.start) + chunk.first
        return index if self._plan.bags is None else self._plan.bags[index]

    def _through_sum(
        self,
        chunk: Chunk,
        index: Tensor | slice,
        features: Tensor,
        weights: Tensor,
        ds: Tensor,
        grad_rows: Tensor | None,
    ) -> None:
        """pooled = Σ weights · features: add ∂pooled · h_n to `ds`, weights · ∂pooled to `grad_rows`."""
        grad = self._grad_pooled
        if grad is None:
            return
        if isinstance(index, slice):
            grad = grad[chunk.bag]  # (K, D)
            ds.addmm_(grad, features.T)
            if grad_rows is not None:
                torch.mm(weights.T, grad, out=grad_rows)
            return
        for branch in range(len(weights)):
            of_row = torch.index_select(
                grad[:, branch], 0, index, out=self._space.take("of_row", features.shape, features.dtype)
            )
            if grad_rows is not None:
                grad_rows.addcmul_(of_row, weights[branch, :, None])
            ds[branch] += of_row.mul_(features).sum(1)


def _from_saved(saved: Tensor, units: HiddenUnits, space: Workspace) -> tuple[Tensor, ...]:
    """The chunk's hidden units as the forward pass kept them, in the accumulation's dtype."""
    if saved.dtype != units.dtype:
        gates, count, hidden = saved.shape
        wide = space.take("units", (count, units.width), units.dtype).view(count, gates, hidden)
        saved = wide.transpose(0, 1).copy_(saved)
    return saved.unbind(0)


def _through_units(
    ds: Tensor, w: Tensor, active: tuple[Tensor, ...], factor: Tensor | None, space: Workspace
) -> tuple[Tensor, Tensor]:
    """(n, L) tanh ⊙ σ with dropout, and (n, 2L) the gradient of V h + bV beside that of U h + bU.

    With p = tanh, q = σ, f = what dropout multiplies by, g = p q f and dg = dsᵀ w:
    d(V h) = dg q f (1 − p²) = dg (q f − g p), d(U h) = dg p f q (1 − q) = dg (g − g q).
    """
    count, hidden = active[0].shape
    gated = space.take("gated", (count, hidden), ds.dtype)
    d_units = space.take("d_units", (count, hidden * len(active)), ds.dtype)
    d_gated = torch.mm(ds.T, w, out=space.take("d_gated", (count, hidden), ds.dtype))
    d_tanh = d_units[:, :hidden]
    if len(active) == 2:
        p, q = active
        gate = q if factor is None else factor.mul_(q)
        torch.mul(p, gate, out=gated)
        torch.addcmul(gated, gated, q, value=-1, out=d_units[:, hidden:]).mul_(d_gated)
    else:
        (p,) = active
        gate = ds.new_ones(()) if factor is None else factor
        torch.mul(p, gate, out=gated)
    torch.addcmul(gate, gated, p, value=-1, out=d_tanh).mul_(d_gated)
    return gated, d_units


class _ParameterSums:
    """The gradients of the parameters, summed over the chunks in the accumulation's dtype."""

    def __init__(self, units: HiddenUnits, branches: int, dim: int) -> None:
        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=units.dtype, device=units.weights.device)

        self._hidden = units.hidden
        self.weights = zeros(units.width, dim)
        self._biases = zeros(units.width)
        self._w = zeros(branches, units.hidden)

    def add(self, ds: Tensor, gated: Tensor, d_units: Tensor) -> None:
        """All but the weights of V and U, which are large products."""
        self._w.addmm_(ds, gated)
        self._biases += d_units.sum(0)

    def gradients(self, arguments: PoolArguments) -> Gradients:
        """In the parameters' dtype, each in memory of its own."""
        dtype = arguments.V.dtype
        weights = [x.to(dtype, copy=True) for x in torch.split(self.weights, self._hidden)]
        biases = [x.to(dtype, copy=True) for x in torch.split(self._biases, self._hidden)]
        if arguments.U is None:
            return Gradients(None, weights[0], biases[0], None, None, self._w.to(dtype))
        return Gradients(None, weights[0], biases[0], weights[1], biases[1], self._w.to(dtype))
