"""Dropout masks that are a function of (seed, row, unit) alone, so that a backward pass or another back end
makes the same mask again and none is stored.

Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") with counter
(row, unit, 0, 0) and the seed's two halves as key; word 0 decides about the tanh branch, word 1 about the
gate. In Triton: `tl.philox(seed, row, unit, 0, 0)`.
"""

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
#: Rows × units worked on at once: the generator's int64 scratch stays below 100 MB.
_BLOCK = 1 << 20


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
    seed: int, p: float, rows: int, units: int, *, device: torch.device, first_row: int = 0
) -> tuple[Tensor, Tensor]:
    """Two (rows, units) bool masks, for the tanh branch and the gate: False, with chance p, drops a unit.

    They are those of the rows from `first_row` on: a part of the masks made for all rows at once.
    """
    limit = round(p * 2**32)
    kept = torch.empty((2, rows, units), dtype=torch.bool, device=device)
    unit = torch.arange(units, device=device)[None, :]
    zero = torch.zeros((), dtype=torch.int64, device=device)
    step = max(1, _BLOCK // max(1, units))
    for start in range(0, rows, step):
        row = torch.arange(first_row + start, first_row + min(start + step, rows), device=device)[:, None]
        words = philox_words(seed, (row, unit, zero, zero))
        kept[0, start : start + step] = words[0] >= limit
        kept[1, start : start + step] = words[1] >= limit
    return kept[0], kept[1]
