"""What callers hand in to be filled: buffers of their own, and the numbers of the rows they want."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slidelake.errors import UsageError

if TYPE_CHECKING:
    import torch

__all__ = ["filled_into", "row_numbers"]


def filled_into(
    out: "NDArray[Any] | torch.Tensor | None", shape: tuple[int, ...], dtype: np.dtype[Any], slide: str
) -> NDArray[Any]:
    """Where an array of `shape` and `dtype` is read into: the view `out[:N]`, or fresh memory where `out` is None.

    `out` is a C-contiguous numpy array, or a tensor in CPU memory (pinned or not), of the same dtype, with
    at least N rows of the same width. Raises UsageError otherwise.
    """
    if out is None:
        # numpy's own allocation takes huge pages; bytes and torch.empty pay a page fault for every 4 KiB.
        return np.empty(shape, dtype)
    buffer = out if isinstance(out, np.ndarray) else _of_tensor(out, slide)
    if buffer.dtype != dtype or buffer.shape[1:] != shape[1:] or buffer.ndim != len(shape):
        raise _unfit(f"{buffer.shape} {buffer.dtype}", shape, dtype, slide)
    if len(buffer) < shape[0]:
        raise _unfit(f"{buffer.shape} {buffer.dtype}", shape, dtype, slide)
    if not (buffer.flags.c_contiguous and buffer.flags.writeable):
        raise _unfit("not contiguous, or read-only", shape, dtype, slide)
    return buffer[: shape[0]]


def row_numbers(rows: ArrayLike, count: int, slide: str) -> NDArray[np.intp]:
    """`rows` as (R,) integers within 0 … count - 1, in their order, repeated as they are; raises UsageError."""
    array = np.asarray(rows)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise UsageError(
            f"rows of shape {array.shape} and {array.dtype} were asked for",
            remedy="Give the rows' numbers, a flat list of integers; np.flatnonzero(mask) makes them of a mask.",
            slide=slide,
        )
    if array.size and (array.min() < 0 or array.max() >= count):
        wrong = array[(array < 0) | (array >= count)][0]
        raise UsageError(
            f"row {wrong} was asked for, of {count} rows",
            remedy=f"Rows are numbered from 0 to {count - 1}." if count else "This array has no rows.",
            slide=slide,
        )
    return array.astype(np.intp, copy=False)


def _of_tensor(out: Any, slide: str) -> NDArray[Any]:
    # A tensor is known by its method: torch itself is not loaded for readers who do not use it.
    try:
        array = out.detach().numpy()
    except (AttributeError, TypeError, RuntimeError) as exc:
        raise UsageError(
            f"{type(out).__name__} cannot be read into ({exc})",
            remedy="Give a numpy array, or a torch tensor in CPU memory.",
            slide=slide,
        ) from exc
    if not isinstance(array, np.ndarray):
        raise UsageError(
            f"{type(out).__name__} cannot be read into",
            remedy="Give a numpy array, or a torch tensor in CPU memory.",
            slide=slide,
        )
    return array


def _unfit(what: str, shape: tuple[int, ...], dtype: np.dtype[Any], slide: str) -> UsageError:
    return UsageError(
        f"the buffer (out) is {what}",
        remedy=f"Give a C-contiguous one of {dtype} with the shape {shape}, or more rows.",
        slide=slide,
    )
