"""Linear + ReLU on every patch of a bag, in blocks of rows: no float32 copy of the whole bag, whatever its dtype.

For the backward pass the features are kept as they came (shared with the caller) and the output, where autograd on
`relu(linear(features.float()))` keeps a float32 copy beside: at D = 1,024 and a width of 512, 2 KiB a patch instead
of 6. As fast: the products decide.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["Projection"]

#: Rows converted and multiplied at a time: enough for a product to run at full speed.
_ROWS = {"cpu": 1024}
_ROWS_ELSEWHERE = 65_536


class Projection(nn.Module):
    """Linear + ReLU + dropout on each patch: (T, D) of any float dtype to (T, width)."""

    def __init__(self, dim: int, width: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, width)
        self.dropout = dropout

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """In the weights' dtype, or autocast's; rows that `mask` (T,) leaves out are 0, whatever they hold."""
        kind = features.device.type
        dtype = (
            torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else self.linear.weight.dtype
        )
        rows: Tensor = _LinearReLU.apply(features, mask, self.linear.weight, self.linear.bias, dtype)
        return F.dropout(rows, self.dropout, self.training)


class _LinearReLU(torch.autograd.Function):
    """relu(features Wᵀ + b), 0 where the mask is False, multiplied in `dtype`."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, mask: Tensor | None, weight: Tensor, bias: Tensor, dtype: torch.dtype
    ) -> Tensor:
        made = torch.empty(len(features), len(weight), dtype=dtype, device=features.device)
        with torch.autocast(features.device.type, enabled=False):
            turned, shift = weight.to(dtype).T, bias.to(dtype)
            for rows in _blocks(features):
                torch.addmm(shift, features[rows].to(dtype), turned, out=made[rows])
        made.relu_()
        if mask is not None:
            made.masked_fill_(~mask[:, None], 0)  # NaN too: relu leaves it
        ctx.save_for_backward(features, mask, weight, made)
        return made

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, mask, weight, made = ctx.saved_tensors
        of_features = torch.empty_like(features) if ctx.needs_input_grad[0] else None
        of_weight, of_bias = torch.zeros_like(weight), torch.zeros(len(weight), device=weight.device)
        with torch.autocast(features.device.type, enabled=False):
            for rows in _blocks(features):
                inner = torch.where(made[rows] > 0, gradient[rows], 0).to(made.dtype)
                block = features[rows]
                if mask is not None:
                    block = block.masked_fill(~mask[rows, None], 0)  # 0 · NaN would be NaN
                of_weight += inner.T @ block.to(made.dtype)
                of_bias += inner.sum(0, dtype=of_bias.dtype)
                if of_features is not None:
                    of_features[rows] = inner @ weight.to(made.dtype)
        return of_features, None, of_weight, of_bias.to(weight.dtype), None


def _blocks(features: Tensor) -> list[slice]:
    size = _ROWS.get(features.device.type, _ROWS_ELSEWHERE)
    return [slice(start, start + size) for start in range(0, len(features), size)]
