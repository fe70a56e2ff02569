"""Several processes as one: ranks as torchrun starts them, and the few things they tell each other.

Gradients are summed by one call a step, whatever was accumulated, so no wrapper is put around the model: slide
encoders are small, and branches that a batch does not use need no special case. Counts, flags and predictions go
through gloo, so that they wait for no GPU.
"""

import atexit
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from slidelake.errors import SlidelakeError, UsageError

__all__ = ["World", "choose_device", "join_world"]

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """This process among `size`; alone, everything here gives back what it was handed."""

    rank: int
    size: int
    device: torch.device
    _talk: Any = None

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def sums(self, numbers: Sequence[float]) -> list[float]:
        """Each number summed over the processes, in float64."""
        if self.size == 1:
            return list(numbers)
        told = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(told, group=self._talk)
        return told.tolist()

    def gather(self, mine: T) -> list[T]:
        """What each process has, in their order."""
        if self.size == 1:
            return [mine]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, mine, group=self._talk)
        return found

    def from_first(self, mine: T) -> T:
        """What the first process has."""
        if self.size == 1:
            return mine
        held: list[Any] = [mine]
        dist.broadcast_object_list(held, src=0, group=self._talk)
        return held[0]  # type: ignore[no-any-return]

    def first_makes(self, make: Callable[[], T]) -> T:
        """What the first process makes; where it refuses, its SlidelakeError on every process."""
        made: T | None = None
        refused: SlidelakeError | None = None
        if self.first:
            try:
                made = make()
            except SlidelakeError as exc:
                if self.size == 1:
                    raise
                refused = exc
        made, refused = self.from_first((made, refused))
        if refused is not None:
            raise refused
        return made  # type: ignore[return-value]

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sums every gradient over the processes, all in one message."""
        if self.size == 1:
            return
        mine = list(parameters)
        gradients = [torch.zeros_like(each) if each.grad is None else each.grad for each in mine]
        flat = torch.cat([each.reshape(-1).float() for each in gradients])
        dist.all_reduce(flat)
        for each, part in zip(mine, torch.split(flat, [each.numel() for each in mine]), strict=True):
            each.grad = part.view_as(each).to(each.dtype)

    def same_weights(self, model: nn.Module) -> None:
        """Gives every process the first one's parameters and buffers."""
        if self.size > 1:
            for tensor in [*model.parameters(), *model.buffers()]:
                dist.broadcast(tensor.detach(), src=0)


def choose_device(word: str, local_rank: int = 0) -> torch.device:
    """The device that "auto", "cpu", "cuda", "cuda:1" or "mps" means. Raises UsageError for one that is not here."""
    if word == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", local_rank)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(word)
    except RuntimeError as exc:
        raise UsageError(f"device is {word!r}", remedy="Use auto, cpu, cuda, cuda:0 or mps.") from exc
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not here.get(device.type, False):
        raise UsageError(f"torch sees no {device.type} device here", remedy="Pass --device auto or cpu.")
    if device.type == "cuda":
        number = local_rank if device.index is None else device.index
        if number >= torch.cuda.device_count():
            raise UsageError(
                f"there is no GPU {number} here (there are {torch.cuda.device_count()})",
                remedy="Start as many processes as there are GPUs, or name one of them.",
            )
        return torch.device("cuda", number)
    return device


@contextmanager
def join_world(device: str) -> Iterator[World]:
    """This process's place among those that torchrun started, for as long as the context lasts; else it is alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(0, 1, choose_device(device))
        return
    chosen = choose_device(device, int(os.environ.get("LOCAL_RANK", "0")))
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
        # Not when the context ends: torchrun's store remembers the first meeting, and a second one would hang.
        atexit.register(_part)
    talk = dist.new_group(backend="gloo")
    try:
        yield World(dist.get_rank(), dist.get_world_size(), chosen, talk)
    finally:
        dist.destroy_process_group(talk)


def _part() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
