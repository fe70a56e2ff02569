"""Dropout masks that are a function of (seed, row, unit) alone, so that a backward pass or another back end
makes the same mask again and none is stored.

Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") with counter
(row, unit, 0, 0) and the seed's two halves as key; word 0 decides about the tanh branch, word 1 about the
gate. In Triton: `tl.philox(seed, row, unit, 0, 0)`. Word 0 at (row, unit, 1, 0) is for a projection's units.
"""

import numpy as np
import torch
from torch import Tensor

from slidelake.kernels.tracing import traced

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
#: The counter's third word for the units of a projection.
PROJECTION_STREAM = 1
#: Rows × units that torch works on at once: in the caches, the int64 scratch below 10 MB.
_BLOCK = 1 << 17


def philox_words(seed: int, counters: tuple[Tensor, Tensor, Tensor, Tensor]) -> tuple[Tensor, ...]:
    """The four 32-bit words (int64 tensors) of Philox4x32-10 at the counters given (int64, broadcastable)."""
    c0, c1, c2, c3 = counters
    k0, k1 = seed & _MASK, seed >> 32
    for _ in range(_ROUNDS):
        # int64 products wrap, which leaves all 64 bits as an unsigned product has them.
        left, right = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            ((right >> 32) & _MASK) ^ c1 ^ k0,
            right & _MASK,
            ((left >> 32) & _MASK) ^ c3 ^ k1,
            left & _MASK,
        )
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return c0, c1, c2, c3


def dropout_masks(
    seed: int, p: float, rows: int, units: int, *, device: torch.device, first_row: int = 0, stream: int = 0
) -> tuple[Tensor, Tensor]:
    """Two (rows, units) bool masks, for the tanh branch and the gate: False, with chance p, drops a unit.

    They are those of the rows from `first_row` on: a part of the masks made for all rows at once. `stream` is the
    counter's third word: masks of another place in the network, independent of these, from the same seed.
    """
    limit = round(p * 2**32)
    kept = torch.empty((2, rows, units), dtype=torch.bool, device=device)
    if device.type == "cpu" and limit < 2**32 and not traced(kept):
        _fill_on_cpu(seed, limit, first_row, stream, kept)
    else:
        _fill_by_torch(seed, limit, first_row, stream, kept)
    return kept[0], kept[1]


def _fill_on_cpu(seed: int, limit: int, first_row: int, stream: int, kept: Tensor) -> None:
    # numba takes a second to import: only who drops units on a CPU pays for it.
    from slidelake.kernels.philox_cpu import philox_keep

    keys = (np.uint32(seed & _MASK), np.uint32(seed >> 32), np.uint32(limit))
    philox_keep(*keys, first_row, np.uint32(stream), *kept.numpy())


def _fill_by_torch(seed: int, limit: int, first_row: int, stream: int, kept: Tensor) -> None:
    rows, units = kept.shape[1:]
    unit = torch.arange(units, device=kept.device)[None, :]
    third = torch.full((), stream, dtype=torch.int64, device=kept.device)
    step = max(1, _BLOCK // max(1, units))
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        row = torch.arange(first_row + start, first_row + stop, device=kept.device)[:, None]
        words = philox_words(seed, (row, unit, third, torch.zeros_like(third)))
        kept[0, start:stop] = words[0] >= limit
        kept[1, start:stop] = words[1] >= limit
