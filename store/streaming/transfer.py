"""Batches to a GPU, copied from page-locked memory on a stream of their own while the GPU computes on another."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slidelake.errors import UsageError
from slidelake.store.streaming.batch import Batch

if TYPE_CHECKING:
    import torch

__all__ = ["Transfer", "check_pinning", "transfer_to"]


@dataclass
class Sent:
    """A batch on its way: the tensors on the device, which hold what they should once `done` has passed."""

    batch: Batch
    done: Any


class Transfer:
    """Copies to one CUDA device. `send` may be called in a thread that reads ahead, `receive` in the trainer's."""

    def __init__(self, device: "torch.device") -> None:
        self.device = device
        self._stream: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {"device": self.device, "_stream": None}

    def here(self) -> AbstractContextManager[Any]:
        """A context in which page-locked memory is this device's: threads begin on the first device."""
        import torch

        return torch.cuda.device(self.device)

    def send(self, batch: Batch) -> Sent:
        """Begins the copy, and does not wait for it."""
        import torch

        if self._stream is None:
            self._stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(self._stream):
            moved = batch.to(self.device, non_blocking=True)
            return Sent(moved, self._stream.record_event())

    def receive(self, sent: Sent) -> Batch:
        """The batch, for work on the current stream, which waits for the copy; the caller does not."""
        import torch

        stream = torch.cuda.current_stream(self.device)
        stream.wait_event(sent.done)
        for tensor in sent.batch.tensors():
            # Its memory belongs to the copying stream: it must not be used again before this one is through.
            tensor.record_stream(stream)
        return sent.batch


def check_pinning() -> None:
    """Raises UsageError where there is no page-locked memory to be had."""
    import torch

    if not torch.cuda.is_available():
        raise UsageError("page-locked memory needs a GPU", remedy="Leave pin_memory= out.")


def transfer_to(device: "torch.device | str | None") -> Transfer | None:
    """What brings batches to a device; None where they are made there (the CPU).

    Raises UsageError for a device that torch does not have here.
    """
    if device is None:
        return None
    import torch

    try:
        wanted = torch.device(device)
    except RuntimeError as exc:
        raise UsageError(f"{device!r} is no device ({exc})", remedy="Use 'cpu', 'cuda' or 'cuda:0'.") from exc
    if wanted.type == "cpu":
        return None
    if wanted.type != "cuda":
        raise UsageError(
            f"batches are not brought to a {wanted.type} device",
            remedy="Leave device= out, and move them with batch.to(device).",
        )
    if not torch.cuda.is_available():
        raise UsageError("torch sees no GPU here", remedy="Leave device= out, or install torch for CUDA.")
    # A thread that reads ahead has a current device of its own: which one is meant is said here.
    return Transfer(
        torch.device("cuda", torch.cuda.current_device() if wanted.index is None else wanted.index)
    )
