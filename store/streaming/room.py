"""Room for a batch's arrays: packed, padded or one by one, in memory that goes round or is page-locked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import UsageError
from slidelake.store.streaming.batch import Layout
from slidelake.store.streaming.buffer_pool import BufferPool

if TYPE_CHECKING:
    import torch

__all__ = ["Room", "Rooms", "borders", "numpy_dtype"]

#: What features can be given as; numpy knows no bfloat16.
_DTYPES: dict[str, np.dtype[Any]] = {
    "float16": np.dtype(np.float16),
    "float32": np.dtype(np.float32),
    "bfloat16": np.dtype(np.float32),
}


@dataclass
class Room:
    """`views[i]` is where bag i's rows go; `value`, taken when they are there, the tensor (or the tensors) of all."""

    filled: Any
    views: list[NDArray[Any]]
    bfloat16: bool = False

    @property
    def value(self) -> Any:
        if not self.bfloat16:
            return self.filled
        each = self.filled if isinstance(self.filled, list) else [self.filled]
        found = [tensor.bfloat16() for tensor in each]
        return found if isinstance(self.filled, list) else found[0]


class Rooms:
    """Makes room. `dtype` is what features are given as (None: as stored); `pinned`: in page-locked memory."""

    def __init__(self, dtype: str | None = None, *, pinned: bool = False, spare: int = 2) -> None:
        self.dtype = dtype
        self._pinned = pinned
        self._spare = spare
        self._pool = BufferPool(spare)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pool": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._pool = BufferPool(self._spare)

    def features(self, layout: Layout, lengths: Sequence[int], dim: int, stored: np.dtype[Any]) -> Room:
        """Room for (n, dim) features of bags of these lengths."""
        kind = stored if self.dtype is None else _DTYPES[self.dtype]
        room = self.make(layout, lengths, (dim,), kind, 0)
        room.bfloat16 = self.dtype == "bfloat16"
        return room

    def make(
        self, layout: Layout, lengths: Sequence[int], tail: tuple[int, ...], kind: np.dtype[Any], fill: int
    ) -> Room:
        """Room for arrays of shape (n, *tail), one for each length n; padding is `fill`."""
        if layout == "list":
            pairs = [self._new((n, *tail), kind) for n in lengths]
            return Room([tensor for tensor, _ in pairs], [array for _, array in pairs])
        if layout == "padded":
            tensor, array = self._new((len(lengths), max(lengths, default=0), *tail), kind)
            for mine, n in zip(array, lengths, strict=True):
                mine[n:] = fill
            return Room(tensor, [mine[:n] for mine, n in zip(array, lengths, strict=True)])
        tensor, array = self._new((sum(lengths), *tail), kind)
        ends = np.cumsum(lengths)
        return Room(tensor, [array[end - n : end] for end, n in zip(ends, lengths, strict=True)])

    def tensor(self, array: NDArray[Any]) -> "torch.Tensor":
        """A small array as a tensor, page-locked where batches are."""
        import torch

        made = torch.from_numpy(array)
        return made.pin_memory() if self._pinned else made

    def mask(self, lengths: Sequence[int]) -> "torch.Tensor":
        """(B, N) bool: True where there is a row."""
        return self.tensor(np.arange(max(lengths, default=0)) < np.array(lengths, np.int64)[:, None])

    def _new(self, shape: tuple[int, ...], kind: np.dtype[Any]) -> "tuple[torch.Tensor, NDArray[Any]]":
        import torch

        if self._pinned:
            # torch keeps page-locked memory itself, and waits for copies that still read it.
            tensor = torch.empty(shape, dtype=getattr(torch, kind.name), pin_memory=True)
            return tensor, tensor.numpy()
        array = self._pool.empty(shape, kind)
        return torch.from_numpy(array), array


def borders(lengths: Sequence[int]) -> NDArray[np.int32]:
    """(B + 1,) int32 borders from 0 to T."""
    ends = np.cumsum([0, *lengths])
    if ends[-1] >= 2**31:
        raise UsageError(
            f"a batch of {ends[-1]} rows is too large", remedy="Take fewer bags a batch, or sample rows."
        )
    return ends.astype(np.int32)


def numpy_dtype(dtype: Any) -> str | None:
    """The name of a dtype that features can be given as; raises UsageError for another."""
    if dtype is None:
        return None
    name = str(dtype).removeprefix("torch.")
    if name not in _DTYPES:
        name = getattr(dtype, "__name__", name)
    if name not in _DTYPES:
        raise UsageError(f"features cannot be given as {dtype}", remedy=f"Use one of {', '.join(_DTYPES)}.")
    return name
