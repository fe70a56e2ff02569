"""Snapshots pin what was live, whatever comes after, and a deletion goes through them."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest

from slidelake.errors import (
    AlreadyCommittedError,
    DamagedStoreError,
    StoreVersionError,
    UnknownNameError,
    UnknownSlideError,
    UsageError,
)
from slidelake.store import FeatureStore, Objects, verify
from slidelake.store.testing import ENCODER_ID, GRID_ID, add_slide
from tests.store.lakes import copy_of, make_cohort

SCHEMA = json.loads((files("slidelake.store") / "schemas/snapshot.json").read_text())
SPACE = f"{GRID_ID}/{ENCODER_ID}"
OTHER = "other.00000000"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cohort(tmp_path_factory.mktemp("cohort") / "store")


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, cohort: Path, tmp_path: Path) -> FeatureStore:
    return copy_of(cohort, tmp_path / "store", request.param)


def _bodies(store: FeatureStore) -> list[Any]:
    return [store.objects.read_json(key) for key in store.objects.list("snapshots") if key.endswith(".json")]


def _delete(store: FeatureStore, *slide_ids: str) -> None:
    """What a deletion does to the store, as far as snapshots are concerned."""
    for slide_id in slide_ids:
        store.close_epoch(slide_id)
        commits = [key for key in store.objects.list("commits") if f"/{slide_id}/" in key]
        for key in commits:
            if "closed" not in key:
                store.objects.delete(key)
        store.objects.delete_tree(f"slides/{slide_id}")
    store.snapshots.forget(slide_ids)


def test_a_snapshot_names_what_is_live(store: FeatureStore) -> None:
    made = store.snapshots.create("v1", "for the paper")
    assert store.snapshots.names() == ["v1"]
    assert store.snapshots.read("v1") == made
    assert (made.note, made.gone, made.generation, made.spaces) == ("for the paper", 0, 1, None)
    assert sorted(made.commits) == sorted(
        key.key for state in store.states().values() for key in state.keys.values()
    )
    assert store.snapshots.pinned() == set(made.commits)
    assert made.states == store.states()
    (body,) = _bodies(store)
    jsonschema.validate(body, SCHEMA)
    table = pd.read_parquet(store.objects.url_of(made.metadata)) if store.objects.local else None
    assert table is None or table.slide_id.tolist() == ["S0", "S1"]


def test_nothing_that_differs_is_no_new_one(store: FeatureStore) -> None:
    made = store.snapshots.create("v1", "first")
    before = store.objects.list("snapshots")
    assert store.snapshots.create("v1") == made
    assert store.objects.list("snapshots") == before
    with pytest.raises(AlreadyCommittedError, match="pins something else"):
        store.snapshots.create("v1", "another note")
    store.metadata.merge(pd.DataFrame({"slide_id": ["S0"], "site": ["larynx"]}))
    with pytest.raises(AlreadyCommittedError):
        store.snapshots.create("v1")
    store.metadata.merge(pd.DataFrame({"slide_id": ["S0"], "site": ["lung"]}))
    assert store.snapshots.create("v1") == made
    add_slide(store, "S3")
    with pytest.raises(AlreadyCommittedError):
        store.snapshots.create("v1")
    assert store.objects.list("snapshots") == before


def test_a_part_of_the_store(store: FeatureStore) -> None:
    add_slide(store, "S1", rows=20, encoder_id=OTHER)
    store.put_pooled("S1", SPACE, "mean.00000000", embedding=np.ones((1, 2)), provenance={})
    store.put_pooled("S1", f"{GRID_ID}/{OTHER}", "mean.00000000", embedding=np.ones((1, 2)), provenance={})
    some = store.snapshots.create("other", spaces=["other"])
    assert list(some.slides) == ["S1"]
    assert some.spaces == (f"{GRID_ID}/{OTHER}",)
    assert sorted(key.kind for key in some.states["S1"].keys) == ["bag", "grid", "overview", "pooled"]
    assert store.at("other").spaces() == {f"{GRID_ID}/{OTHER}": 1}
    two = store.snapshots.create("two", slides=["s2", "S0"])
    assert list(two.slides) == ["S0", "S2"]
    assert store.at("two").slide_ids() == ["S0", "S2"]
    for body in _bodies(store):
        jsonschema.validate(body, SCHEMA)
    with pytest.raises(UnknownSlideError, match="S7"):
        store.snapshots.create("x", slides=["S7"])
    with pytest.raises(UsageError, match="to pin"):
        store.snapshots.create("x", spaces=["other"], slides=["S0"])


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a~b", ".hidden", "x" * 81])
def test_names_are_slugs(store: FeatureStore, name: str) -> None:
    before = store.objects.list("")
    with pytest.raises(UsageError):
        store.snapshots.create(name)
    with pytest.raises(UsageError):
        store.at(name)
    assert store.objects.list("") == before


def test_an_empty_store_has_nothing_to_pin(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="to pin"):
        FeatureStore.open(tmp_path / "s", create=True).snapshots.create("v1")


def test_unknown_names_are_told(store: FeatureStore) -> None:
    with pytest.raises(UnknownNameError, match="slidelake snapshot NAME"):
        store.at("v1")
    store.snapshots.create("v1")
    with pytest.raises(UnknownNameError, match="There are: v1"):
        store.at("v2")


def test_a_deletion_goes_through_all_of_them(store: FeatureStore) -> None:
    store.snapshots.create("v1")
    store.snapshots.create("v2", slides=["S0", "S1"])
    store.snapshots.create("v3", slides=["S2"])
    _delete(store, "S1")
    for name, left, gone in (("v1", ["S0", "S2"], 1), ("v2", ["S0"], 1), ("v3", ["S2"], 0)):
        snapshot = store.snapshots.read(name)
        assert (list(snapshot.slides), snapshot.gone) == (left, gone)
        assert store.at(name).slide_ids() == left
        assert len(store.objects.list(f"snapshots/{name}")) == 1 + bool(snapshot.metadata)
    assert store.at("v1").metadata.read().to_dict("list") == {"slide_id": ["S0"], "site": ["lung"]}
    for key in store.objects.list("snapshots"):
        assert b"S1" not in store.objects.read(key)
        assert b"skin" not in store.objects.read(key)
    for body in _bodies(store):
        jsonschema.validate(body, SCHEMA)
    assert store.snapshots.forget(["S1", "never-there"]) == 0
    _delete(store, "S0", "S2")
    assert store.snapshots.read("v1").gone == 3
    assert store.at("v1").slide_ids() == []
    assert store.at("v1").catalog().empty


def test_a_forget_that_was_cut_off_is_finished(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.snapshots.create("v1")
    store.objects.put_if_absent("snapshots/v1/000001-feedfeedfeedfeed.parquet", b"S1 of a killed writer")
    store.objects.put_if_absent("snapshots/v0/000001-feedfeedfeedfeed.parquet", b"S1 of a killed writer")
    real = Objects.delete
    monkeypatch.setattr(Objects, "delete", lambda self, key: (_ for _ in ()).throw(OSError("cut off")))
    with pytest.raises(OSError, match="cut off"):
        store.snapshots.forget(["S1"])
    monkeypatch.setattr(Objects, "delete", real)
    store.snapshots.forget(["S1"])
    assert store.snapshots.read("v1").gone == 1
    assert len(store.objects.list("snapshots")) == 2
    assert all(b"S1" not in store.objects.read(key) for key in store.objects.list("snapshots"))


def test_two_that_forget_at_once(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.snapshots.create("v1")
    real = Objects.put_if_absent
    late: list[str] = []

    def slow(self: Objects, key: str, data: bytes) -> bool:
        if key.endswith("000002.json") and not late:
            late.append(key)
            # The other is quicker by two generations: number 2 is free again when this one comes to it.
            _delete(store, "S0")
            _delete(store, "S2")
            assert store.snapshots.read("v1").generation == 3
        return real(self, key, data)

    monkeypatch.setattr(Objects, "put_if_absent", slow)
    _delete(store, "S1")
    snapshot = store.snapshots.read("v1")
    assert (snapshot.slides, snapshot.gone, snapshot.generation) == ({}, 3, 4)
    assert store.objects.list("snapshots") == [snapshot.key]


@pytest.mark.parametrize("before", ["000001-", "000001.json"])
def test_a_slide_deleted_while_the_snapshot_is_made(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    real = Objects.put_if_absent
    done: list[str] = []

    def meddle(self: Objects, key: str, data: bytes) -> bool:
        if key.startswith(f"snapshots/v1/{before}") and not done:
            done.append(key)
            _delete(store, "S1")
        return real(self, key, data)

    monkeypatch.setattr(Objects, "put_if_absent", meddle)
    made = store.snapshots.create("v1")
    assert (list(made.slides), made.gone) == (["S0", "S2"], 1)
    assert store.at("v1").metadata.read().slide_id.tolist() == ["S0"]
    assert all(b"S1" not in store.objects.read(key) for key in store.objects.list("snapshots"))


def test_a_slide_made_again_while_the_snapshot_is_made_stays(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Objects.put_if_absent
    done: list[str] = []

    def meddle(self: Objects, key: str, data: bytes) -> bool:
        if key.startswith("snapshots/v1/") and not done:
            done.append(key)
            store.close_epoch("S1")
            add_slide(store, "S1", rows=7, seed=9)
        return real(self, key, data)

    monkeypatch.setattr(Objects, "put_if_absent", meddle)
    made = store.snapshots.create("v1")
    assert (list(made.slides), made.gone) == (["S0", "S1", "S2"], 0)
    assert (len(store.at("v1").bag("S1")), len(store.bag("S1"))) == (20, 7)


def test_of_two_that_make_one_name_the_first_wins(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Objects.put_if_absent
    done: list[str] = []

    def meddle(self: Objects, key: str, data: bytes) -> bool:
        if key == "snapshots/v1/000001.json" and not done:
            done.append(key)
            other = FeatureStore.open(store.url)
            add_slide(other, "S3")
            other.snapshots.create("v1")
        return real(self, key, data)

    monkeypatch.setattr(Objects, "put_if_absent", meddle)
    with pytest.raises(AlreadyCommittedError):
        store.snapshots.create("v1")
    assert len(store.objects.list("snapshots")) == 2
    assert store.at("v1").slide_ids() == ["S0", "S1", "S2", "S3"]


def test_removing_one(store: FeatureStore) -> None:
    store.snapshots.create("v1")
    store.snapshots.create("v2")
    store.snapshots.remove("v1")
    assert store.snapshots.names() == ["v2"]
    assert all(key.startswith("snapshots/v2/") for key in store.objects.list("snapshots"))
    with pytest.raises(UnknownNameError):
        store.snapshots.remove("v1")
    assert verify(store, deep=True).ok


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (b"", DamagedStoreError),
        (b"[]", DamagedStoreError),
        (b'{"format": 1}', DamagedStoreError),
        (b'{"format": 2}', StoreVersionError),
    ],
)
def test_damage_is_named(store: FeatureStore, damage: bytes, error: type[Exception]) -> None:
    key = store.snapshots.create("v1").key
    store.objects.replace(key, damage)
    with pytest.raises(error, match="v1"):
        store.at("v1")


def test_a_name_that_is_no_commit_is_damage(store: FeatureStore) -> None:
    snapshot = store.snapshots.create("v1")
    body = store.objects.read_json(snapshot.key)
    body["slides"]["S0"].append("0001~folder~../../x~000001")
    store.objects.replace(snapshot.key, json.dumps(body).encode())
    with pytest.raises(DamagedStoreError, match="no commit"):
        store.at("v1").slide_ids()


def test_a_table_that_is_gone_is_damage(store: FeatureStore) -> None:
    store.objects.delete(store.snapshots.create("v1").metadata)
    with pytest.raises(DamagedStoreError, match="metadata of the snapshot v1 is gone"):
        store.at("v1").metadata.read()
