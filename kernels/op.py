"""The fused back ends as one operator of torch: `slidelake::gated_attention_pool`, and its backward.

`fused_pool` is what `gated_attention_pool` calls. While something traces (torch.compile, make_fx, a dispatch mode)
it goes through `torch.library` operators, whose outputs' shapes follow from the inputs' shapes alone. Otherwise it
goes through an `autograd.Function` around the same two functions, which spares the operators' dispatch.

Differentiable once: the gradient is not itself differentiable. That of the eager back end is, any number of times.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from slidelake.kernels.arguments import PoolArguments
from slidelake.kernels.backends import load_fused
from slidelake.kernels.fused import Gradients
from slidelake.kernels.tracing import traced

#: h, V, bV, U, bU, w, bw, cu_seqlens, mask, dropout_p, seed: `PoolArguments` as an operator takes it.
_Values = tuple[
    Tensor, Tensor, Tensor, Tensor | None, Tensor | None, Tensor, Tensor, Tensor, Tensor | None, float, int
]
#: pooled, scores, lse with bw; scores and lse without it, and the saved activations, for the backward pass.
_Outputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
_ARGUMENTS = (
    "Tensor h, Tensor V, Tensor bV, Tensor? U, Tensor? bU, Tensor w, Tensor bw, Tensor cu_seqlens, "
    "Tensor? mask, float dropout_p, SymInt seed, str backend"
)


def fused_pool(arguments: PoolArguments, backend: str, *, store: bool) -> tuple[Tensor, Tensor, Tensor]:
    """pooled (B, K, D), scores (K, T), lse (B, K) by a fused back end, differentiable once.

    `store`: keep the activations for the backward pass rather than compute them again there.
    """
    values = _values(arguments)
    tensors = [x for x in values if isinstance(x, Tensor)]
    store = store and torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
    if traced(*tensors):
        pooled, scores, lse, *_ = _forward_op(*values, backend, store)
    else:
        pooled, scores, lse = _Pool.apply(*values, backend, store)
    return pooled, scores, lse


def _values(arguments: PoolArguments) -> _Values:
    seed = (
        arguments.seed - 2**64 if arguments.seed >= 2**63 else arguments.seed
    )  # an operator's ints are signed
    a = arguments
    return a.h, a.V, a.bV, a.U, a.bU, a.w, a.bw, a.cu_seqlens, a.mask, a.dropout_p, seed


def _arguments(values: _Values) -> PoolArguments:
    *tensors, dropout_p, seed = values
    return PoolArguments(*tensors, dropout_p, seed % 2**64)


def _forward(values: _Values, backend: str, store: bool, *, keep: bool = True) -> _Outputs:
    """The operator's outputs; without `keep`, those for a backward pass share memory with the others."""
    arguments = _arguments(values)
    with torch.autocast(arguments.h.device.type, enabled=False):
        pooled, raw, raw_lse, saved = load_fused(backend).forward(arguments, store=store)
        bias = arguments.bw.to(raw.dtype)
        scores = raw + bias[:, None] if keep else raw.add_(bias[:, None])
        return pooled, scores, raw_lse + bias, raw, raw_lse, saved


def _backward(
    values: _Values,
    backend: str,
    outputs: tuple[Tensor, Tensor, Tensor, Tensor],
    grads: tuple[Tensor | None, Tensor | None, Tensor | None],
    needs: tuple[bool, bool],
) -> Gradients:
    need_h, need_parameters = needs
    arguments = _arguments(values)
    with torch.autocast(arguments.h.device.type, enabled=False):
        return load_fused(backend).backward(
            arguments, *outputs, *grads, need_h=need_h, need_parameters=need_parameters
        )


def _bias_gradient(
    bw: Tensor, scores: Tensor, lse: Tensor, grad_scores: Tensor | None, grad_lse: Tensor | None
) -> Tensor:
    """(K,) through scores and lse; a score or an lse of −inf is a constant, and `pooled` does not feel bw.

    Zeros, not None, where only `pooled` is used: a distributed trainer waits for a gradient of each parameter.
    """
    total = bw.new_zeros(bw.shape, dtype=scores.dtype)
    if grad_scores is not None:
        total += grad_scores.masked_fill(scores.isneginf(), 0).sum(1)
    if grad_lse is not None:
        total += grad_lse.masked_fill(lse.isneginf(), 0).sum(0)
    return total.to(bw.dtype)


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
        *values, backend, store = inputs
        keep = any(ctx.needs_input_grad)
        outputs = _forward(tuple(values), backend, store, keep=keep)  # type: ignore[arg-type]
        if keep:
            _keep_for_backward(ctx, inputs, outputs)
        return outputs[:3]

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        values, outputs = _kept(ctx)
        needs = ctx.needs_input_grad
        found = Gradients(*(None,) * 6)
        if any(needs[:6]):
            found = _backward(values, ctx.backend, outputs, grads, (needs[0], any(needs[1:6])))  # type: ignore[arg-type]
        _, scores, lse, _ = outputs
        bias = _bias_gradient(values[6], scores, lse, *grads[1:]) if needs[6] else None
        return *_only(needs, (*found, bias)), *(None,) * 6


