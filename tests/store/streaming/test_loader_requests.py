"""BagLoader: requests that cannot be met are refused by name; what it needs to be sent elsewhere."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from slidelake.errors import StoreError, UnknownSlideError, UnknownSpaceError, UsageError
from slidelake.store import BagLoader, FeatureStore
from slidelake.store.streaming import (
    Classification,
    Labels,
    RandomRows,
)
from tests.store.streaming.bags import all_same, make_store

LENGTHS = [30, 700, 5, 260, 1, 90, 256, 0, 40, 515, 12]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """Bags of many lengths; tests read it and do not change it."""
    return make_store(tmp_path_factory.mktemp("loader") / "store", LENGTHS)


@pytest.fixture(scope="module")
def labels(store: FeatureStore) -> Labels:
    table = pd.DataFrame({"slide_id": store.slide_ids(), "grade": ["low", "high"] * 5 + ["low"]})
    return Labels.read(table, Classification("grade"), store=store)


def test_what_is_asked_wrongly(store: FeatureStore) -> None:
    for wrong, kind, message in [
        ({"slides": ["S99"]}, UnknownSlideError, "no such slide"),
        ({"slides": ["S01", "S01"]}, UsageError, "S01 more than once"),
        ({"slides": "S01"}, UsageError, "list of slide ids"),
        ({"space": "nothing"}, UnknownSpaceError, "no space nothing"),
        ({"space": []}, UsageError, "no space was named"),
        ({"unit": "case"}, UsageError, "cannot be a 'case'"),
        ({"layout": "ragged"}, UsageError, "layout is 'ragged'"),
        ({"on_error": "ignore"}, UsageError, "on_error is 'ignore'"),
        ({"balance": "site"}, UsageError, "balance is 'site'"),
        ({"read_ahead": -1}, UsageError, "read_ahead is -1"),
        ({"device": "nowhere"}, UsageError, "is no device"),
        ({"device": "meta"}, UsageError, "meta device"),
    ]:
        with pytest.raises(kind, match=message):
            BagLoader(store, **wrong)


def test_a_sampler_that_chooses_strangers_is_refused(store: FeatureStore) -> None:
    class Wrong:
        needs: frozenset[str] = frozenset()

        def __init__(self, rows: list[int]) -> None:
            self.rows = rows

        def choose(self, candidates: Any, rng: Any) -> Any:
            return np.array(self.rows, np.int64)

    for rows in ([0, 30], [3, 2], [4, 4]):
        with pytest.raises(UsageError, match="not candidates"):
            next(iter(BagLoader(store, slides=["S00"], sample=Wrong(rows))))


def test_it_pickles(store: FeatureStore, labels: Labels) -> None:
    loader = BagLoader(store, labels=labels, bags_per_batch=3, sample=RandomRows(9))
    next(iter(loader))
    copy = pickle.loads(pickle.dumps(loader))
    loader.set_epoch(1)
    copy.set_epoch(1)
    assert all_same(list(copy), list(loader))


def test_an_empty_store_has_no_space(tmp_path: Path) -> None:
    empty = FeatureStore.open(tmp_path / "store", create=True)
    with pytest.raises((UnknownSpaceError, StoreError)):
        BagLoader(empty)
