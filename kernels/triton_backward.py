"""The backward pass: one kernel makes the gradients of the two branches' arguments for a chunk of rows (computed again
or from what the forward pass kept), the matrix library multiplies them with the features, and a second kernel makes
the features' gradient where it is asked for. No atomics: every sum has one order."""

import torch
import triton
from torch import Tensor

from slidelake.kernels.arguments import PoolArguments
from slidelake.kernels.fused import Gradients
from slidelake.kernels.triton_autotune import choose
from slidelake.kernels.triton_configs import Config, backward_configs, features_configs
from slidelake.kernels.triton_gradients import branch_gradients, feature_gradients
from slidelake.kernels.triton_launch import Launch

#: What a chunk of rows may take, in bytes: the branches' gradients, and the rows again where some are left out.
WORKSPACE_BYTES = 64 << 20


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
    """What `slidelake.kernels.fused.Backward` says, on a GPU or in Triton's interpreter."""
    launch = Launch(arguments)
    dropout, stored = arguments.dropout_p > 0, len(saved) > 0
    outputs = (scores, lse, saved)
    shift = _shift(pooled, lse, grad_pooled, grad_lse)
    grads = tuple(None if x is None else x.contiguous() for x in (grad_pooled, grad_scores))

    def run(config: Config, features: Config) -> Gradients:
        return _backward(launch, outputs, shift, grads, config, features, need_h, need_parameters)

    configs = backward_configs(launch.shape, stored=stored, dropout=dropout)
    features = features_configs(launch.shape)
    rows, kind = len(launch.h), (launch.shape, launch.gated)
    config = choose(configs, ("backward", *kind, stored, dropout), rows, lambda one: run(one, features[0]))
    if need_h:
        features = (choose(features, ("features", *kind), rows, lambda one: run(config, one)),)
    return run(config, features[0])


def _backward(
    launch: Launch,
    outputs: tuple[Tensor, Tensor, Tensor],
    shift: Tensor,
    grads: tuple[Tensor | None, ...],
    config: Config,
    features: Config,
    need_h: bool,
    need_parameters: bool,
) -> Gradients:
    rows, dim, hidden, branches, bags = launch.sizes
    h, mask = launch.h, launch.arguments.mask
    width = hidden * (1 + launch.gated)
    chunk = rows_per_chunk(rows, (width + (0 if mask is None else dim)) * h.element_size())
    grad_hidden = h.new_empty((chunk, width))
    partial = h.new_zeros((chunk // config.block_m + bags, branches + 2, hidden), dtype=torch.float32)
    grad_weights = h.new_zeros((width, dim), dtype=torch.float32)
    grad_h = h.new_empty((rows, dim)) if need_h else None
    scores, lse, saved = outputs
    # Any pointer stands for what is not there: the kernels are compiled without it.
    grad_pooled, grad_scores = (shift if x is None else x for x in grads)
    through_pooled, through_scores = (x is not None for x in grads)
    for start in range(0, rows, chunk):
        stop = min(start + chunk, rows)
        place = (rows, bags, launch.steps, start, stop)
        with launch.device():
            branch_gradients[(len(partial),)](
                *launch.inputs(), scores, lse, saved, grad_pooled, shift, grad_scores, grad_hidden, partial,
                *place, *launch.dropout(), **launch.constants(branch_gradients),
                STORED=len(saved) > 0, THROUGH_POOLED=through_pooled, THROUGH_SCORES=through_scores,
                **config.constants(), **config.options(),
            )  # fmt: skip
            if grad_h is not None:
                tiles = chunk // features.block_m + bags
                feature_gradients[(tiles * triton.cdiv(dim, features.block_d),)](
                    launch.V, launch.U, launch.borders, launch.mask,
                    scores, lse, grad_pooled, grad_hidden, grad_h,
                    *place, **launch.constants(feature_gradients), THROUGH_POOLED=through_pooled,
                    **features.constants(), **features.options(),
                )  # fmt: skip
        if need_parameters:
            grad_weights += _weight_gradients(grad_hidden[: stop - start], h[start:stop], mask, start)
    if not need_parameters:
        return Gradients(grad_h, None, None, None, None, None)
    dtype = launch.arguments.V.dtype
    sums, weights = partial.sum(0).to(dtype), grad_weights.to(dtype)  # (K + 2, L), (width, D)
    # An operator's outputs may not share memory with each other: one part stays a view, the others are copied.
    V, bV, w = weights[:hidden], sums[branches].clone(), sums[:branches]
    U, bU = (weights[hidden:].clone(), sums[branches + 1].clone()) if launch.gated else (None, None)
    return Gradients(grad_h, V, bV, U, bU, w)


def rows_per_chunk(rows: int, row_bytes: int) -> int:
    """How many rows the backward pass takes at a time: by sizes alone, so that sums have one order everywhere."""
    return max(1, min(rows, 1 << max(12, (WORKSPACE_BYTES // row_bytes).bit_length() - 1)))


def _shift(pooled: Tensor, lse: Tensor, grad_pooled: Tensor | None, grad_lse: Tensor | None) -> Tensor:
    """(B, K) grad_lse − grad_pooled · pooled: what a bag's rows have in common."""
    shift = torch.zeros_like(lse) if grad_lse is None else grad_lse
    shift = shift if grad_pooled is None else shift - (grad_pooled * pooled).sum(-1)
    return shift.contiguous()  # gradients come with any strides


def _weight_gradients(grad_hidden: Tensor, h: Tensor, mask: Tensor | None, start: int) -> Tensor:
    """(width, D) float32 grad_hiddenᵀ h over a chunk's rows, by the matrix library."""
    if mask is not None:
        h = h.masked_fill(~mask[start : start + len(h), None], 0)  # 0 × NaN is NaN
    if h.dtype == torch.float32:
        return grad_hidden.T @ h
    if h.device.type == "cuda" and torch.version.hip is None:
        return torch.mm(grad_hidden.T, h, out_dtype=torch.float32)
    return grad_hidden.T.float() @ h.float()  # no 32-bit result of 16-bit factors here
