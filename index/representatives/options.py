"""How patches are picked: counts, thresholds and the seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slidelake.errors import UsageError
from slidelake.index.representatives.picks import ARMS, Arm
from slidelake.index.representatives.quality import DEFAULT_QUALITY, Bound, parse_bound

__all__ = ["SelectionOptions"]


@dataclass(frozen=True)
class SelectionOptions:
    """PathGen-1.6M's recipe by default: of 384, 64 by report text, 64 by attribute prompts, 256 by clusters.

    Other counts are shared out as 1 : 1 : 4. An arm that has nothing to go by leaves its share to the clusters.

    `near`: a patch whose cosine with an earlier pick is above this is dropped, with a probability that grows from 0
    there to 1 at a cosine of 1; 1 drops none. `spread`: how far apart the corners of two picks must be, along x or
    along y, in sides of a patch (1: they may touch and not overlap; 0: anywhere); `spread_px` the same in level-0 px,
    the larger of the two counts. What is dropped is not replaced, as in the recipe, so that an even slide has fewer
    picks; with `refill` the next in line takes its place. `quality`: what the grid's columns must hold. `clusters`:
    how many, by default the square root of the number of rows. Raises UsageError for values that cannot be.
    """

    count: int = 384
    near: float = 0.88
    spread: float = 1.0
    spread_px: float = 0.0
    quality: tuple[Bound, ...] = DEFAULT_QUALITY
    clusters: int | None = None
    refill: bool = False
    seed: int = 0

    @classmethod
    def of(cls, *, quality: Sequence[str | Bound] | None = None, **options: Any) -> SelectionOptions:
        """The options, the bounds of quality as people write them ("blur<=200"); None: the default ones."""
        if quality is None:
            return cls(**options)
        bounds = tuple(each if isinstance(each, Bound) else parse_bound(each) for each in quality)
        return cls(**options, quality=bounds)

    def __post_init__(self) -> None:
        if not isinstance(self.count, int) or isinstance(self.count, bool) or self.count < 1:
            raise UsageError(f"{self.count} patches cannot be picked", remedy="Give a count of 1 or more.")
        if not -1 <= self.near <= 1:
            raise UsageError(f"no cosine is above {self.near}", remedy="Give near between -1 and 1.")
        for name in ("spread", "spread_px"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"{name} of {value} cannot be", remedy="Give 0 or more.")
        if self.clusters is not None and self.clusters < 1:
            raise UsageError(f"{self.clusters} clusters cannot be made", remedy="Give 1 or more.")
        if self.seed < 0:
            raise UsageError(f"a seed of {self.seed} cannot be", remedy="Give 0 or more.")

    @property
    def quotas(self) -> dict[Arm, int]:
        """Picks by arm where every arm has something to go by; they sum to `count`."""
        text = round(self.count / 6)
        return dict(zip(ARMS, (text, text, self.count - 2 * text), strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "count": self.count,
            "near": self.near,
            "spread": self.spread,
            "spread_px": self.spread_px,
            "quality": [str(bound) for bound in self.quality],
            "clusters": self.clusters,
            "refill": self.refill,
            "seed": self.seed,
        }
