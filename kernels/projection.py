"""A linear layer with relu before gated attention (CLAM's fc1, Lu et al. 2021), pooled without its (T, H) output."""

from torch import Tensor

from slidelake.kernels.arguments import Projection, check_arguments
from slidelake.kernels.dispatch import pool


def projected_gated_attention_pool(
    x: Tensor,
    W1: Tensor,
    b1: Tensor,
    V: Tensor,
    bV: Tensor,
    U: Tensor | None,
    bU: Tensor | None,
    w: Tensor,
    bw: Tensor,
    cu_seqlens: Tensor,
    *,
    mask: Tensor | None = None,
    projection_dropout_p: float = 0.0,
    dropout_p: float = 0.0,
    seed: int | None = None,
    backend: str = "auto",
    save: str = "auto",
) -> tuple[Tensor, Tensor, Tensor]:
    """Pool what a linear layer makes of the rows: pooled (B, K, H), raw scores (K, T), lse (B, K), all float32.

        h_n = dropout(relu(W1 x_n + b1)), then as `gated_attention_pool(h, …)`

    x (T, D_in), W1 (H, D_in), b1 (H,), V and U (L, H), the rest as `gated_attention_pool` takes it. Each unit of h
    falls with chance projection_dropout_p, by the same seed as the attention's dropout and independent of it.

    save: "recompute" makes h again in the backward pass, chunk by chunk, and keeps nothing of T rows; "store" keeps
    h and the attention's activations, T (H + 2 L) numbers in 32 bits; "auto" as in `gated_attention_pool`. backend:
    "auto", "chunked" or "eager" (the reference, which keeps h). KernelError as there.
    """
    projection = Projection(W1, b1, projection_dropout_p)
    arguments = check_arguments(
        *(x, V, bV, U, bU, w, bw, cu_seqlens),
        mask=mask,
        dropout_p=dropout_p,
        seed=seed,
        projection=projection,
    )
    return pool(arguments, backend, save)
