"""A loader's bags as torch datasets, for programs that build a DataLoader themselves (Lightning and friends).

In one process a `BagLoader` alone is faster: worker processes hand batches over through shared memory, at about a
tenth of a local disk's rate. They pay where the trainer's own code needs the processes.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from slidelake.errors import UsageError
from slidelake.store.streaming.batch import Batch
from slidelake.store.streaming.loader import BagLoader
from slidelake.store.streaming.plan import Draw

__all__ = ["BagDataset", "BagStream", "collate"]


class _Epoch:
    """The epoch, in memory that worker processes share: persistent ones see it change."""

    def __init__(self, epoch: int) -> None:
        self._value = torch.tensor([epoch, 0], dtype=torch.int64)
        self._value.share_memory_()  # type: ignore[no-untyped-call]

    def get(self) -> tuple[int, int]:
        epoch, step = self._value.tolist()
        return int(epoch), int(step)

    def set(self, epoch: int, step: int) -> None:
        if epoch < 0 or step < 0:
            raise UsageError(f"epoch {epoch}, step {step} cannot be", remedy="Both count from 0.")
        self._value[0], self._value[1] = epoch, step


class BagStream(IterableDataset[Batch]):
    """The loader's batches: `DataLoader(BagStream(loader), batch_size=None, num_workers=2)`.

    Each worker makes every n-th batch, so the batches and their order are the loader's own, each once. The epoch is
    the one set with `set_epoch`, which the trainer calls before each, as with torch's DistributedSampler;
    `step` skips what was trained on before an interruption. Raises UsageError for a loader with `device=` in a
    worker process.
    """

    def __init__(self, loader: BagLoader) -> None:
        self.loader = loader
        self._epoch = _Epoch(loader.epoch)

    def set_epoch(self, epoch: int, step: int = 0) -> None:
        """What the next iteration streams: this epoch, from this step on."""
        self._epoch.set(epoch, step)

    def __len__(self) -> int:
        epoch, step = self._epoch.get()
        return max(0, len(self.loader.plan(epoch).steps) - step)

    def __iter__(self) -> Iterator[Batch]:
        epoch, step = self._epoch.get()
        plan = self.loader.plan(epoch)
        worker = get_worker_info()
        first, every = (0, 1) if worker is None else (worker.id, worker.num_workers)
        if worker is not None:
            _refuse_device(self.loader)
        return self.loader.batches(plan, range(step + first, len(plan.steps), every))


class BagDataset(Dataset[Batch]):
    """One bag an item, as a batch of one: `DataLoader(BagDataset(loader), batch_size=4, collate_fn=collate)`.

    The order is the DataLoader's; the loader's bag size, order and balance do not count. Rows are sampled and
    features augmented as the loader says, by the epoch set with `set_epoch`.
    """

    def __init__(self, loader: BagLoader) -> None:
        self.loader = loader
        self._epoch = _Epoch(loader.epoch)

    def set_epoch(self, epoch: int) -> None:
        """The epoch whose chance is used."""
        self._epoch.set(epoch, 0)

    def __len__(self) -> int:
        return len(self.loader.bag_ids)

    def __getitem__(self, index: int) -> Batch:
        number = int(index)
        if not -len(self) <= number < len(self):
            raise IndexError(f"bag {number} of {len(self)}")
        if get_worker_info() is not None:
            _refuse_device(self.loader)
        return self.loader.make([Draw(number % len(self), 0)], self._epoch.get()[0], number % len(self))


def collate(batches: Sequence[Batch]) -> Batch:
    """Several packed batches as one (of a `BagDataset`'s items: the batch of those bags).

    Raises UsageError where there is none, or they are not packed.
    """
    if not batches:
        raise UsageError("there is nothing to collate", remedy="Give at least one batch.")
    if any(batch.mask is not None or isinstance(batch.features, list) for batch in batches):
        raise UsageError("only packed batches are collated", remedy="Make the loader with layout='packed'.")

    def joined(name: str) -> Any:
        values = [getattr(batch, name) for batch in batches]
        if values[0] is None:
            return None
        if isinstance(values[0], dict):
            return {key: torch.cat([value[key] for value in values]) for key in values[0]}
        return torch.cat(values)

    def ends(name: str) -> Any:
        values = [getattr(batch, name) for batch in batches]
        if isinstance(values[0], dict):
            return {key: _chained([value[key] for value in values]) for key in values[0]}
        return _chained(values)

    return Batch(
        features=joined("features"),
        cu_seqlens=ends("cu_seqlens"),
        bag_ids=tuple(each for batch in batches for each in batch.bag_ids),
        slide_ids=tuple(each for batch in batches for each in batch.slide_ids),
        patient_ids=tuple(each for batch in batches for each in batch.patient_ids),
        slide_seqlens=ends("slide_seqlens"),
        targets=joined("targets"),
        coords=joined("coords"),
        rows=joined("rows"),
        epoch=batches[0].epoch,
        step=batches[0].step,
    )


def _chained(borders: Sequence[torch.Tensor]) -> torch.Tensor:
    lengths = np.concatenate([np.diff(each.numpy()) for each in borders])
    return torch.from_numpy(np.cumsum(np.concatenate([[0], lengths])).astype(np.int32))


def _refuse_device(loader: BagLoader) -> None:
    if loader.on_device:
        raise UsageError(
            "a worker process cannot bring batches to a device",
            remedy="Make the loader without device=, and move batches with batch.to(device); or num_workers=0.",
        )
