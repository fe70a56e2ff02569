"""How many passages a question needs: as many as stand before the score falls off."""

import math
from collections.abc import Sequence

__all__ = ["FALL", "fall_off"]

#: A passage is left out, and all after it, where its score is less than this share of the one before.
FALL = 0.7


def fall_off(scores: Sequence[float], *, least: int = 1, fall: float = FALL) -> int:
    """How many of `scores` (descending, at least 0) come before the first fall to less than `fall` of the one before.

    At least `least` of them, where there are as many. A score of 0 or less fits nothing, and ends it too.
    """
    kept = 0
    for i, score in enumerate(scores):
        before = scores[i - 1] if i else math.inf
        fell = i > 0 and score < fall * before
        if i >= least and (fell or score <= 0):
            break
        kept = i + 1
    return kept