def _keep_for_backward(ctx: Any, inputs: tuple[Any, ...], output: _Outputs) -> None:
    *tensors, dropout_p, seed, backend, _ = inputs
    pooled, _, _, raw, raw_lse, saved = output
    ctx.save_for_backward(*tensors, pooled, raw, raw_lse, saved)
    ctx.dropout_p, ctx.seed, ctx.backend = dropout_p, seed, backend
    ctx.set_materialize_grads(False)  # an output that the loss does not use costs nothing


def _kept(ctx: Any) -> tuple[_Values, tuple[Tensor, Tensor, Tensor, Tensor]]:
    *tensors, pooled, raw, raw_lse, saved = ctx.saved_tensors
    return (*tensors, ctx.dropout_p, ctx.seed), (pooled, raw, raw_lse, saved)


def _only(needs: tuple[bool, ...], grads: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    return tuple(grad if need else None for need, grad in zip(needs, grads, strict=False))


@torch.library.custom_op(
    "slidelake::gated_attention_pool",
    mutates_args=(),
    schema=f"({_ARGUMENTS}, bool store) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def _forward_op(*inputs: Any) -> _Outputs:
    *values, backend, store = inputs
    return _forward(tuple(values), backend, store)  # type: ignore[arg-type]


@_forward_op.register_fake
def _forward_fake(*inputs: Any) -> _Outputs:
    h, V, _, U, _, w, _, cu_seqlens, _, _, _, _, store = inputs
    (rows, dim), hidden, branches, bags = h.shape, V.shape[0], w.shape[0], cu_seqlens.shape[0] - 1
    dtype = torch.float64 if h.dtype == torch.float64 else torch.float32
    scores, lse = h.new_empty((branches, rows), dtype=dtype), h.new_empty((bags, branches), dtype=dtype)
    saved = h.new_empty((1 if U is None else 2, rows, hidden) if store else (0,))
    pooled = h.new_empty((bags, branches, dim), dtype=dtype)
    return pooled, scores, lse, torch.empty_like(scores), torch.empty_like(lse), saved


@torch.library.custom_op(
    "slidelake::gated_attention_pool_backward",
    mutates_args=(),
    schema=f"({_ARGUMENTS}, Tensor pooled, Tensor scores, Tensor lse, Tensor saved, Tensor? grad_pooled, "
    "Tensor? grad_scores, Tensor? grad_lse, bool need_h, bool need_parameters) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def _backward_op(*inputs: Any) -> tuple[Tensor, ...]:
    values, backend, outputs, grads, needs = (
        inputs[:11],
        inputs[11],
        inputs[12:16],
        inputs[16:19],
        inputs[19:],
    )
    found = _backward(values, backend, outputs, grads, needs)
    # An operator gives tensors: what was not asked for is an empty one.
    return tuple(values[0].new_empty(0) if grad is None else grad for grad in found)


@_backward_op.register_fake
def _backward_fake(*inputs: Any) -> tuple[Tensor, ...]:
    need_h, need_parameters = inputs[19:]
    needs = (need_h, *(need_parameters,) * 5)
    return tuple(
        torch.empty_like(x, memory_format=torch.contiguous_format)
        if need and x is not None
        else inputs[0].new_empty(0)
        for need, x in zip(needs, inputs[:6], strict=True)
    )


def _op_backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    values, (pooled, scores, lse, saved) = _kept(ctx)
    needs = ctx.needs_input_grad
    found: tuple[Tensor | None, ...] = (None,) * 6
    if any(needs[:6]):
        found = _backward_op(
            *values, ctx.backend, pooled, scores, lse, saved, *grads[:3], needs[0], any(needs[1:6])
        )
    bias = _bias_gradient(values[6], scores, lse, *grads[1:3]) if needs[6] else None
    return *_only(needs, (*found, bias)), *(None,) * 6


def _op_setup(ctx: Any, inputs: tuple[Any, ...], output: _Outputs) -> None:
    ctx.mark_non_differentiable(*output[3:])
    _keep_for_backward(ctx, inputs, output)


_forward_op.register_autograd(_op_backward, setup_context=_op_setup)
