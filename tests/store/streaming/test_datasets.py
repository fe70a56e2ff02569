"""The loader's bags inside torch's own DataLoader, in this process and in workers."""

from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from slidelake.errors import UsageError
from slidelake.store import BagLoader, FeatureStore
from slidelake.store.streaming import BagDataset, BagStream, RandomRows, collate
from tests.store.streaming.bags import add_bag, all_same, make_store, same


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return make_store(tmp_path_factory.mktemp("datasets") / "store", [30, 7, 300, 12, 0, 90, 41])


def test_workers_share_the_batches(store: FeatureStore) -> None:
    loader = BagLoader(store, bags_per_batch=2, sample=RandomRows(20))
    expected = [list(BagLoader(store, bags_per_batch=2, sample=RandomRows(20)))]
    stream = BagStream(loader)
    assert len(stream) == 4
    here = DataLoader(stream, batch_size=None)
    assert all_same(list(here), expected[0])
    # Without set_epoch it is the same epoch again.
    assert all_same(list(here), expected[0])
    workers = DataLoader(
        stream, batch_size=None, num_workers=2, multiprocessing_context="spawn", persistent_workers=True
    )
    try:
        assert all_same(list(workers), expected[0])
        loader.set_epoch(1)
        second = list(loader)
        stream.set_epoch(1)
        assert all_same(list(workers), second)
        stream.set_epoch(1, step=3)
        assert all_same(list(workers), second[3:])
    finally:
        del workers
    with pytest.raises(UsageError, match="epoch -1"):
        stream.set_epoch(-1)


def test_one_bag_an_item(store: FeatureStore) -> None:
    loader = BagLoader(store, sample=RandomRows(20))
    bags = BagDataset(loader)
    assert len(bags) == 7
    assert [bags[n].bag_ids for n in range(7)] == [(bag_id,) for bag_id in loader.bag_ids]
    assert same(bags[-1], bags[6])
    with pytest.raises(IndexError):
        bags[7]
    (joined,) = DataLoader(bags, batch_size=7, collate_fn=collate)
    packed = next(iter(BagLoader(store, sample=RandomRows(20), bags_per_batch=7, shuffle=False)))
    assert same(joined, packed)
    before = bags[2].rows
    bags.set_epoch(1)
    assert not torch.equal(before, bags[2].rows)


def test_collate(store: FeatureStore, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to collate"):
        collate([])
    padded = BagDataset(BagLoader(store, layout="padded"))
    with pytest.raises(UsageError, match="only packed"):
        collate([padded[0]])
    two = make_store(tmp_path / "two", [20, 30])
    for number, rows in ((0, 4), (1, 6)):
        add_bag(two, number, rows, grid_id="512px-0.5mpp")
    spaces = ["256px-0.5mpp/test-encoder", "512px-0.5mpp/test-encoder"]
    loader = BagLoader(two, space=spaces, with_coords=False)
    bags = BagDataset(loader)
    joined = collate([bags[0], bags[1]])
    assert [each.tolist() for each in joined.cu_seqlens.values()] == [[0, 20, 50], [0, 4, 10]]
    assert [len(each) for each in joined.features.values()] == [50, 10]
    assert joined.coords is None
