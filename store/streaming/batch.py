"""What a loader yields: bags as tensors, packed end to end, padded to a rectangle, or one by one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

__all__ = ["Batch", "Layout"]

Layout = Literal["packed", "padded", "list"]


@dataclass
class Batch:
    """B bags of together T rows, as torch tensors.

    Packed: `features` (T, D), `coords` (T, 2) int32 level-0 px of the patches' top-left corners, `rows` (T,)
    int64 row numbers in the stored bag. Padded: (B, N, D), (B, N, 2) and (B, N), N the longest bag's rows, with
    zeros, zeros and -1 behind the bags' ends, and `mask` (B, N) bool, True where there is a row. List: lists of
    B tensors. `cu_seqlens` (B + 1,) int32 are the borders of the bags among T rows in every layout.

    Several spaces: `features` is a dict by space, in the order asked for. If the spaces lie on grids of their
    own, `cu_seqlens`, `coords`, `rows`, `mask` and `slide_seqlens` are dicts by space too.

    `slide_ids` are the bags' slides end to end, `slide_seqlens` (S + 1,) int32 their borders among the T rows: with
    `unit="slide"` the same as `cu_seqlens`. `targets` is what the labels say, one entry a bag on its first axis;
    None without labels. `patient_ids` has one a bag. `step` counts this rank's batches of the `epoch` from 0.
    """

    features: Any
    cu_seqlens: Any
    bag_ids: tuple[str, ...]
    slide_ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    slide_seqlens: Any
    targets: Any = None
    coords: Any = None
    rows: Any = None
    mask: Any = None
    epoch: int = 0
    step: int = 0

    def __len__(self) -> int:
        return len(self.bag_ids)

    def __repr__(self) -> str:
        features = _map(
            self.features, lambda each: f"{tuple(each.shape)} {str(each.dtype).removeprefix('torch.')}"
        )
        return f"Batch({len(self)} bags, features {features}, epoch {self.epoch}, step {self.step})"

    def to(self, device: "torch.device | str", *, non_blocking: bool = False) -> "Batch":
        """The batch with its tensors on a device; those that are there already are not copied."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """The batch in page-locked memory, which a GPU copies from without waiting."""
        return self._each(lambda tensor: tensor.pin_memory())

    def tensors(self) -> "list[torch.Tensor]":
        """Every tensor of the batch."""
        found: list[torch.Tensor] = []

        def take(tensor: "torch.Tensor") -> "torch.Tensor":
            found.append(tensor)
            return tensor

        self._each(take)
        return found

    def _each(self, change: "Callable[[torch.Tensor], torch.Tensor]") -> "Batch":
        return replace(self, **{each.name: _map(getattr(self, each.name), change) for each in fields(self)})


def _map(value: Any, change: Callable[[Any], Any]) -> Any:
    """`change` on every tensor in a value; what is none stays."""
    if isinstance(value, Mapping):
        return {name: _map(each, change) for name, each in value.items()}
    if isinstance(value, list):
        return [_map(each, change) for each in value]
    return change(value) if hasattr(value, "data_ptr") else value
