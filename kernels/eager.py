"""The reference back end: plain torch operations and autograd, on any device.

Keeps three (T, L) arrays for the backward pass (two for tanh attention); the features are copied only when
they are not of the accumulation's dtype, or when a mask leaves rows out.
"""

import torch
from torch import Tensor

from slidelake.kernels.arguments import PoolArguments, Projection
from slidelake.kernels.dropout import PROJECTION_STREAM, dropout_masks
from slidelake.kernels.packing import bag_of_row
from slidelake.kernels.segments import segment_max, segment_sum


def eager_pool(arguments: PoolArguments) -> tuple[Tensor, Tensor, Tensor]:
    """pooled (B, K, D), scores (K, T), lse (B, K), as `gated_attention_pool` says."""
    # Autocast would send the products to 16 bits; the accumulation is in 32.
    with torch.autocast(arguments.h.device.type, enabled=False):
        return _pool(arguments)


def _pool(arguments: PoolArguments) -> tuple[Tensor, Tensor, Tensor]:
    dtype = arguments.compute_dtype
    h, borders, mask = arguments.h.to(dtype), arguments.cu_seqlens, arguments.mask
    bw = arguments.bw.to(dtype)[:, None]  # (K, 1)
    if mask is not None:
        h = h.masked_fill(~mask[:, None], 0)  # whatever a left-out row holds, NaN too, stays out
    if arguments.projection is not None:
        h = _projected(h, arguments.projection, arguments.seed)
    raw = _row_scores(h, arguments)  # (K, T), without bw
    if mask is not None:
        raw = raw.masked_fill(~mask, -torch.inf)
    bags = bag_of_row(borders, h.shape[0])
    with torch.no_grad():
        # Any shift gives the same softmax; the maximum keeps exp() in range. A bag without a counting row: 0.
        top = segment_max(raw, bags, len(borders) - 1)
        top = top.masked_fill(top == -torch.inf, 0)
    grown = torch.exp(raw - top[:, bags])
    total = segment_sum(grown.T, borders).T  # (K, B)
    empty = total == 0
    total = total.masked_fill(empty, 1)
    attention = grown / total[:, bags]
    pooled = torch.stack([segment_sum(h, borders, branch) for branch in attention], dim=1)
    lse = (top + total.log() + bw).masked_fill(empty, -torch.inf)
    # The softmax does not feel bw, so it is added to the scores and lse only; this keeps it in the graph of
    # `pooled` with the gradient that it has there, exactly 0, where None would stop a distributed trainer.
    pooled = pooled + 0 * bw
    return pooled, raw + bw, lse.T


def _projected(x: Tensor, projection: Projection, seed: int) -> Tensor:
    """(T, D) dropout(relu(W1 x + b1))."""
    rows = torch.addmm(projection.bias.to(x.dtype), x, projection.weight.to(x.dtype).T).relu_()
    if projection.dropout_p == 0:
        return rows
    kept, _ = dropout_masks(
        seed, projection.dropout_p, *rows.shape, device=x.device, stream=PROJECTION_STREAM
    )
    return rows.mul(kept).mul_(1 / (1 - projection.dropout_p))


def _row_scores(h: Tensor, arguments: PoolArguments) -> Tensor:
    """(K, T) wᵀ(tanh(V h + bV) ⊙ σ(U h + bU)), row by row."""
    dtype = h.dtype
    kept = None
    if arguments.dropout_p > 0:
        kept = dropout_masks(
            arguments.seed, arguments.dropout_p, h.shape[0], arguments.V.shape[0], device=h.device
        )
    scale = 1 / (1 - arguments.dropout_p)
    hidden = torch.addmm(arguments.bV.to(dtype), h, arguments.V.to(dtype).T).tanh_()  # (T, L)
    if kept is not None:
        hidden = hidden.mul(kept[0]).mul_(scale)
    if arguments.U is not None and arguments.bU is not None:
        gate = torch.addmm(arguments.bU.to(dtype), h, arguments.U.to(dtype).T).sigmoid_()
        if kept is not None:
            gate = gate.mul(kept[1]).mul_(scale)
        hidden = hidden * gate
    return arguments.w.to(dtype) @ hidden.T
