"""Batches on a GPU: the same ones, in memory that is not used again too early."""

from pathlib import Path
from typing import Any

import pytest
import torch

from slidelake.errors import UsageError
from slidelake.store import BagLoader, Batch, FeatureStore
from slidelake.store.streaming import BagStream
from tests.store.streaming.bags import all_same, make_store


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return make_store(tmp_path / "store", [3000, 40, 2048, 1000, 1, 700], dim=256)


def test_the_cpu_needs_no_transfer(store: FeatureStore) -> None:
    assert not BagLoader(store, device="cpu").on_device
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="sees no GPU"):
            BagLoader(store, device="cuda")
        with pytest.raises(UsageError, match="page-locked memory needs a GPU"):
            BagLoader(store, pin_memory=True)


def work(batch: Batch) -> torch.Tensor:
    """Some work on the GPU that outlasts the loop's next steps."""
    features = batch.features.cuda().float()
    for _ in range(20):
        features = features.cumsum(0) / 100
    return features.sum(1)


@pytest.mark.gpu
@pytest.mark.parametrize("threads", ["auto", 0, 3])
def test_batches_on_a_gpu_are_the_same(store: FeatureStore, threads: Any) -> None:
    host = BagLoader(store, bags_per_batch=2)
    wanted = [work(batch) for _ in range(3) for batch in host]
    loader = BagLoader(store, bags_per_batch=2, device="cuda", read_ahead=threads)
    # The batch is let go of while the work on it waits: copies that follow may not take its memory yet.
    found = [work(batch) for _ in range(3) for batch in loader]
    assert len(found) == 9
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    on_gpu = list(BagLoader(store, bags_per_batch=2, device="cuda", read_ahead=threads))
    assert {tensor.device.type for batch in on_gpu for tensor in batch.tensors()} == {"cuda"}
    assert all_same([batch.to("cpu") for batch in on_gpu], list(BagLoader(store, bags_per_batch=2)))


@pytest.mark.gpu
def test_batches_for_a_gpu_lie_in_page_locked_memory(store: FeatureStore) -> None:
    (batch, *_) = BagLoader(store, pin_memory=True)
    assert all(tensor.is_pinned() for tensor in batch.tensors() if tensor.numel())


@pytest.mark.gpu
def test_workers_refuse_a_device(store: FeatureStore) -> None:
    stream = BagStream(BagLoader(store, device="cuda"))
    options: dict[str, Any] = {"batch_size": None, "num_workers": 1, "multiprocessing_context": "spawn"}
    with pytest.raises(UsageError, match="worker process"):
        list(torch.utils.data.DataLoader(stream, **options))
