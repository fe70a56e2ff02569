"""A store at a snapshot: it reads as it was, and cannot be written."""

import inspect
import logging
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from slidelake.errors import UnknownNameError, UnknownSlideError, UsageError
from slidelake.store import FeatureStore, Objects, collect_garbage, verify
from slidelake.store.pinned import ReadOnlyObjects
from slidelake.store.testing import ENCODER_ID, GRID_ID, add_slide
from tests.store.lakes import copy_of, make_cohort

SPACE = f"{GRID_ID}/{ENCODER_ID}"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = FeatureStore.open(make_cohort(tmp_path_factory.mktemp("cohort") / "store"))
    store.put_pooled("S0", SPACE, "mean.00000000", embedding=np.ones((1, 2)), provenance={})
    store.snapshots.create("v1")
    return store.objects.local or Path()


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, cohort: Path, tmp_path: Path) -> FeatureStore:
    return copy_of(cohort, tmp_path / "store", request.param)


def _go_on(store: FeatureStore) -> None:
    """The store goes on: a bag made again, a slide more, another encoder, one slide anew, other metadata."""
    add_slide(store, "S0", rows=20, seed=77)
    add_slide(store, "S3", rows=20)
    add_slide(store, "S1", rows=20, encoder_id="later.00000000")
    store.close_epoch("S2")
    add_slide(store, "S2", rows=5, patient_id="PX")
    store.put_pooled("S0", SPACE, "mean.00000000", embedding=np.zeros((1, 2)), provenance={})
    store.metadata.merge(pd.DataFrame({"slide_id": ["S0", "S2"], "site": ["larynx", "bone"], "age": [1, 2]}))


def test_it_reads_as_it_was(store: FeatureStore) -> None:
    states, catalog = store.states(), store.catalog()
    features = {slide_id: store.bag(slide_id).features for slide_id in store.slide_ids()}
    _go_on(store)
    store.catalog()
    kept = store.objects.read("catalog/slides.parquet")
    pinned = store.at("v1")
    assert pinned.states() == states
    assert pinned.slide_ids() == ["S0", "S1", "S2"]
    assert pinned.spaces() == {SPACE: 3}
    assert pinned.resolve_space() == SPACE
    for slide_id, expected in features.items():
        np.testing.assert_array_equal(pinned.bag(slide_id).features, expected)
    assert pinned.bag("s0").commit.generation == 1
    assert store.bag("S0").commit.generation == 2
    assert pinned.state("S2").epoch == 1
    assert len(pinned.grid("S2", GRID_ID)) == 20
    assert pinned.overview("S2").commit.epoch == 1
    assert pinned.pooled("S0", None, "mean").embedding.tolist() == [[1, 1]]
    commit = pinned.commit("S0", "bag", GRID_ID, ENCODER_ID)
    assert commit is not None
    assert commit.generation == 1
    assert pinned.commit("S1", "bag", GRID_ID, "later.00000000") is None
    assert pinned.metadata.read().to_dict("list") == {"slide_id": ["S0", "S1"], "site": ["lung", "skin"]}
    pd.testing.assert_frame_equal(pinned.catalog(), catalog)
    del pinned.catalog()["site"]
    assert "site" in pinned.catalog()
    assert store.objects.read("catalog/slides.parquet") == kept
    assert store.catalog().slide_id.tolist() == ["S0", "S1", "S2", "S3"]
    with pytest.raises(UnknownSlideError, match="no such slide in the snapshot v1 of"):
        pinned.bag("S3")
    assert verify(pinned, deep=True).ok
    assert verify(pinned).commits == 10


def test_slides_deleted_since_are_gone_and_counted(
    store: FeatureStore, caplog: pytest.LogCaptureFixture
) -> None:
    before = store.at("v1")
    store.close_epoch("S1")
    for key in list(store.at("v1").snapshot.commits):
        if "/S1/" in key:
            store.objects.delete(key)
    store.objects.delete_tree("slides/S1")
    store.snapshots.forget(["s1"])
    with pytest.raises(UnknownSlideError, match="deleted since"):
        before.bag("S1")
    assert before.metadata.read().slide_id.tolist() == ["S0"]
    with caplog.at_level(logging.WARNING):
        after = store.at("v1")
    assert [(record.message, record.gone) for record in caplog.records] == [  # type: ignore[attr-defined]
        ("slides of the snapshot were deleted since", 1)
    ]
    assert after.slide_ids() == ["S0", "S2"]
    with pytest.raises(UnknownSlideError, match="1 slides were deleted since"):
        after.bag("S1")
    assert verify(after, deep=True).ok


