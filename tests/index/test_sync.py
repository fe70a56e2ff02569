"""Sync: the index follows the store, writes nothing twice, and survives being killed."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pandas as pd
import pytest

from slidelake.errors import IndexMissingError, IndexStaleError, IndexStateError
from slidelake.index import SlideIndex
from slidelake.index import sync as sync_module
from slidelake.index.lock import writer_lock
from slidelake.store import FeatureStore
from tests.index.lakes import MEAN, SPACE, coords, features, make_lake, put_pooled, put_slide

TABLE = "patches__256px-0.5mpp__toy.0123abcd"


def rows_of(folder: Path, table: str = TABLE) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = lancedb.connect(folder / "index").open_table(table).to_arrow().to_pylist()
    return found


def versions_of(folder: Path) -> dict[str, int]:
    database = lancedb.connect(folder / "index")
    return {name: database.open_table(name).version for name in database.list_tables().tables}


def patches(folder: Path) -> Counter[tuple[str, int]]:
    return Counter((row["slide_id"], row["row"]) for row in rows_of(folder))


def test_first_sync_holds_every_patch_once(tmp_path: Path) -> None:
    store = make_lake(tmp_path / "lake")
    report = SlideIndex(store).sync()
    assert (report.added, report.replaced, report.removed, report.unchanged) == (6, 0, 0, 0)
    assert report.rows == 72
    found = patches(tmp_path / "lake")
    assert len(found) == 72
    assert set(found.values()) == {1}
    place = {
        (r["slide_id"], r["row"]): (r["x"], r["y"], r["tissue"], r["blur"])
        for r in rows_of(tmp_path / "lake")
    }
    assert place["S3", 7] == (512, 512, 200, 7)


def test_second_sync_writes_nothing(tmp_path: Path) -> None:
    store = make_lake(tmp_path / "lake")
    put_pooled(store, "S0")
    SlideIndex(store).sync()
    before = versions_of(tmp_path / "lake")
    report = SlideIndex(FeatureStore.open(tmp_path / "lake")).sync()
    assert not report.changed
    assert (report.unchanged, report.rows) == (7, 0)
    assert versions_of(tmp_path / "lake") == before


def test_sync_adds_replaces_and_removes(tmp_path: Path) -> None:
    store = make_lake(tmp_path / "lake")
    index = SlideIndex(store)
    index.sync()
    put_slide(store, "S9", features(9))
    put_slide(store, "S1", features(1, seed=5))
    store.close_epoch("S2")
    report = index.sync()
    assert (report.added, report.replaced, report.removed, report.unchanged) == (1, 1, 1, 4)
    found = patches(tmp_path / "lake")
    assert {slide for slide, _ in found} == {"S0", "S1", "S3", "S4", "S5", "S9"}
    assert set(found.values()) == {1}
    assert {r["generation"] for r in rows_of(tmp_path / "lake") if r["slide_id"] == "S1"} == {2}
    again = np.array([r["vector"] for r in rows_of(tmp_path / "lake") if r["slide_id"] == "S1"])
    new = features(1, seed=5).astype(np.float32)
    assert np.allclose(again, new / np.linalg.norm(new, axis=1, keepdims=True), atol=1e-3)


def test_a_slide_deleted_and_made_again_is_of_the_next_epoch(tmp_path: Path) -> None:
    store = make_lake(tmp_path / "lake", slides=2)
    index = SlideIndex(store)
    index.sync()
    store.close_epoch("S1")
    put_slide(store, "S1", features(1, 5))
    assert index.sync().replaced == 1
    assert {(r["epoch"], r["generation"]) for r in rows_of(tmp_path / "lake") if r["slide_id"] == "S1"} == {
        (2, 1)
    }
    assert sum(r["slide_id"] == "S1" for r in rows_of(tmp_path / "lake")) == 5


def test_every_slide_gone_leaves_an_empty_index(tmp_path: Path) -> None:
    store = make_lake(tmp_path / "lake", slides=1)
    index = SlideIndex(store)
    index.sync()
    store.close_epoch("S0")
    assert index.sync().removed == 1
    assert rows_of(tmp_path / "lake") == []
    assert not index.sync().changed


def test_unreadable_and_zero_rows_are_left_out(tmp_path: Path) -> None:
    store = FeatureStore.open(tmp_path / "lake", create=True)
    data = features(0)
    data[3] = data[5] = 0
    valid = np.ones(len(data), np.uint8)
    valid[3] = 0
    put_slide(store, "S0", data, valid=valid)
    report = SlideIndex(store).sync()
    assert (report.rows, report.left_out) == (10, 2)
    assert {row for _, row in patches(tmp_path / "lake")} == set(range(12)) - {3, 5}


def test_a_slide_without_patches_is_indexed_as_such(tmp_path: Path) -> None:
    store = FeatureStore.open(tmp_path / "lake", create=True)
    put_slide(store, "S0", features(0, 0))
    index = SlideIndex(store)
    assert (index.sync().added, index.sync().unchanged) == (1, 1)
    assert len(index.search_vector(np.ones(16), space=SPACE)) == 0


def test_large_features_are_normalised_before_the_cast(tmp_path: Path) -> None:
    store = FeatureStore.open(tmp_path / "lake", create=True)
    data = (features(0).astype(np.float32) * 1e30).astype(
        np.float32
    )  # float16 would hold inf, and so would squares
    put_slide(store, "S0", data)
    SlideIndex(store).sync()
    vectors = np.array([row["vector"] for row in rows_of(tmp_path / "lake")], np.float32)
    assert np.isfinite(vectors).all()
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=2e-3)


def test_metadata_follows_the_store_without_touching_vectors(tmp_path: Path) -> None:
    store = make_lake(tmp_path / "lake")
    index = SlideIndex(store)
    index.sync()
    before = versions_of(tmp_path / "lake")
    store.metadata.merge(pd.DataFrame({"slide_id": ["S0"], "site": ["tongue"]}))
    assert "metadata" in index.status()["state"]
    (note,) = index.search_vector(features(0)[0]).notes
    assert "metadata has changed" in note
    assert index.sync().relabelled == 1
    assert index.search_vector(features(0)[0]).notes == ()
    store.metadata.merge(
        pd.DataFrame({"slide_id": ["S0", "S1"], "Odd name. (µm)": [1.5, 2.5], "score": ["a", "b"]})
    )
    with pytest.raises(IndexStaleError, match="slidelake index sync"):
        index.search_vector(features(0)[0], where={"score": "a"})
    assert index.sync().relabelled == 2
    after = versions_of(tmp_path / "lake")
    assert after[TABLE] == before[TABLE]
    hits = index.search_vector(
        features(0)[0], where={"site": "tongue", "Odd name. (µm)": {"<": 2}, "score": "a"}
    )
    assert {hit.slide_id for hit in hits} == {"S0"}
    assert hits[0].metadata["Odd name. (µm)"] == 1.5
    assert not index.sync().changed


def test_patient_of_the_metadata_outranks_the_commit(tmp_path: Path) -> None:
    store = make_lake(tmp_path / "lake")
    store.metadata.merge(pd.DataFrame({"slide_id": ["S0"], "patient_id": ["Q"]}))
    index = SlideIndex(store)
    index.sync()
    patients = {hit.slide_id: hit.patient_id for hit in index.search_vector(features(0)[0], k=100)}
    assert patients["S0"] == "Q"
    assert patients["S1"] == "P0"


def test_index_of_another_store_is_made_anew(tmp_path: Path) -> None:
    one, two = make_lake(tmp_path / "one", slides=2), make_lake(tmp_path / "two", slides=3)
    SlideIndex(one).sync()
    shutil.copytree(tmp_path / "one" / "index", tmp_path / "two" / "index")
    assert SlideIndex(two).sync().added == 3
    assert set(patches(tmp_path / "two").values()) == {1}
    assert len(patches(tmp_path / "two")) == 36


def test_two_syncs_at_once_leave_no_duplicate(tmp_path: Path) -> None:
    folder = tmp_path / "lake"
    make_lake(folder)
    reports = []

    def work() -> None:
        reports.append(SlideIndex(FeatureStore.open(folder)).sync())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(report.added for report in reports) == [0, 0, 0, 6]
    assert set(patches(folder).values()) == {1}


def test_a_held_lock_is_reported_not_broken(tmp_path: Path) -> None:
    store = make_lake(tmp_path / "lake", slides=1)
    with writer_lock(store.objects), pytest.raises(IndexStateError, match="another process"):
        sync_module.synchronise(store, SlideIndex(store)._connection, exact_below=50_000, wait_s=0.2)
    assert SlideIndex(store).sync().added == 1


def test_leases_serialise_where_there_is_no_flock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slidelake.index.lock.fcntl", None)
    store = make_lake(tmp_path / "lake", slides=1)
    with writer_lock(store.objects) as renew:
        renew()
        with pytest.raises(IndexStateError, match="another process"), writer_lock(store.objects, wait_s=0.2):
            pass
    with writer_lock(store.objects, wait_s=0.2):
        pass
    monkeypatch.setattr("slidelake.index.lock._LEASE_S", -1.0)  # a holder that died: its lease runs out
    with writer_lock(store.objects) as renew:
        monkeypatch.undo()
        monkeypatch.setattr("slidelake.index.lock.fcntl", None)
        with (
            writer_lock(store.objects, wait_s=0.2),
            pytest.raises(IndexStateError, match="took over"),
        ):
            renew()
    assert SlideIndex(store).sync().added == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from slidelake.index import SlideIndex
from slidelake.index import slides_table, sync
from slidelake.store import FeatureStore

folder, where = sys.argv[1:]
def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
if where == "before the rows of slides":
    slides_table.SlidesTable.put = die
elif where == "before old vectors go":
    real = slides_table.SlidesTable.put
    def put(self, rows):
        real(self, rows)
        die()
    slides_table.SlidesTable.put = put
elif where == "before removed vectors go":
    real = slides_table.SlidesTable.remove
    def remove(self, keys):
        real(self, keys)
        if keys:
            die()
    slides_table.SlidesTable.remove = remove
SlideIndex(FeatureStore.open(folder)).sync()
"""


