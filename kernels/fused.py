"""What a fused back end is: two functions on tensors, which `slidelake.kernels.op` registers and differentiates.

A fused back end is two modules, named in `slidelake.kernels.backends`: one with a function `forward`, one with a
function `backward`, as `Forward` and `Backward` describe them. Neither knows autograd, and neither knows bw.

**bw stays outside.** The softmax does not feel bw (it cancels), but a large bw would eat the scores' digits. So
all that passes between the two functions is free of it: `scores` are the raw w · (tanh ⊙ σ), `lse` is their
log-sum-exp. The op layer adds bw to the scores and the lse that a caller sees, and makes bw's gradient. Where a
back end finds `arguments.bw`, it leaves it alone.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from slidelake.kernels.arguments import PoolArguments


class Pooled(NamedTuple):
    """What `Forward` gives: T rows, B bags, D features, L hidden units, K branches.

    float32, or float64 where h is float64 (`PoolArguments.compute_dtype`). A left-out row has score −inf; a bag
    with no row left has pooled 0 and lse −inf.

    `saved` is what the backward pass need not compute again: tanh(V h + bV) and σ(U h + bU) *before* dropout, in
    h's dtype, (2, T, L); (1, T, L) without a gate. Empty, (0,), where it was not asked for. Rows that the mask
    leaves out may hold anything in it. With a projection: flat, the same and then the projected rows (T, D), in the
    accumulation's dtype. `saved_shape` and `saved_dtype` say it in code.
    """

    pooled: Tensor  # (B, K, D)
    scores: Tensor  # (K, T), without bw
    lse: Tensor  # (B, K), without bw
    saved: Tensor  # (2 | 1, T, L) or (0,)


def saved_shape(arguments: PoolArguments) -> tuple[int, ...]:
    """The shape of `Pooled.saved` where it is asked for."""
    gates, rows, hidden = 1 if arguments.U is None else 2, arguments.h.shape[0], arguments.V.shape[0]
    if arguments.projection is None:
        return gates, rows, hidden
    return (rows * (gates * hidden + arguments.V.shape[1]),)


def saved_dtype(arguments: PoolArguments) -> torch.dtype:
    """h's; with a projection, whose rows float16 might not hold, the accumulation's."""
    return arguments.h.dtype if arguments.projection is None else arguments.compute_dtype


class Gradients(NamedTuple):
    """What `Backward` gives. `h` in h's dtype, the rest in the parameters' dtype, each summed in 32 bits (64).

    None for what was not asked for: `h` unless `need_h`, the parameters unless `need_parameters`; U and bU are
    also None without a gate, W1 and b1 without a projection. bw is not here: the op layer makes its gradient.
    """

    h: Tensor | None  # (T, D_in)
    V: Tensor | None  # (L, D)
    bV: Tensor | None  # (L,)  # noqa: N815 - the paper's names
    U: Tensor | None  # (L, D)
    bU: Tensor | None  # (L,)  # noqa: N815
    w: Tensor | None  # (K, L)
    W1: Tensor | None = None  # (D, D_in), of a projection
    b1: Tensor | None = None  # (D,)


class Forward(Protocol):
    """forward(arguments, store=…): `store` asks for `saved`. The outputs are new tensors, contiguous."""

    def __call__(self, arguments: PoolArguments, *, store: bool) -> Pooled: ...


class Backward(Protocol):
    """backward(arguments, forward's outputs, gradients of the loss, what is wanted) → Gradients.

    `grad_pooled` (B, K, D), `grad_scores` (K, T) and `grad_lse` (B, K) are in the dtype of what they belong to;
    None where the loss does not depend on it. They may have any strides (a loss `.sum()` sends an expanded 1),
    and may hold anything, NaN too, where the output is a constant: at scores of left-out rows and at the pooled and
    lse of bags with no row left. What is there counts as 0.

        a[k, n] = exp(scores[k, n] − lse[b, k])
        ds[k, n] = a[k, n] (grad_pooled[b, k] · h_n − Σ_d grad_pooled[b, k, d] pooled[b, k, d] + grad_lse[b, k])
                   + grad_scores[k, n]

    Rows that the mask leaves out have gradient 0 whatever they hold. Same inputs, same bits.
    """

    def __call__(
        self,
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
    ) -> Gradients: ...


class FusedBackend(NamedTuple):
    """The two functions of a fused back end."""

    forward: Forward
    backward: Backward
