"""Area resampling: the exact box average over a fractional footprint (FORMAT.md, "Grids").

Every output pixel is the mean of the source over [start + k·step, start + (k+1)·step) in x and y, weighted
by the share of each source pixel that lies inside, rounded to nearest. Computed as two separable passes;
within 0.5 of the same box in float64.
"""

import math

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["box_average"]


def box_average(
    pixels: NDArray[np.uint8],
    width: int,
    height: int,
    *,
    step_x: float,
    step_y: float,
    start_x: float = 0.0,
    start_y: float = 0.0,
) -> NDArray[np.uint8]:
    """(H, W, C) uint8 → (height, width, C) uint8; steps (source pixels per output pixel) of at least 1.

    A footprint that reaches beyond the source is averaged over what there is of it.
    """
    if (
        step_x == step_y == 1.0
        and start_x == start_y == 0.0
        and pixels.shape[1] == width
        and pixels.shape[0] == height
    ):
        return pixels
    first_y, weights_y = _taps(start_y, step_y, height, pixels.shape[0])
    first_x, weights_x = _taps(start_x, step_x, width, pixels.shape[1])
    out = np.empty((height, width, pixels.shape[2]), np.uint8)
    _separable(np.ascontiguousarray(pixels), first_y, weights_y, first_x, weights_x, out)
    return out


def _taps(start: float, step: float, count: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each output pixel the first source pixel it touches, and the weights from there on (sum 1)."""
    low = start + step * np.arange(count)
    high = low + step
    first = np.clip(np.floor(low + 1e-9).astype(np.int64), 0, size - 1)
    index = first[:, None] + np.arange(math.ceil(step) + 1)
    share = np.minimum(high[:, None], index + 1.0) - np.maximum(low[:, None], index)
    share = np.where(index < size, np.clip(share, 0.0, 1.0), 0.0)
    empty = share.sum(axis=1) <= 0.0  # wholly beyond the source: its last pixel stands in
    share[empty, 0] = 1.0
    return first, (share / share.sum(axis=1, keepdims=True)).astype(np.float32)


# Cached on disk: without it every Ray worker would compile for a second.
@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _separable(
    pixels: NDArray[np.uint8],
    first_y: NDArray[np.int64],
    weights_y: NDArray[np.float32],
    first_x: NDArray[np.int64],
    weights_x: NDArray[np.float32],
    out: NDArray[np.uint8],
) -> None:
    rows, columns, channels = pixels.shape
    line = np.empty(columns * channels, np.float32)
    flat = pixels.reshape(rows, columns * channels)
    for i in range(out.shape[0]):
        line[:] = 0.0
        for k in range(weights_y.shape[1]):
            weight = weights_y[i, k]
            if weight > 0.0:
                source = flat[first_y[i] + k]
                for n in range(columns * channels):
                    line[n] += weight * source[n]
        for j in range(out.shape[1]):
            for c in range(channels):
                total = np.float32(0.5)
                for k in range(weights_x.shape[1]):
                    weight = weights_x[j, k]
                    if weight > 0.0:
                        total += weight * line[(first_x[j] + k) * channels + c]
                out[i, j, c] = np.uint8(min(np.float32(255.0), total))