@pytest.mark.parametrize(
    "where", ["before the rows of slides", "before old vectors go", "before removed vectors go"]
)
def test_killed_between_its_writes_sync_leaves_no_duplicate(tmp_path: Path, where: str) -> None:
    folder = tmp_path / "lake"
    store = make_lake(folder, slides=4)
    index = SlideIndex(store)
    index.sync()
    put_slide(store, "S8", features(8))
    put_slide(store, "S1", features(1, seed=5))
    store.close_epoch("S2")
    script = tmp_path / "killed.py"
    script.write_text(textwrap.dedent(KILLED))
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    done = subprocess.run([sys.executable, script, folder, where], env=environment, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    # Before it is mended, a search shows each patch once at most, and none of an old commit.
    hits = index.search_vector(features(0)[0], space=SPACE, k=200)
    assert max(Counter((hit.slide_id, hit.row) for hit in hits).values()) == 1
    assert "S2" not in {hit.slide_id for hit in hits}
    index.sync()
    found = patches(folder)
    assert set(found.values()) == {1}
    assert len(found) == 48
    assert {slide for slide, _ in found} == {"S0", "S1", "S3", "S8"}
    assert {r["generation"] for r in rows_of(folder) if r["slide_id"] == "S1"} == {2}
    assert not index.sync().changed


def test_batches_are_bounded_and_progress_is_told(tmp_path: Path) -> None:
    store = make_lake(tmp_path / "lake")
    told: list[tuple[str, dict[str, Any]]] = []
    report = sync_module.synchronise(
        store,
        SlideIndex(store)._connection,
        exact_below=50_000,
        batch_bytes=2 * 12 * 16 * 2,  # two slides
        progress=lambda event, **fields: told.append((event, fields)),
    )
    assert report.added == 6
    assert versions_of(tmp_path / "lake")[TABLE] == 3
    assert told[0] == ("start", {"total": 6})
    assert [fields["slide_id"] for event, fields in told if event == "slide"] == [f"S{i}" for i in range(6)]
    assert told[-1][0] == "end"


def test_one_damaged_slide_is_named_and_keeps_no_other_out(tmp_path: Path) -> None:
    store = make_lake(tmp_path / "lake", slides=3)
    bag = store.bag("S1", SPACE)
    shutil.rmtree(Path(bag.path) / "features")
    report = SlideIndex(store).sync()
    assert report.added == 2
    assert [slide for slide, _ in report.failed] == ["S1"]
    assert {slide for slide, _ in patches(tmp_path / "lake")} == {"S0", "S2"}


def test_status_says_what_differs(tmp_path: Path) -> None:
    store = make_lake(tmp_path / "lake", slides=3)
    index = SlideIndex(store)
    assert index.status()["exists"] is False
    assert not (tmp_path / "lake" / "index").exists()
    index.sync()
    put_slide(store, "S8", features(8))
    put_slide(store, "S1", features(1, seed=5))
    store.close_epoch("S2")
    (table,) = index.status()["tables"]
    assert index.status()["state"] == "3 bags behind the store: run `slidelake index sync`"
    assert (table["missing"], table["changed"], table["gone"], table["rows"]) == (1, 1, 1, 36)
    index.sync()
    assert index.status()["stale"] == 0
    assert index.status()["state"] == "follows the store"


def test_many_fragments_are_compacted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slidelake.index.upkeep._MANY_FRAGMENTS", 4)
    store = make_lake(tmp_path / "lake")
    index = SlideIndex(store)
    sync_module.synchronise(store, index._connection, exact_below=50_000, batch_bytes=1)  # a fragment a slide
    database = lancedb.connect(tmp_path / "lake" / "index")
    for name in (TABLE, "slides"):
        assert database.open_table(name).stats()["fragment_stats"]["num_fragments"] == 1
    assert set(patches(tmp_path / "lake").values()) == {1}
    assert len(patches(tmp_path / "lake")) == 72
    assert not index.sync().changed


def test_many_rows_get_an_approximate_index(tmp_path: Path) -> None:
    store = FeatureStore.open(tmp_path / "lake", create=True)
    index = SlideIndex(store, exact_below=2000)
    put_slide(store, "S0", features(0, 1500))
    index.sync()
    assert index.status()["tables"][0]["approximate"] is False
    put_slide(store, "S1", features(1, 1500))
    index.sync()
    assert index.status()["tables"][0]["approximate"] is True
    put_slide(store, "S2", features(2, 1500))
    index.sync()
    assert index.status()["tables"][0]["unindexed_rows"] == 0
    before = versions_of(tmp_path / "lake")
    assert not index.sync().changed
    assert versions_of(tmp_path / "lake") == before


def test_a_store_in_memory_is_refused() -> None:
    store = FeatureStore.open("memory://lake-for-the-index", create=True)
    put_slide(store, "S0", features(0))
    index = SlideIndex(store)
    for ask in (index.sync, lambda: index.search_vector(np.ones(16)), lambda: index.search_patch("S0", 0, 0)):
        with pytest.raises(IndexStateError, match="memory"):
            ask()
    assert "memory" in index.status()["state"]


def test_search_before_any_sync_says_what_to_run(tmp_path: Path) -> None:
    store = make_lake(tmp_path / "lake", slides=1)
    with pytest.raises(IndexMissingError, match="slidelake index sync"):
        SlideIndex(store).search_vector(np.ones(16))
    assert not (tmp_path / "lake" / "index").exists()
    SlideIndex(store).sync()
    put_slide(store, "S0", features(0), encoder="other.89abcdef", at=coords(12))
    with pytest.raises(IndexMissingError, match="does not hold"):
        SlideIndex(store).search_vector(np.ones(16), space="other")
    assert MEAN
