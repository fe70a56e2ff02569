"""What one comparison runs on: random packed bags and parameters, and what every side must find for them."""
# ruff: noqa: N806 - the paper's names

import math
import random
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import torch
from torch import Tensor

__all__ = ["Inputs", "log_uniform_lengths", "make_inputs", "reference", "relative_error"]

#: Rows that the reference works on at a time.
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Inputs:
    """Packed bags h (T, D), parameters V (L, D), bV, U, bU, w (K, L), bw, borders, and pooled's gradient."""

    h: Tensor
    parameters: tuple[Tensor, ...]  # V, bV, U, bU, w, bw
    lengths: tuple[int, ...]
    cu_seqlens: Tensor  # (B + 1,) int32
    cotangent: Tensor  # (B, K, D) float32: the gradient of a loss in pooled

    @property
    def leaves(self) -> list[Tensor]:
        """Everything that takes a gradient, in the order of the arguments."""
        return [each for each in (self.h, *self.parameters) if each.requires_grad]

    def to(self, dtype: torch.dtype) -> "Inputs":
        """The same numbers in another dtype, as leaves of their own; itself where it has that dtype."""

        def cast(value: Tensor) -> Tensor:
            return value.detach().to(dtype).requires_grad_(value.requires_grad)

        if dtype == self.h.dtype:
            return self
        return replace(self, h=cast(self.h), parameters=tuple(cast(each) for each in self.parameters))


def make_inputs(
    lengths: tuple[int, ...],
    size: tuple[int, int, int],
    *,
    dtype: torch.dtype,
    device: str,
    features: bool = False,
    seed: int = 0,
) -> Inputs:
    """Standard normal features, parameters of the scale that torch.nn.Linear gives them; size is (D, L, K)."""
    dim, hidden, branches = size
    generator = torch.Generator(device).manual_seed(seed)

    def draw(*shape: int, spread: float = 1.0) -> Tensor:
        # In place and in its own dtype: a copy of (T, D) in float32 would be the largest thing in memory.
        return torch.empty(*shape, dtype=dtype, device=device).normal_(0, spread, generator=generator)

    h = draw(sum(lengths), dim).requires_grad_(features)
    parameters = [
        *(draw(hidden, dim, spread=dim**-0.5), draw(hidden, spread=0.1)),
        *(draw(hidden, dim, spread=dim**-0.5), draw(hidden, spread=0.1)),
        # Scores of standard deviation about 1: an attention that is neither flat nor one row.
        *(draw(branches, hidden, spread=3 * hidden**-0.5), draw(branches, spread=0.1)),
    ]
    cotangent = torch.empty(len(lengths), branches, dim, device=device).normal_(generator=generator)
    borders = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device)
    return Inputs(h, tuple(each.requires_grad_() for each in parameters), lengths, borders, cotangent)


def log_uniform_lengths(bags: int, least: int, most: int, *, seed: int = 0) -> tuple[int, ...]:
    """Lengths of `bags` bags, evenly spread in their logarithm, the least and the most among them, shuffled."""
    low, high = math.log(least), math.log(most)
    lengths = [round(math.exp(low + (high - low) * place / (bags - 1))) for place in range(bags)]
    random.Random(seed).shuffle(lengths)
    return tuple(lengths)


def reference(inputs: Inputs, *, gradients: bool) -> list[Tensor]:
    """pooled (B, K, D) float64; with `gradients` also those of `inputs.leaves` for the cotangent.

    From the formula, in blocks of rows: products in float32 (never TF32), softmax and sums in float64. pooled
    depends on the parameters through the scores alone, so that their gradients are those of Σ ds · s with ds held
    fixed; the features have their part through the weighted sum, ds being a (da − Σ a da).
    """
    parameters = [each.detach().float().requires_grad_(gradients) for each in inputs.parameters]
    w = parameters[4]
    blocks = [
        (bag, start, min(start + _BLOCK, end))
        for bag, (begin, end) in enumerate(pairwise(accumulate(inputs.lengths, initial=0)))
        for start in range(begin, end, _BLOCK)
    ]
    bag_of_row = torch.repeat_interleave(torch.arange(len(inputs.lengths)), torch.tensor(inputs.lengths)).to(
        inputs.h.device
    )
    scores = torch.empty(len(inputs.h), len(w), dtype=torch.float64, device=inputs.h.device)
    with torch.no_grad():
        for _, start, stop in blocks:
            scores[start:stop] = _scores(inputs.h[start:stop].float(), parameters).double()
        lse = torch.stack([part.logsumexp(0) for part in torch.split(scores, list(inputs.lengths))])
        attention = torch.exp(scores - lse[bag_of_row])  # (T, K)
        pooled = torch.zeros_like(inputs.cotangent, dtype=torch.float64)
        for bag, start, stop in blocks:
            pooled[bag] += attention[start:stop].T @ inputs.h[start:stop].double()
    if not gradients:
        return [pooled]
    through_h = []
    for bag, start, stop in blocks:
        x = inputs.h[start:stop].detach().float().requires_grad_(inputs.h.requires_grad)
        cotangent = inputs.cotangent[bag].double()  # (K, D)
        a = attention[start:stop]
        da = x.detach().double() @ cotangent.T - (cotangent * pooled[bag]).sum(1)
        _scores(x, parameters).backward((a * da).float())
        if x.grad is not None:
            through_h.append(x.grad.double() + a @ cotangent)
    wanted = [each.grad for each in parameters if each.grad is not None]
    return [pooled, *([torch.cat(through_h)] if through_h else []), *wanted]


def _scores(x: Tensor, parameters: list[Tensor]) -> Tensor:
    V, bV, U, bU, w, bw = parameters
    return (torch.tanh(x @ V.T + bV) * torch.sigmoid(x @ U.T + bU)) @ w.T + bw


def relative_error(found: Tensor, wanted: Tensor) -> float:
    """Norm of the difference over the norm of what is wanted; inf where a value is not finite or shapes differ."""
    if found.shape != wanted.shape or not bool(found.isfinite().all()):
        return float("inf")
    wanted = wanted.double()
    return float((found.double() - wanted).norm() / (wanted.norm() + torch.finfo(torch.float64).tiny))
