"""A loader goes on only where its batches would be the same: not after labels, sampling or bags changed."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from slidelake.errors import UnknownSlideError, UsageError
from slidelake.store import BagLoader, FeatureStore
from slidelake.store.streaming import Classification, Labels, PatchLabels, PatchLoader, RandomRows
from tests.store.streaming.bags import SPACE, add_bag, make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return make_store(tmp_path_factory.mktemp("resume") / "store", [30, 70, 5, 26])


def _labels(store: FeatureStore, *grades: str) -> Labels:
    table = pd.DataFrame({"slide_id": store.slide_ids(), "grade": grades})
    return Labels.read(table, Classification("grade"), store=store)


def test_labels_that_changed(store: FeatureStore) -> None:
    before, after = _labels(store, "a", "a", "b", "b"), _labels(store, "a", "b", "b", "b")
    balanced: dict[str, Any] = {"balance": "class"}
    state = BagLoader(store, labels=before, **balanced).state_dict()
    BagLoader(store, labels=before, **balanced).load_state_dict(state)
    with pytest.raises(UsageError, match="labels changed"):
        BagLoader(store, labels=after, **balanced).load_state_dict(state)
    # Where nothing is drawn by class, the batches are the same bags.
    BagLoader(store, labels=after).load_state_dict(BagLoader(store, labels=before).state_dict())


@pytest.mark.parametrize("options", [{"patches_per_batch": 60}, {"bags_per_batch": 2, "layout": "padded"}])
def test_sampling_that_changed(store: FeatureStore, options: dict[str, Any]) -> None:
    state = BagLoader(store, sample=RandomRows(10), **options).state_dict()
    with pytest.raises(UsageError, match="sampling"):
        BagLoader(store, sample=RandomRows(20), **options).load_state_dict(state)
    BagLoader(store, sample=RandomRows(10), **options).load_state_dict(state)


def test_patch_labels_that_changed(store: FeatureStore) -> None:
    def read(rows: list[int]) -> PatchLabels:
        x, y = store.bag("S00").coords[rows].T
        table = pd.DataFrame({"slide_id": "S00", "x": x, "y": y, "label": ["a", "b", "a"]})
        return PatchLabels.read(table, store=store, space=SPACE)

    state = PatchLoader(store, labels=read([0, 1, 2])).state_dict()
    PatchLoader(store, labels=read([0, 1, 2])).load_state_dict(state)
    with pytest.raises(UsageError, match="labels changed"):
        PatchLoader(store, labels=read([0, 1, 3])).load_state_dict(state)


def test_a_bag_that_is_collected_does_not_become_an_older_one(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", [20, 10])
    store.snapshots.create("v1")
    add_bag(store, 0, 20)
    loader = BagLoader(store)
    key = store.bag("S00").commit.key
    add_bag(store, 0, 20)
    store.objects.delete(key)  # what gc does in the end; the first generation stays for the snapshot
    with pytest.raises(UnknownSlideError, match="gone since the loader was made"):
        list(loader)
    assert np.isfinite(store.at("v1").bag("S00").features).all()
