"""Mean and spread of each feature over the rows of bags: what standardised inputs are shifted and scaled by."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from slidelake.store.streaming import Batch

__all__ = ["SAMPLED_ROWS", "row_statistics"]

#: Rows of a bag that are looked at.
SAMPLED_ROWS = 256


def row_statistics(batches: "Iterable[Batch]") -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (D,) float32 of all rows of the batches, summed in float64 in their order.

    Batches are joined by the exact rule for two samples' sums of squares (Chan et al. 1979), so nothing is lost where
    the mean is far larger than the spread. A feature that never changes has a spread of 0.
    """
    count, mean, squares = 0, torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    for batch in batches:
        rows = batch.features.double().cpu()
        if not len(rows):
            continue
        own = rows.mean(0)
        apart = own - mean
        total = count + len(rows)
        squares = squares + (rows - own).square().sum(0) + apart.square() * (count * len(rows) / total)
        mean = mean + apart * (len(rows) / total)
        count = total
    return mean.float(), (squares / max(count, 1)).sqrt().float()
