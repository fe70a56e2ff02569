"""Conformance suites: what every place that a store can lie in must pass.

A back end's test is a subclass with one method, the way of zarr's `StoreTests`:

    class TestLocalObjects(ObjectsTests):
        @abstractmethod
    def new_url(self, tmp_path):
            return tmp_path / "store"

Needs pytest; nothing else of slidelake imports this module.
"""

import os
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from slidelake.errors import (
    AlreadyCommittedError,
    GridMismatchError,
    NotAStoreError,
    NotFiniteError,
    StoreError,
    StoreNotWritableError,
    StoreVersionError,
    UnknownSlideError,
    UnknownSpaceError,
    UsageError,
)
from slidelake.store.checksums import checksum
from slidelake.store.feature_store import FeatureStore
from slidelake.store.ids import fingerprint_id
from slidelake.store.objects import Objects
from slidelake.store.verify import verify

__all__ = ["ENCODER_ID", "GRID_ID", "FeatureStoreTests", "ObjectsTests", "add_slide"]

GRID_ID = "256px-0.5mpp"
ENCODER_ID = fingerprint_id("test-encoder", {"name": "test-encoder"})


def add_slide(
    store: FeatureStore,
    slide_id: str,
    *,
    rows: int = 300,
    dim: int = 8,
    seed: int = 0,
    encoder_id: str = ENCODER_ID,
    **provenance: Any,
) -> NDArray[np.float16]:
    """Commits an overview, a grid and a bag of random numbers; returns the (rows, dim) features."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, dim)).astype(np.float16)
    told = {"source_uri": f"file:///slides/{slide_id}.svs", "mpp_x": 0.5, **provenance}
    store.put_overview(
        slide_id,
        thumbnail=rng.integers(0, 256, (6, 8, 3), dtype=np.uint8),
        tissue_mask=rng.integers(0, 2, (3, 4), dtype=np.uint8),
        attributes={"slide_size": [4096, 3072]},
        provenance=told,
    )
    store.put_grid(
        slide_id,
        GRID_ID,
        coords=np.stack([np.arange(rows) % 16, np.arange(rows) // 16], axis=1) * 256,
        columns={name: rng.integers(0, 256, rows, dtype=np.uint8) for name in ("tissue", "blur")},
        attributes={"slide_size": [4096, 3072], "footprint_level0": [256.0, 256.0]},
        provenance=told,
    )
    with store.bag_writer(slide_id, GRID_ID, encoder_id, dim=dim) as writer:
        writer.write(features)
        writer.commit(told)
    return features


class ObjectsTests(ABC):
    """Keys, bytes, listings and put-if-absent."""

    @abstractmethod
    def new_url(self, tmp_path: Path) -> str | os.PathLike[str]:
        """Where a new, empty store may lie."""

    @pytest.fixture
    def objects(self, tmp_path: Path) -> Objects:
        return Objects(self.new_url(tmp_path))

    def test_put_read_list_delete(self, objects: Objects) -> None:
        assert objects.list("commits") == []
        assert objects.folders("commits") == []
        for key in ("commits/b/2.json", "commits/a/1.json", "commits/a/c/3.json", "other"):
            assert objects.put_if_absent(key, key.encode())
        assert objects.list("commits") == ["commits/a/1.json", "commits/a/c/3.json", "commits/b/2.json"]
        assert objects.list("") == ["commits/a/1.json", "commits/a/c/3.json", "commits/b/2.json", "other"]
        assert objects.folders("commits") == ["a", "b"]
        assert objects.folders("commits/a") == ["c"]
        assert objects.read("commits/a/1.json") == b"commits/a/1.json"
        assert objects.size("other") == 5
        assert objects.exists("other")
        assert not objects.exists("commits/a")
        objects.delete("other")
        objects.delete("other")
        assert not objects.exists("other")
        objects.delete_tree("commits/a")
        objects.delete_tree("commits/a")
        assert objects.list("") == ["commits/b/2.json"]

    def test_missing_key(self, objects: Objects) -> None:
        with pytest.raises(FileNotFoundError):
            objects.read("nothing/here")
        with pytest.raises(FileNotFoundError):
            objects.size("nothing/here")

    def test_the_first_put_stays(self, objects: Objects) -> None:
        assert objects.put_if_absent("k/1", b"first")
        assert not objects.put_if_absent("k/1", b"second")
        assert objects.read("k/1") == b"first"
        assert objects.list("k") == ["k/1"]

    def test_replace(self, objects: Objects) -> None:
        objects.replace("q/1", b"old")
        objects.replace("q/1", b"new")
        assert objects.read("q/1") == b"new"
        assert objects.list("q") == ["q/1"]

    def test_one_of_many_threads_wins(self, objects: Objects) -> None:
        for turn in range(20):
            won: list[int] = []
            gate = threading.Barrier(4)

            def put(me: int, turn: int = turn, won: list[int] = won, gate: Any = gate) -> None:
                gate.wait()
                if objects.put_if_absent(f"race/{turn}", b"%d" % me * 1000):
                    won.append(me)

            threads = [threading.Thread(target=put, args=(me,)) for me in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(won) == 1
            assert objects.read(f"race/{turn}") == b"%d" % won[0] * 1000

    @pytest.mark.parametrize("key", ["../out", "a/../../out", "/etc/passwd", "a//b", "a\\..\\b", "a\0b"])
    def test_no_key_leaves_the_store(self, objects: Objects, key: str) -> None:
        with pytest.raises(UsageError):
            objects.put_if_absent(key, b"x")
        with pytest.raises(UsageError):
            objects.delete_tree(key)

    def test_the_store_is_not_deleted_whole(self, objects: Objects) -> None:
        with pytest.raises(UsageError):
            objects.delete_tree("")

    def test_new_file(self, objects: Objects) -> None:
        file = objects.new_file("slides/x/c/0")
        file.write(b"abc")
        file.skip(5)
        file.write(b"d")
        file.finish()
        assert objects.read("slides/x/c/0") == b"abc\0\0\0\0\0d"

    def test_put_if_absent_is_probed(self, objects: Objects) -> None:
        objects.check_put_if_absent()
        assert objects.list("") == []
        assert objects.put_mode() in (
            "hard links",
            "exclusive create (no hard links here)",
            "conditional put",
        )
        assert objects.list("") == []

    def test_an_endpoint_that_ignores_the_condition_is_refused(
        self, objects: Objects, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def ignorant(key: str, data: bytes) -> bool:
            objects.replace(key, data)
            return True

        monkeypatch.setattr(objects, "put_if_absent", ignorant)
        with pytest.raises(StoreNotWritableError, match="conditional"):
            objects.check_put_if_absent()


class FeatureStoreTests(ABC):
    """A whole store: what is written is read, races have one winner, deletion holds."""

    @abstractmethod
    def new_url(self, tmp_path: Path) -> str | os.PathLike[str]:
        """Where a new, empty store may lie."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> FeatureStore:
        return FeatureStore.open(self.new_url(tmp_path), create=True)

    def test_open(self, tmp_path: Path) -> None:
        url = self.new_url(tmp_path)
        with pytest.raises(NotAStoreError, match="--store"):
            FeatureStore.open(url)
        made = FeatureStore.open(url, create=True, tissue_rule="rule7")
        again = FeatureStore.open(url, create=True, tissue_rule="other1")
        assert again.info == made.info
        assert again.info.tissue_rule == "rule7"
        assert again.info.hash_key not in repr(again.info)
        made.objects.replace("slidelake.json", b'{"format": 2}')
        with pytest.raises(StoreVersionError, match="newer"):
            FeatureStore.open(url)

    def test_an_empty_store(self, store: FeatureStore) -> None:
        assert store.slide_ids() == []
        assert store.spaces() == {}
        assert len(store.catalog()) == 0
        assert store.metadata.read().columns.tolist() == ["slide_id"]
        assert store.commit("S1", "overview") is None
        assert verify(store, deep=True).ok
        with pytest.raises(UnknownSlideError):
            store.bag("S1")
        with pytest.raises(UnknownSpaceError):
            store.resolve_space(None)

    def test_what_is_written_is_read(self, store: FeatureStore) -> None:
        features = add_slide(store, "S1", rows=300)
        assert store.slide_ids() == ["S1"]
        bag = store.bag("S1")
        assert len(bag) == 300
        assert bag.dim == 8
        assert bag.space == f"{GRID_ID}/{ENCODER_ID}"
        np.testing.assert_array_equal(bag.features, features)
        np.testing.assert_array_equal(bag.valid, np.ones(300, np.uint8))
        grid = store.grid("S1", GRID_ID)
        np.testing.assert_array_equal(bag.coords, grid.coords)
        assert grid.coords.dtype == np.int32
        assert grid.checksum == checksum(grid.coords) == bag.commit.grid_checksum
        assert set(grid.columns) == {"tissue", "blur"}
        assert store.overview("S1").thumbnail.shape == (6, 8, 3)
        assert store.overview("S1").attributes["slide_size"] == [4096, 3072]
        assert verify(store, deep=True).ok

    def test_two_writers_of_one_bag(self, store: FeatureStore) -> None:
        add_slide(store, "S1", encoder_id="other.00000000")
        first = store.bag_writer("S1", GRID_ID, ENCODER_ID, dim=2)
        second = store.bag_writer("S1", GRID_ID, ENCODER_ID, dim=2)
        first.write(np.ones((300, 2), np.float32))
        second.write(np.zeros((300, 2), np.float32))
        lost = first.attempt
        second.commit({"who": "second"})
        with pytest.raises(AlreadyCommittedError):
            first.commit({"who": "first"})
        assert store.objects.list(lost) == []
        assert store.bag("S1", ENCODER_ID).provenance == {"who": "second"}
        assert store.bag("S1", ENCODER_ID).commit.generation == 1

    def test_making_again_is_the_next_generation(self, store: FeatureStore) -> None:
        add_slide(store, "S1", seed=0)
        features = add_slide(store, "S1", seed=1)
        bag = store.bag("S1")
        assert bag.commit.generation == 2
        np.testing.assert_array_equal(bag.features, features)
        assert store.grid("S1", GRID_ID).commit.generation == 1
        assert store.overview("S1").commit.generation == 1

    def test_closing_an_epoch(self, store: FeatureStore) -> None:
        add_slide(store, "S1")
        late = store.bag_writer("S1", GRID_ID, "late.00000000", dim=2)
        late.write(np.ones((300, 2), np.float32))
        store.close_epoch("S1")
        assert store.slide_ids() == []
        assert store.state("S1").epoch == 2
        attempt = late.attempt
        with pytest.raises(StoreError, match="deleted"):
            late.commit({})
        assert store.objects.list(attempt) == []
        assert not any("late" in key for key in store.objects.list("commits"))
        with pytest.raises(UnknownSlideError):
            store.bag("S1")
        store.close_epoch("S1")
        assert store.state("S1").epoch == 2
        add_slide(store, "S1", rows=20, seed=3)
        assert store.bag("S1").commit.epoch == 2
        assert len(store.bag("S1")) == 20
        assert verify(store, deep=True).ok

    def test_rows_must_agree_with_the_grid(self, store: FeatureStore) -> None:
        add_slide(store, "S1")
        writer = store.bag_writer("S1", GRID_ID, "short.00000000", dim=2)
        writer.write(np.ones((299, 2), np.float32))
        attempt = writer.attempt
        with pytest.raises(GridMismatchError, match="299"):
            writer.commit({})
        assert store.objects.list(attempt) == []
        with (
            store.bag_writer("S1", GRID_ID, "long.00000000", dim=2) as writer,
            pytest.raises(GridMismatchError, match="301"),
        ):
            writer.write(np.ones((301, 2), np.float32))
        with pytest.raises(GridMismatchError, match="put_grid"):
            store.bag_writer("S1", "512px-0.5mpp", "x.00000000", dim=2)

    def test_an_abandoned_bag_leaves_nothing(self, store: FeatureStore) -> None:
        add_slide(store, "S1")
        before = store.objects.list("")
        with store.bag_writer("S1", GRID_ID, "x.00000000", dim=2) as writer:
            writer.write(np.ones((10, 2), np.float32))
        with (
            pytest.raises(NotFiniteError),
            store.bag_writer("S1", GRID_ID, "x.00000000", dim=2) as writer,
        ):
            writer.write(np.full((10, 2), np.nan, np.float32))
        assert store.objects.list("") == before

    def test_pooled(self, store: FeatureStore) -> None:
        add_slide(store, "S1")
        space = store.resolve_space()
        scores = np.linspace(-3, 3, 600, dtype=np.float32).reshape(2, 300)
        scores[0, 5] = -np.inf
        store.put_pooled(
            "S1",
            space,
            "abmil.12345678",
            embedding=np.ones((2, 4)),
            scores=scores,
            lse=np.array([-np.inf, 1.0]),
            provenance={},
        )
        pooled = store.pooled("S1", None, "abmil")
        assert pooled.embedding.dtype == np.float32
        assert pooled.scores is not None
        assert pooled.lse is not None
        np.testing.assert_array_equal(pooled.scores, scores)
        np.testing.assert_array_equal(pooled.lse, np.array([-np.inf, 1.0], np.float32))
        store.put_pooled("S1", space, "mean.12345678", embedding=np.ones((1, 8)), provenance={})
        assert store.pooled("S1", space, "mean.12345678").scores is None
        with pytest.raises(NotFiniteError):
            store.put_pooled("S1", space, "x.12345678", embedding=np.full((1, 8), np.inf), provenance={})
        assert verify(store, deep=True).ok

    def test_empty_grid(self, store: FeatureStore) -> None:
        add_slide(store, "S1", rows=0)
        bag = store.bag("S1")
        assert bag.features.shape == (0, 8)
        assert bag.coords.shape == (0, 2)
        assert bag.to_xarray().sizes["patch"] == 0
        assert verify(store, deep=True).ok

    def test_quarantine_and_runs(self, store: FeatureStore) -> None:
        store.quarantine.put("abc", {"why": "mpp-missing"})
        store.quarantine.put("abc", {"why": "unreadable"})
        assert store.quarantine.read_all() == [{"why": "unreadable", "key": "abc"}]
        store.quarantine.clear("abc")
        assert store.quarantine.read_all() == []
        store.put_run("run-1", {"asked": {}})
        with pytest.raises(AlreadyCommittedError):
            store.put_run("run-1", {"asked": {"again": True}})
        assert store.runs() == [{"asked": {}, "run_id": "run-1"}]
