"""The fused back ends as one operator of torch: `slidelake::gated_attention_pool`, and its backward.

`fused_pool` is what `gated_attention_pool` calls. While something traces (torch.compile, make_fx, a dispatch mode)
it goes through `torch.library` operators, whose outputs' shapes follow from the inputs' shapes alone. Otherwise it
goes through an `autograd.Function` around the same two functions, which spares the operators' dispatch: 0.2 ms of a
forward and backward on a CPU core, more than a GPU takes for the pooling of a small bag.

Differentiable once: the gradient is not itself differentiable.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from slidelake.kernels.arguments import PoolArguments, Projection
from slidelake.kernels.backends import load_fused
from slidelake.kernels.fused import Gradients, saved_dtype, saved_shape
from slidelake.kernels.tracing import traced


class Values(NamedTuple):
    """`PoolArguments` as an operator takes it. The first eight are in the order of `Gradients`."""

    h: Tensor
    V: Tensor
    bV: Tensor  # noqa: N815 - the paper's names
    U: Tensor | None
    bU: Tensor | None  # noqa: N815
    w: Tensor
    W1: Tensor | None
    b1: Tensor | None
    bw: Tensor
    cu_seqlens: Tensor
    mask: Tensor | None
    dropout_p: float
    projection_dropout_p: float
    seed: int  # in [−2⁶³, 2⁶³): an operator's ints are signed

    @classmethod
    def of(cls, arguments: PoolArguments) -> "Values":
        a, projection = arguments, arguments.projection
        seed = a.seed - 2**64 if a.seed >= 2**63 else a.seed
        W1, b1, share = None, None, 0.0
        if projection is not None:
            W1, b1, share = projection.weight, projection.bias, projection.dropout_p
        return cls(
            *(a.h, a.V, a.bV, a.U, a.bU, a.w, W1, b1, a.bw),
            *(a.cu_seqlens, a.mask, a.dropout_p, share, seed),
        )

    def arguments(self) -> PoolArguments:
        projection = None
        if self.W1 is not None and self.b1 is not None:
            projection = Projection(self.W1, self.b1, self.projection_dropout_p)
        return PoolArguments(
            *(self.h, self.V, self.bV, self.U, self.bU, self.w, self.bw, self.cu_seqlens, self.mask),
            dropout_p=self.dropout_p,
            seed=self.seed % 2**64,
            projection=projection,
        )


_WIDTH = len(Values._fields)
_BIAS = Values._fields.index("bw")
_TENSORS = Values._fields.index("dropout_p")
_ARGUMENTS = (
    "Tensor h, Tensor V, Tensor bV, Tensor? U, Tensor? bU, Tensor w, Tensor? W1, Tensor? b1, Tensor bw, "
    "Tensor cu_seqlens, Tensor? mask, float dropout_p, float projection_dropout_p, SymInt seed, str backend"
)


class Outputs(NamedTuple):
    """What the operator gives. The first three are the caller's; the rest is for the backward pass, free of bw."""

    pooled: Tensor
    scores: Tensor
    lse: Tensor
    raw_scores: Tensor
    raw_lse: Tensor
    saved: Tensor


#: pooled, raw scores, raw lse, saved.
_Kept = tuple[Tensor, Tensor, Tensor, Tensor]
#: Gradients of pooled, scores and lse; None for an output that the loss does not use.
_Grads = tuple[Tensor | None, Tensor | None, Tensor | None]


def fused_pool(arguments: PoolArguments, backend: str, *, store: bool) -> tuple[Tensor, Tensor, Tensor]:
    """pooled (B, K, D), scores (K, T), lse (B, K) by a fused back end, differentiable once.

    `store`: keep the activations for the backward pass rather than compute them again there.
    """
    values = Values.of(arguments)
    tensors = [x for x in values[:_TENSORS] if isinstance(x, Tensor)]
    store = store and torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
    if traced(*tensors):
        pooled, scores, lse = _forward_op(*values, backend, store)[:3]
    else:
        pooled, scores, lse = _Pool.apply(*values, backend, store)
    return pooled, scores, lse


def _forward(values: Values, backend: str, store: bool, *, keep: bool = True) -> Outputs:
    """Without `keep`, nothing follows: the raw scores are not preserved."""
    arguments = values.arguments()
    with torch.autocast(values.h.device.type, enabled=False):
        pooled, raw, raw_lse, saved = load_fused(backend).forward(arguments, store=store)
        bias = values.bw.to(raw.dtype)
        scores = raw + bias[:, None] if keep else raw.add_(bias[:, None])
        return Outputs(pooled, scores, raw_lse + bias, raw, raw_lse, saved)


def _backward(
    values: Values, backend: str, kept: _Kept, grads: _Grads, needs: tuple[bool, bool]
) -> Gradients:
    """`needs`: the gradient of h, those of the parameters."""
    tensors = (*kept, *grads)
    with torch.autocast(values.h.device.type, enabled=False):
        return load_fused(backend).backward(
            values.arguments(), *tensors, need_h=needs[0], need_parameters=needs[1]
        )


