"""Patches one by one: each once an epoch, mixed over slides, with their labels, on any number of threads and ranks."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from slidelake.errors import UsageError
from slidelake.store import FeatureStore, PatchLoader
from slidelake.store.streaming import PatchBatch, PatchLabels
from tests.store.streaming.bags import add_bag, features_of, make_store

LENGTHS = [100, 700, 3, 0, 250]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    store = make_store(tmp_path_factory.mktemp("patches") / "store", LENGTHS)
    add_bag(store, 5, 60, invalid=[0, 59])
    return store


@pytest.fixture(scope="module")
def labels(store: FeatureStore) -> PatchLabels:
    rows = [
        (f"S{n:02d}", x, y, "rare" if k < 20 else "common")
        for n in (0, 1)
        for k, (x, y) in enumerate(store.bag(f"S{n:02d}").coords[::2].tolist())
    ]
    return PatchLabels.read(pd.DataFrame(rows, columns=["slide_id", "x", "y", "label"]), store)


def seen(batches: Any) -> list[tuple[int, int]]:
    return [pair for b in batches for pair in zip(b.slides.tolist(), b.rows.tolist(), strict=True)]


def same(ones: list[PatchBatch], others: list[PatchBatch]) -> bool:
    return len(ones) == len(others) and all(
        (a.epoch, a.step) == (b.epoch, b.step)
        and torch.equal(a.features, b.features)
        and torch.equal(a.rows, b.rows)
        and torch.equal(a.slides, b.slides)
        for a, b in zip(ones, others, strict=True)
    )


def test_each_valid_patch_once(store: FeatureStore) -> None:
    loader = PatchLoader(store, batch_size=64, block=50, mixed=200, with_coords=True)
    assert "1111 patches of 6 slides" in repr(loader)
    batches = list(loader)
    assert len(batches) == len(loader) == 18
    assert [len(batch) for batch in batches] == [64] * 17 + [1111 - 17 * 64]
    there = [(n, row) for n, rows in enumerate(LENGTHS) for row in range(rows)]
    assert sorted(seen(batches)) == there + [(5, row) for row in range(1, 59)]
    batch = batches[3]
    for features, coords, slide, row in zip(
        batch.features, batch.coords, batch.slides, batch.rows, strict=True
    ):
        expected = features_of(int(slide), [*LENGTHS, 60][int(slide)])[int(row)]
        np.testing.assert_array_equal(features.numpy(), expected)
        np.testing.assert_array_equal(coords.numpy(), store.bag(f"S{int(slide):02d}").coords[int(row)])
    assert batch.targets is None
    # Neighbours are apart: a batch holds patches of several blocks.
    assert len(set(batch.rows.tolist())) > 30
    assert max(Counter(np.diff(np.sort(batch.rows.numpy())).tolist()).values()) < 60
    assert seen(loader) != seen(batches)
    plain = seen(PatchLoader(store, batch_size=64, shuffle=False))
    assert plain == sorted(plain)


@pytest.mark.parametrize("threads", ["auto", 1, 3])
def test_threads_change_nothing(store: FeatureStore, threads: int) -> None:
    options: dict[str, Any] = {"batch_size": 50, "block": 32, "mixed": 100, "seed": 5}
    expected = list(PatchLoader(store, read_ahead=0, **options))
    assert same(list(PatchLoader(store, read_ahead=threads, **options)), expected)
    assert not same(list(PatchLoader(store, **{**options, "seed": 6})), expected)


def test_labels_and_balance(store: FeatureStore, labels: PatchLabels) -> None:
    loader = PatchLoader(store, labels=labels, batch_size=100)
    assert loader.slide_ids == ("S00", "S01")
    assert loader.left_out["S04"] == "no labelled patch"
    batches = list(loader)
    assert len(seen(batches)) == len(set(seen(batches))) == 400
    for batch in batches:
        for slide, row, target in zip(batch.slides, batch.rows, batch.targets, strict=True):
            assert row % 2 == 0
            assert loader.classes[int(target)] == ("rare" if row < 40 else "common")
            assert slide in (0, 1)
    drawn = list(PatchLoader(store, labels=labels, batch_size=100, balance="class"))
    targets = torch.cat([batch.targets for batch in drawn])
    assert torch.bincount(targets).tolist() == [200, 200]
    turns = Counter(pair for pair, target in zip(seen(drawn), targets.tolist(), strict=True) if target == 1)
    assert len(turns) == 40
    assert set(turns.values()) == {5}
    with pytest.raises(UsageError, match="needs labels"):
        PatchLoader(store, balance="class")
    other = PatchLabels("512px-0.5mpp/x.00000000", [], *(np.empty(0, np.int64) for _ in range(3)), ["a"])
    with pytest.raises(UsageError, match="the labels are of 512px"):
        PatchLoader(store, space="256px-0.5mpp/test-encoder", labels=other)


@pytest.mark.parametrize("drop_last", [False, True])
def test_ranks_have_equal_steps_and_no_patch_in_common(store: FeatureStore, drop_last: bool) -> None:
    ranks = [
        list(PatchLoader(store, batch_size=50, block=20, mixed=90, rank=r, world_size=4, drop_last=drop_last))
        for r in range(4)
    ]
    assert len({tuple(len(batch) for batch in each) for each in ranks}) == 1
    pairs = [pair for each in ranks for pair in seen(each)]
    if drop_last:
        assert len(set(pairs)) == len(pairs) == 4 * 250
    else:
        assert len(pairs) == 1112
        assert len(set(pairs)) == 1111


def test_it_goes_on_where_it_stopped(store: FeatureStore) -> None:
    options: dict[str, Any] = {"batch_size": 130, "block": 64, "mixed": 300}
    whole = list(PatchLoader(store, **options))
    for stop in range(len(whole)):
        loader = PatchLoader(store, read_ahead=1, **options)
        for batch in loader:
            if batch.step == stop:
                break
        other = PatchLoader(store, read_ahead=0, **options)
        other.load_state_dict(json.loads(json.dumps(loader.state_dict())))
        assert same(list(other), whole[stop + 1 :])
        assert other.epoch == 1
    with pytest.raises(UsageError, match="batch_size=130, this loader has 7"):
        PatchLoader(store, batch_size=7).load_state_dict(PatchLoader(store, **options).state_dict())


def test_other_dtypes_and_nothing_at_all(store: FeatureStore, tmp_path: Path) -> None:
    assert next(iter(PatchLoader(store, dtype="bfloat16"))).features.dtype == torch.bfloat16
    assert next(iter(PatchLoader(store, dtype="float32", slides=["S02"]))).features.dtype == torch.float32
    none = PatchLoader(make_store(tmp_path / "none", [0]))
    assert len(none) == 0
    assert list(none) == []
    for wrong in ({"batch_size": 0}, {"block": 0}, {"mixed": -1}, {"batch_size": 1.5}):
        with pytest.raises(UsageError):
            PatchLoader(store, **wrong)
