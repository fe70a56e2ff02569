"""A projection and the attention pooling after it: the projected rows are kept only where there are not many.

A bag of a million patches projected to 512 is 2 GiB, and as much again for its gradient. Above a bound the pooling
makes the rows again, chunk by chunk, where it needs them (`projected_gated_attention_pool`).
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from slidelake.encoders.slide.layers import AttentionPool, Projection
from slidelake.encoders.slide.model import Bags
from slidelake.encoders.slide.packed import take_or_zero
from slidelake.kernels import projected_gated_attention_pool

__all__ = ["PooledRows", "pool_projected"]

#: Projected rows of more bytes in float32 are not kept: 262,144 patches of 512.
MOST_KEPT_BYTES = 512 << 20


class PooledRows(NamedTuple):
    """pooled (B, K, width), scores (K, T), lse (B, K), float32; `take(rows)`: the projected rows of these numbers
    (…) int64, (…, width), zeros where a number is negative."""

    pooled: Tensor
    scores: Tensor
    lse: Tensor
    take: Callable[[Tensor], Tensor]


def pool_projected(projection: Projection, attention: AttentionPool, bags: Bags) -> PooledRows:
    """Attention pooling over the projected rows of `bags`, in memory that is bounded whatever their number.

    Where the rows are not kept, those taken are projected once more, with a dropout of their own.
    """
    width = projection.linear.out_features
    if len(bags.features) * width * 4 <= MOST_KEPT_BYTES:
        rows = projection(bags.features, bags.mask)
        pooled, scores, lse = attention(rows, bags.cu_seqlens, bags.mask)
        return PooledRows(pooled, scores, lse, lambda wanted: take_or_zero(rows, wanted))

    def take(wanted: Tensor) -> Tensor:
        chosen = take_or_zero(bags.features, wanted)
        made: Tensor = projection(chosen.flatten(0, -2))
        return made.view(*wanted.shape, width).masked_fill((wanted < 0)[..., None], 0)

    gate, training = attention.gate, projection.training
    found = projected_gated_attention_pool(
        bags.features,
        projection.linear.weight,
        projection.linear.bias,
        attention.tanh.weight,
        attention.tanh.bias,
        gate.weight if gate is not None else None,
        gate.bias if gate is not None else None,
        attention.score.weight,
        attention.score.bias,
        bags.cu_seqlens,
        mask=bags.mask,
        projection_dropout_p=projection.dropout if training else 0.0,
        dropout_p=attention.dropout if training else 0.0,
    )
    return PooledRows(*found, take)