def _bias_gradient(bw: Tensor, scores: Tensor, lse: Tensor, grads: _Grads) -> Tensor:
    """(K,) through scores and lse; a score or an lse of −inf is a constant, and `pooled` does not feel bw.

    Zeros, not None, where only `pooled` is used: a distributed trainer waits for a gradient of each parameter.
    """
    total = torch.zeros_like(bw, dtype=scores.dtype)
    if grads[1] is not None:
        total = total + grads[1].masked_fill(scores.isneginf(), 0).sum(1)
    if grads[2] is not None:
        total = total + grads[2].masked_fill(lse.isneginf(), 0).sum(0)
    return total.to(bw.dtype)


def _keep(ctx: Any, inputs: tuple[Any, ...], outputs: Outputs) -> None:
    """Both registrations keep the same things."""
    values = Values(*inputs[:_WIDTH])
    kept = (outputs.pooled, outputs.raw_scores, outputs.raw_lse, outputs.saved)
    ctx.save_for_backward(*values[:_TENSORS], *kept)
    ctx.others, ctx.backend = values[_TENSORS:], inputs[_WIDTH]
    ctx.set_materialize_grads(False)  # an output that the loss does not use costs nothing


def _gradients(ctx: Any, grads: _Grads, backward: Any) -> tuple[Tensor | None, ...]:
    """The gradient of each of the operator's inputs; `backward` is called as `_backward` is."""
    values = Values(*ctx.saved_tensors[:_TENSORS], *ctx.others)
    outputs = ctx.saved_tensors[_TENSORS:]
    need_h, *need_parameters = ctx.needs_input_grad[:_BIAS]
    found: tuple[Tensor | None, ...] = (None,) * _BIAS
    if need_h or any(need_parameters):
        found = backward(values, ctx.backend, outputs, grads, (need_h, any(need_parameters)))
    bias = None
    if ctx.needs_input_grad[_BIAS]:
        bias = _bias_gradient(values.bw, outputs[1], outputs[2], grads)
    wanted = (g if need else None for need, g in zip(ctx.needs_input_grad, (*found, bias), strict=False))
    return *wanted, *(None,) * (_WIDTH - _BIAS + 1)


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
        keep = any(ctx.needs_input_grad)
        outputs = _forward(Values(*inputs[:_WIDTH]), *inputs[_WIDTH:], keep=keep)
        if keep:
            _keep(ctx, inputs, outputs)
        return outputs[:3]

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_pooled: Tensor | None, grad_scores: Tensor | None, grad_lse: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        return _gradients(ctx, (grad_pooled, grad_scores, grad_lse), _backward)


@torch.library.custom_op(
    "slidelake::gated_attention_pool",
    mutates_args=(),
    schema=f"({_ARGUMENTS}, bool store) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def _forward_op(*inputs: Any) -> tuple[Tensor, ...]:
    return tuple(_forward(Values(*inputs[:_WIDTH]), *inputs[_WIDTH:]))


@_forward_op.register_fake
def _forward_fake(*inputs: Any) -> tuple[Tensor, ...]:
    arguments, store = Values(*inputs[:_WIDTH]).arguments(), inputs[-1]
    h, dtype = arguments.h, arguments.compute_dtype
    branches, bags = arguments.w.shape[0], arguments.cu_seqlens.shape[0] - 1
    pooled = h.new_empty((bags, branches, arguments.V.shape[1]), dtype=dtype)
    scores, lse = h.new_empty((branches, h.shape[0]), dtype=dtype), h.new_empty((bags, branches), dtype=dtype)
    saved = h.new_empty(saved_shape(arguments) if store else (0,), dtype=saved_dtype(arguments))
    return pooled, scores, lse, torch.empty_like(scores), torch.empty_like(lse), saved


@torch.library.custom_op(
    "slidelake::gated_attention_pool_backward",
    mutates_args=(),
    schema=f"({_ARGUMENTS}, Tensor pooled, Tensor scores, Tensor lse, Tensor saved, Tensor? grad_pooled, "
    "Tensor? grad_scores, Tensor? grad_lse, bool need_h, bool need_parameters) "
    f"-> ({', '.join(['Tensor'] * _BIAS)})",
)
def _backward_op(*inputs: Any) -> tuple[Tensor, ...]:
    values, (backend, *rest) = Values(*inputs[:_WIDTH]), inputs[_WIDTH:]
    found = _backward(values, backend, tuple(rest[:4]), tuple(rest[4:7]), tuple(rest[7:]))
    # An operator gives tensors: what was not asked for is an empty one.
    return tuple(values.h.new_empty(0) if grad is None else grad for grad in found)


@_backward_op.register_fake
def _backward_fake(*inputs: Any) -> tuple[Tensor, ...]:
    need_h, need_parameters = inputs[-2:]
    needs = (need_h, *(need_parameters,) * (_BIAS - 1))
    return tuple(
        torch.empty_like(x, memory_format=torch.contiguous_format)
        if need and x is not None
        else inputs[0].new_empty(0)
        for need, x in zip(needs, inputs[:_BIAS], strict=True)
    )


def _op_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.mark_non_differentiable(*output[3:])
    _keep(ctx, inputs, Outputs(*output))


def _op_backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    def backward(
        values: Values, backend: str, kept: _Kept, used: _Grads, needs: tuple[bool, bool]
    ) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = _backward_op(*values, backend, *kept, *used, *needs)
        return found

    return _gradients(ctx, (grads[0], grads[1], grads[2]), backward)


_forward_op.register_autograd(_op_backward, setup_context=_op_setup)
