"""Mixed precision: autocast to bf16 or fp16, and fp16's scaled loss."""

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from slidelake.errors import UsageError

__all__ = ["Precision"]


class Precision:
    """How a model computes on a device: "bf16", "fp16" (GPU alone), "no", or "auto": bf16 on a GPU that has it."""

    def __init__(self, word: str, device: torch.device) -> None:
        if word == "auto":
            word = "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported(False) else "no"
        if word == "fp16" and device.type != "cuda":
            raise UsageError(
                f"precision is fp16 on a {device.type} device", remedy="Use --precision bf16 or no there."
            )
        self.name = word
        self._device = device
        self._dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(word)
        self._scaler = torch.amp.GradScaler(device.type, enabled=word == "fp16")

    def cast(self) -> AbstractContextManager[Any]:
        """The context for forward passes."""
        return torch.autocast(self._device.type, self._dtype, enabled=self._dtype is not None)

    def scale(self, loss: Tensor) -> Tensor:
        """The loss to go backward from."""
        return self._scaler.scale(loss)

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Gradients as they are meant, so that they can be cut."""
        self._scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """One step; fp16's is left out where a gradient overflowed."""
        self._scaler.step(optimizer)
        self._scaler.update()

    @property
    def scales(self) -> bool:
        """Whether gradients may overflow without harm."""
        return bool(self._scaler.is_enabled())

    def state_dict(self) -> dict[str, Any]:
        return self._scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state:
            self._scaler.load_state_dict(state)
