"""Nyström attention (Xiong et al. 2021, "Nyströmformer") over one sequence, with memory linear in its length.

    softmax(Q Kᵀ) V  ≈  softmax(Q K̃ᵀ) · pinv(softmax(Q̃ K̃ᵀ)) · softmax(Q̃ Kᵀ) V

Q̃ and K̃ are m landmarks: means over m runs of the sequence. Both long products are ordinary attention, of n queries
over m keys and of m over n, so that fused attention computes them and no (heads, n, m) matrix is ever in memory:
written out these take 8 × 50,000 × 256 × 4 bytes = 0.4 GB each, two a layer, kept for the backward pass.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["NystromAttention", "iterative_pinv"]


class NystromAttention(nn.Module):
    """Multi-head self-attention of a sequence (n, dim), plus a depthwise convolution of the values along it.

    Sequences no longer than `landmarks` are attended exactly, as the approximation has nothing to save there. The
    runs of longer ones differ by one row at most: nothing is padded, so that no padding takes attention.
    """

    def __init__(
        self, dim: int, *, heads: int, landmarks: int, iterations: int, kernel: int, dropout: float
    ) -> None:
        super().__init__()
        self.heads, self.landmarks, self.iterations = heads, landmarks, iterations
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)
        #: One filter a head, over neighbours in the sequence.
        self.residual = nn.Conv2d(
            heads, heads, (kernel, 1), padding=(kernel // 2, 0), groups=heads, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, dim) to (n, dim), n ≥ 1."""
        q, k, v = self._split(self.qkv(x))
        return self._out(self._attend(q, k, v, q) + self.residual(v))

    def first_row(self, x: Tensor) -> Tensor:
        """The first row (1, dim) of what `forward` gives: a last layer of which only the class token is used."""
        q, k, v = self._split(self.qkv(x))
        return self._out(self._attend(q, k, v, q[:, :, :1]) + self._first_residual(v))

    def first_row_exactly(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The first row's output (1, dim) by exact attention, and its log-attention (n,), the mean of the heads'.

        One query over n keys costs less than the approximation.
        """
        dim = x.shape[1]
        (query,) = self._split(F.linear(x[:1], self.qkv.weight[:dim]))
        k, v = self._split(F.linear(x, self.qkv.weight[dim:]))
        logits = (query @ k.transpose(-1, -2)).float() / math.sqrt(k.shape[-1])
        log_attention = logits.log_softmax(-1)  # (1, heads, 1, n)
        out = self._out(log_attention.exp().to(v.dtype) @ v + self._first_residual(v))
        return out, log_attention[0, :, 0].logsumexp(0) - math.log(self.heads)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, queries: Tensor) -> Tensor:
        """What `queries`, of q's rows, see; all (1, heads, n, d)."""
        if q.shape[2] <= self.landmarks:
            return F.scaled_dot_product_attention(queries, k, v)
        q_mean, k_mean = _run_means(q, self.landmarks), _run_means(k, self.landmarks)
        seen = F.scaled_dot_product_attention(q_mean, k, v)
        # In 32 bits whatever autocast says: the iteration multiplies errors.
        with torch.autocast(q.device.type, enabled=False):
            logits = q_mean.float() @ k_mean.float().transpose(-1, -2) / math.sqrt(q.shape[-1])
            seen = (iterative_pinv(logits.softmax(-1), self.iterations) @ seen.float()).to(v.dtype)
        return F.scaled_dot_product_attention(queries, k_mean, seen)

    def _first_residual(self, v: Tensor) -> Tensor:
        # The filter's centre is on the first row, half of it over the padding before.
        reach = self.residual.weight.shape[2] // 2 + 1
        return self.residual(v[:, :, :reach])[:, :, :1]  # type: ignore[no-any-return]

    def _out(self, attended: Tensor) -> Tensor:
        return self.dropout(self.out(attended[0].transpose(0, 1).flatten(1)))  # type: ignore[no-any-return]

    def _split(self, x: Tensor) -> list[Tensor]:
        """(n, parts · dim) as parts of (1, heads, n, dim / heads)."""
        dim = self.out.in_features
        parts = x.view(len(x), -1, self.heads, dim // self.heads).unbind(1)
        return [part.transpose(0, 1).unsqueeze(0) for part in parts]


def iterative_pinv(matrices: Tensor, iterations: int) -> Tensor:
    """Moore–Penrose inverse (…, m, m) by the third-order iteration of Razavi et al. (2014), as Nyströmformer has it.

    Each matrix starts from its own norms: what stands beside it in a batch does not change it.
    """
    sums = matrices.abs()
    norms = sums.sum(-1).amax(-1) * sums.sum(-2).amax(-1)
    inverse = matrices.transpose(-1, -2) / norms[..., None, None]
    eye = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
    for _ in range(iterations):
        product = matrices @ inverse
        inverse = 0.25 * inverse @ (13 * eye - product @ (15 * eye - product @ (7 * eye - product)))
    return inverse


def _run_means(x: Tensor, runs: int) -> Tensor:
    """(1, h, n, d) to the means (1, h, runs, d) over runs of the sequence that differ by one row at most."""
    rows = x.shape[2]
    borders = torch.arange(runs + 1, device=x.device) * rows // runs
    # In 32 bits: a run may have thousands of rows.
    lengths = torch.diff(borders)
    sums = torch.segment_reduce(x[0].transpose(0, 1).flatten(1).float(), "sum", lengths=lengths)
    means = sums / lengths[:, None]
    return means.view(runs, x.shape[1], x.shape[3]).transpose(0, 1).unsqueeze(0).to(x.dtype)