WRITES: dict[str, Callable[[FeatureStore], Any]] = {
    "a slide": lambda store: add_slide(store, "S8", rows=5),
    "a bag": lambda store: store.bag_writer("S0", GRID_ID, "x.00000000", dim=2),
    "a bag of the next epoch": lambda store: store.bag_writer(
        "S0", GRID_ID, "x.00000000", dim=2, coords=np.zeros((1, 2), int), replaces=1
    ),
    "pooled": lambda store: store.put_pooled(
        "S0", SPACE, "x.00000000", embedding=np.ones((1, 2)), provenance={}
    ),
    "the end of an epoch": lambda store: store.close_epoch("S0"),
    "metadata": lambda store: store.metadata.merge(pd.DataFrame({"slide_id": ["S0"], "site": ["x"]})),
    "a run": lambda store: store.put_run("run-9", {}),
    "quarantine": lambda store: store.quarantine.put("k", {}),
    "the end of a quarantine": lambda store: store.quarantine.clear("k"),
    "a snapshot": lambda store: store.snapshots.create("v2"),
    "a deletion from snapshots": lambda store: store.snapshots.forget(["S0"]),
    "the end of a snapshot": lambda store: store.snapshots.remove("v1"),
}


@pytest.mark.parametrize("what", WRITES)
def test_it_cannot_be_written(cohort: Path, tmp_path: Path, what: str) -> None:
    store = copy_of(cohort, tmp_path / "store", "memory")
    before = {key: store.objects.read(key) for key in store.objects.list("")}
    with pytest.raises(UsageError, match="the snapshot v1 cannot be written"):
        WRITES[what](store.at("v1"))
    assert {key: store.objects.read(key) for key in store.objects.list("")} == before


def test_each_way_to_change_objects_is_closed(tmp_path: Path) -> None:
    """A method that is new in Objects must be told apart here: does it read or write?"""
    reading = {
        "read",
        "ranges",
        "read_json",
        "size",
        "age",
        "exists",
        "list",
        "folders",
        "url_of",
        "zarr_store",
    }
    reading |= {"bucket_exists"}
    methods = {
        name for name, _ in inspect.getmembers(Objects, inspect.isfunction) if not name.startswith("_")
    }
    closed = {name for name in vars(ReadOnlyObjects) if not name.startswith("_")}
    assert methods == reading | closed
    objects = ReadOnlyObjects(str(tmp_path), "v1")
    for name in closed:
        parameters = inspect.signature(getattr(objects, name)).parameters.values()
        wanted = sum(each.kind is not inspect.Parameter.KEYWORD_ONLY for each in parameters)
        with pytest.raises(UsageError, match="cannot be written"):
            getattr(objects, name)(*["k"] * wanted)


def test_it_travels(store: FeatureStore) -> None:
    pinned = store.at("v1")
    data = pickle.dumps(pinned)
    pinned.states()
    assert len(pickle.dumps(pinned)) == len(data)
    _go_on(store)
    store.snapshots.forget(["S1"])
    back = pickle.loads(data)
    # What was opened before a deletion names the same slides in every worker.
    assert back.slide_ids() == ["S0", "S1", "S2"]
    assert repr(back) == repr(pinned) == f"FeatureStore({store.url!r}).at('v1')"
    np.testing.assert_array_equal(back.bag("S0").features, pinned.bag("S0").features)
    with pytest.raises(UsageError):
        back.put_run("r", {})


def test_another_snapshot_from_there(store: FeatureStore) -> None:
    _go_on(store)
    store.snapshots.create("v2")
    pinned = store.at("v1")
    assert pinned.at("v2").slide_ids() == ["S0", "S1", "S2", "S3"]
    assert pinned.at("v1").slide_ids() == ["S0", "S1", "S2"]
    with pytest.raises(UnknownNameError, match="v1, v2"):
        pinned.at("v3")


def test_a_catalog_of_some_spaces(store: FeatureStore) -> None:
    add_slide(store, "S1", rows=20, encoder_id="later.00000000")
    store.snapshots.create("later", spaces=["later"])
    frame = store.at("later").catalog()
    assert frame[["slide_id", "patient_id", "n_patches", "site"]].to_dict("records") == [
        {"slide_id": "S1", "patient_id": "P1", "n_patches": 20, "site": "skin"}
    ]
    assert frame.spaces.tolist() == [[f"{GRID_ID}/later.00000000"]]


def test_what_is_pinned_outlives_gc(store: FeatureStore) -> None:
    states = store.states()
    features = store.bag("S2").features
    _go_on(store)
    store.snapshots.create("v2")
    now = datetime.now(UTC)
    for days in (0, 8):
        collect_garbage(store, now=now + timedelta(days=days))
    assert store.at("v1").states() == states
    np.testing.assert_array_equal(store.at("v1").bag("S2").features, features)
    assert verify(store.at("v1"), deep=True).ok
    # When the snapshot goes, so does what only it held; the other's stays.
    path = store.at("v1").bag("S2").commit.attempt
    store.snapshots.remove("v1")
    for days in (9, 17):
        collect_garbage(store, now=now + timedelta(days=days))
    assert store.objects.list(path) == []
    assert verify(store.at("v2"), deep=True).ok
    assert verify(store, deep=True).ok
