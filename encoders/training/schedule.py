"""The rate of learning by place in the training, and when there is no more to hope for: no state but numbers."""

import math
from dataclasses import dataclass

__all__ = ["Patience", "rate_at"]


def rate_at(place: float, *, lr: float, warmup_epochs: float, epochs: int) -> float:
    """The rate at a place counted in epochs, 0 to `epochs`: a line up to `lr`, then half a cosine down to 0.

    A function of the place alone: epochs may have different numbers of steps, and what goes on after a kill needs
    nothing but the place.
    """
    if place < warmup_epochs:
        return lr * place / warmup_epochs
    return lr * 0.5 * (1 + math.cos(math.pi * (place - warmup_epochs) / (epochs - warmup_epochs)))


@dataclass
class Patience:
    """Remembers the best value and when it was; says when `epochs` went by without a better one (0: never)."""

    epochs: int
    larger_is_better: bool
    best: float | None = None
    best_epoch: int = -1

    def saw(self, epoch: int, value: float | None) -> bool:
        """Whether this is the best so far; a value that is none, or no number, never is."""
        if value is None or not math.isfinite(value):
            return False
        if self.best is not None and not (value > self.best if self.larger_is_better else value < self.best):
            return False
        self.best, self.best_epoch = value, epoch
        return True

    def over(self, epoch: int) -> bool:
        """Whether to stop after this epoch."""
        return self.best is not None and 0 < self.epochs <= epoch - self.best_epoch
