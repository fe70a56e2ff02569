"""Gated attention pooling over packed bags (Ilse, Tomczak and Welling 2018, "Attention-based deep multiple
instance learning", equation 9), with K branches."""

from torch import Tensor

from slidelake.errors import KernelError
from slidelake.kernels.arguments import check_arguments
from slidelake.kernels.borders import check_cu_seqlens
from slidelake.kernels.dispatch import pool
from slidelake.kernels.packing import bag_of_row


def gated_attention_pool(
    h: Tensor,
    V: Tensor,
    bV: Tensor,
    U: Tensor | None,
    bU: Tensor | None,
    w: Tensor,
    bw: Tensor,
    cu_seqlens: Tensor,
    *,
    mask: Tensor | None = None,
    dropout_p: float = 0.0,
    seed: int | None = None,
    backend: str = "auto",
    save: str = "auto",
) -> tuple[Tensor, Tensor, Tensor]:
    """Pool each bag by gated attention: pooled (B, K, D), raw scores (K, T), lse (B, K), all float32.

        s[k, n] = Σ_l w[k, l] · tanh(V_l · h_n + bV_l) · σ(U_l · h_n + bU_l) + bw[k]
        lse[b, k] = log Σ_{n in bag b} exp s[k, n]
        pooled[b, k] = Σ_{n in bag b} exp(s[k, n] − lse[b, k]) h_n

    h (T, D) holds B bags end to end, bag b the rows cu_seqlens[b] to cu_seqlens[b + 1] (int32 or int64,
    from 0 to T; `pack_bags`). V and U (L, D), bV and bU (L,), w (K, L), bw (K,), as torch.nn.Linear has
    them; U and bU None: tanh attention without a gate. h float16, bfloat16 or float32, the parameters of
    one dtype, not necessarily h's; accumulation in 32 bits. All float64: computed and returned in float64.

    mask (T,) bool, False = the row is left out, whatever it holds: its score is −inf, its gradient 0. An
    empty bag, or one with no row left, has pooled 0 and lse −inf.

    dropout_p: each unit of the tanh branch, and each of the gate, falls with this chance on its own and the
    rest is scaled by 1 / (1 − dropout_p), as in CLAM (Lu et al. 2021); which fall is a function of (seed,
    row, unit) alone. No seed: one is drawn from torch's generator. Pass 0 in evaluation.

    Differentiable in all three outputs. `pooled` does not depend on bw, whose gradient through it is 0. The
    same call gives the same bits on one machine. A NaN in a row spoils the outputs of its own bag, and the
    gradients of the parameters; those of the other bags stay.

    backend: "auto" (SLIDELAKE_KERNELS, else the measured winner for the shape) or a name of `backend_names()`.
    None can be differentiated twice. save: "store" keeps the activations for the backward pass, 2 T L of
    h's dtype; "recompute" keeps nothing of that size and computes them again; "auto" stores what fits under the
    smaller of 512 MiB and 5 % of the free memory. Under torch.compile "auto" asks for no memory and means
    "recompute", and dropout needs a seed.

    Where memory runs out and backend or save leaves the choice, the call is done by chunks that keep nothing, with
    a warning in the log. KernelError for any argument that does not fit, and for memory that a choice does not have.
    """
    arguments = check_arguments(h, V, bV, U, bU, w, bw, cu_seqlens, mask=mask, dropout_p=dropout_p, seed=seed)
    return pool(arguments, backend, save)


def attention_weights(scores: Tensor, lse: Tensor, cu_seqlens: Tensor) -> Tensor:
    """(K, T) attention exp(scores − lse) of scores (K, T) and lse (B, K): sums to 1 over each bag.

    Rows that were left out, and bags with no row left, have attention 0.
    """
    if scores.ndim != 2:
        raise KernelError(f"scores have shape {tuple(scores.shape)}", remedy="Pass (K, T).")
    check_cu_seqlens(cu_seqlens, scores.shape[1])
    if tuple(lse.shape) != (len(cu_seqlens) - 1, scores.shape[0]):
        raise KernelError(
            f"lse has shape {tuple(lse.shape)}",
            remedy=f"Pass (B, K) = {(len(cu_seqlens) - 1, scores.shape[0])}, as the pooling gave it.",
        )
    of_row = lse.T[:, bag_of_row(cu_seqlens, scores.shape[1])]
    # −inf − −inf is NaN: a left-out row has −inf in both where its whole bag is left out.
    return (scores - of_row.masked_fill(of_row.isneginf(), 0)).exp()
