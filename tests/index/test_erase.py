"""What is deleted leaves every file of the index: rows, older versions, tags, logs, approximate indexes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from slidelake.index import SlideIndex
from slidelake.index.connection import Connection
from slidelake.index.tables import normalise
from slidelake.store import FeatureStore
from tests.index.lakes import SPACE, features, make_lake, put_pooled, put_slide

GONE = "gone-slide"


def _lake(folder: Path, *, rows: int = 12) -> FeatureStore:
    store = make_lake(folder, slides=4, rows=rows)
    put_slide(store, GONE, features(9, 7), patient="gone-patient")
    for slide_id in store.slide_ids():
        put_pooled(store, slide_id)
    return store


def _found(store: FeatureStore) -> list[str]:
    vectors = normalise(features(9, 7))[0]
    needles = [GONE.encode(), b"gone-patient"]
    needles += [row.astype(kind).tobytes() for row in vectors for kind in (np.float16, np.float32)]
    files = [path for path in (Path(store.url) / "index").rglob("*") if path.is_file()]
    return [path.name for path in files if any(needle in path.read_bytes() for needle in needles)]


def test_few_rows_of_many(tmp_path: Path) -> None:
    # 7 of 4,007 rows: a compaction would leave the data file as it is.
    store = _lake(tmp_path / "lake", rows=1000)
    index = SlideIndex(store)
    index.sync()
    tagged = Connection(store).table("slides")
    assert tagged is not None
    tagged.tags.create("paper", tagged.version)
    assert len(_found(store)) >= 3
    assert index.denied_rows() == {}
    before = index.search_patch("S1", 0, 0, k=50)
    store.delete_slide(GONE)
    assert sum(index.denied_rows().values()) == 7 + 1 + 2
    report = index.erase_denied()
    assert report.rows == 10
    assert report.tags == ("slides: paper",)
    assert len(report.rewritten) == 3
    assert _found(store) == []
    assert index.denied_rows() == {}
    after = index.search_patch("S1", 0, 0, k=50)
    kept = [(hit.slide_id, hit.row) for hit in before if hit.slide_id != GONE]
    assert [(hit.slide_id, hit.row) for hit in after][: len(kept)] == kept
    assert not index.sync().changed
    assert index.erase_denied().rows == 0


def test_approximate_indexes_are_built_again(tmp_path: Path) -> None:
    store = _lake(tmp_path / "lake", rows=300)
    index = SlideIndex(store, exact_below=1000)
    index.sync()
    store.delete_slide(GONE)
    assert "bitmap_page_lookup.lance" in _found(store)
    index.erase_denied()
    assert _found(store) == []
    table = next(each for each in index.status()["tables"] if each["table"].startswith("patches"))
    assert table["approximate"]
    assert table["unindexed_rows"] == 0
    assert len(index.search_patch("S1", 0, 0, k=5)) == 5


def test_what_a_sync_took_out_before(tmp_path: Path) -> None:
    store = _lake(tmp_path / "lake", rows=500)
    index = SlideIndex(store)
    index.sync()
    store.delete_slide(GONE)
    assert index.sync().removed == 2
    assert _found(store), "a sync only hides the rows"
    index.erase_denied()
    assert _found(store) == []


def test_the_only_slide(tmp_path: Path) -> None:
    store = FeatureStore.open(tmp_path / "lake", create=True)
    put_slide(store, GONE, features(9, 7), patient="gone-patient")
    index = SlideIndex(store)
    assert index.erase_denied().rewritten == ()
    index.sync()
    store.delete_slide(GONE)
    assert index.erase_denied().rows == 8
    assert _found(store) == []
    assert not index.sync().changed
    store.denied.allow(slide_id=GONE)
    put_slide(store, GONE, features(9, 7), patient="gone-patient")
    assert index.sync().added == 1
    assert len(index.search_patch(GONE, 0, 0, k=3, space=SPACE)) == 3
