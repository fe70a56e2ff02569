"""Least work of gated attention pooling over N rows, and the least time a device needs for it.

Williams, Waterman and Patterson 2009, "Roofline: an insightful visual performance model": the larger of operations
over the rate of the matrix units and bytes over the bandwidth of the memory.
"""

from dataclasses import dataclass

__all__ = ["Cost", "Roofline", "Shape", "cost", "gemm_flops", "yardstick_flops"]

FLOAT32 = 4


@dataclass(frozen=True)
class Shape:
    """N rows of D features, L hidden units, K branches; `itemsize` bytes a number of features and parameters."""

    rows: int
    dim: int
    hidden: int
    branches: int
    itemsize: int


@dataclass(frozen=True)
class Cost:
    """Operations (a multiplication and an addition are two) and bytes of main memory."""

    flops: float
    bytes: float

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.flops + other.flops, self.bytes + other.bytes)


@dataclass(frozen=True)
class Roofline:
    """A device's two rates, as measured: operations/s of its best large product, bytes/s of a large copy."""

    flops_per_s: float
    bytes_per_s: float

    def seconds(self, work: Cost) -> float:
        """The least time for `work`."""
        return max(work.flops / self.flops_per_s, work.bytes / self.bytes_per_s)


def cost(shape: Shape, mode: str, *, features: bool) -> Cost:
    """Least work of "forward", "backward" or "both"; `features`: the features take a gradient too.

    A backward pass that computes the hidden units again does more; it is given credit for the result only, so that
    recomputing never looks like a rate. Each array counts once: features read, scores written or read (float32),
    parameters read, gradients written.
    """
    if mode == "both":
        return cost(shape, "forward", features=features) + cost(shape, "backward", features=features)
    n, d, l, k = shape.rows, shape.dim, shape.hidden, shape.branches
    read = n * d * shape.itemsize + 2 * l * d * shape.itemsize
    if mode == "forward":
        return Cost(
            gemm_flops(shape, mode, features=features) + 2.0 * n * l * k + 2.0 * n * d * k,
            read + FLOAT32 * n * k,
        )
    flops = gemm_flops(shape, mode, features=features) + 4.0 * n * l * k + 2.0 * n * d * k
    moved = read + FLOAT32 * n * k + 2 * l * d * shape.itemsize
    if features:
        flops, moved = flops + 2.0 * n * d * k, moved + n * d * shape.itemsize
    return Cost(flops, moved)


def gemm_flops(shape: Shape, mode: str, *, features: bool) -> float:
    """Operations of the products with V and U, and of their transposes, alone: what a matrix unit is needed for."""
    products = {"forward": 1, "backward": 1 + features, "both": 2 + features}[mode]
    return 4.0 * shape.rows * shape.dim * shape.hidden * products


def yardstick_flops(shape: Shape) -> float:
    """Operations of one product (N, D) × (D, 2L), which is timed beside every shape."""
    return 4.0 * shape.rows * shape.dim * shape.hidden
