"""Copies: everything once, then only what is new; deletions too; cut off anywhere, and gone on with."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from slidelake.errors import (
    NotAStoreError,
    StoreError,
    UnknownNameError,
    UnknownSlideError,
    UsageError,
)
from slidelake.store import FeatureStore, replicate, verify
from slidelake.store.testing import ENCODER_ID, GRID_ID, add_slide
from tests.store.copies import cohort, in_both, same, store, truth, url, writes
from tests.store.s3_server import Bucket

__all__ = ["cohort", "store", "url", "writes"]

SPACE = f"{GRID_ID}/{ENCODER_ID}"
OTHER = f"{GRID_ID}/other.00000000"
WRITES = ("put_if_absent", "replace", "delete", "delete_tree", "new_file", "upload")


@in_both
def test_a_copy_is_the_same_store(store: FeatureStore, url: str, writes: list[str]) -> None:
    report = replicate(store, url, verify=True)
    copy = same(store, url)
    assert (report.slides, report.already, report.commits, report.failed) == (3, 0, 12, [])
    assert report.bytes == sum(len(data) for key, data in truth(store).items() if key.startswith("slides/"))
    assert (report.snapshots, report.runs, report.metadata, report.foreign) == (1, 1, True, 0)
    assert copy.info == store.info
    assert copy.quarantine.read_all() == []
    for slide_id in store.slide_ids():
        mine, theirs = store.bag(slide_id, SPACE), copy.bag(slide_id, SPACE)
        np.testing.assert_array_equal(mine.features, theirs.features)
    assert copy.at("v1").bag("S0").commit.generation == 1
    assert verify(copy.at("v1"), deep=True).ok
    writes.clear()
    again = replicate(store, url)
    assert writes == []
    assert (again.changed, again.ok, again.slides, again.already) == (False, True, 3, 3)


def test_only_what_is_new_travels(store: FeatureStore, url: str, writes: list[str]) -> None:
    replicate(store, url)
    add_slide(store, "S2", rows=20, encoder_id="later.00000000")
    add_slide(store, "S3", rows=7)
    store.metadata.merge(pd.DataFrame({"slide_id": ["S3"], "site": ["bone"]}))
    store.snapshots.create("v2")
    store.snapshots.remove("v1")
    store.put_run("run-2", {})
    writes.clear()
    report = replicate(store, url)
    assert (report.slides, report.already, report.commits) == (4, 2, 4)
    assert (report.snapshots, report.runs, report.metadata) == (2, 1, True)
    assert {each.split("/")[1] for each in writes if " slides/" in each} == {"S2", "S3"}
    same(store, url)


def test_a_slide_made_anew_replaces_the_old_one(store: FeatureStore, url: str) -> None:
    replicate(store, url)
    store.close_epoch("S1")
    add_slide(store, "S1", rows=5, seed=4)
    report = replicate(store, url)
    copy = same(store, url)
    assert (report.commits, report.foreign, len(copy.bag("S1"))) == (3, 0, 5)
    # The snapshot still holds the older one.
    assert len(copy.at("v1").bag("S1")) == 20
    store.close_epoch("S2")
    replicate(store, url)
    assert same(store, url).slide_ids() == ["S0", "S1"]


@in_both
def test_a_deletion_goes_to_the_copy(store: FeatureStore, url: str) -> None:
    secret = store.bag("S1", SPACE).features[3].tobytes()
    replicate(store, url)
    store.delete_slide("S1")
    report = replicate(store, url)
    assert report.removed == 1
    copy = same(store, url)
    assert copy.slide_ids() == ["S0", "S2"]
    assert copy.at("v1").snapshot.gone == 1
    assert copy.denied.find(slide_id="S1") == "slide"
    for key in copy.objects.list(""):
        data = copy.objects.read(key)
        assert secret not in data
        assert b"S1" not in data
        assert "S1" not in key or key.endswith("~closed.json")
    assert not replicate(store, url).changed
    # Allowed again and made again: it comes back.
    store.denied.allow(slide_id="S1")
    add_slide(store, "S1", rows=6)
    assert replicate(store, url).commits == 3
    assert len(same(store, url).bag("S1")) == 6


def test_a_slide_that_the_store_lost_without_a_deletion_stays_at_the_copy(
    store: FeatureStore, url: str
) -> None:
    replicate(store, url)
    for key in store.objects.list("commits"):
        if "/S2/" in key:
            store.objects.delete(key)
    report = replicate(store, url)
    assert (report.removed, report.foreign) == (0, 3)
    assert FeatureStore.open(url).slide_ids() == ["S0", "S1", "S2"]


def test_a_part_is_copied_without_the_others_data(store: FeatureStore, url: str) -> None:
    report = replicate(store, url, slides=["s1"])
    assert (report.slides, report.commits, report.snapshots, report.runs) == (1, 4, 0, 0)
    copy = FeatureStore.open(url)
    assert copy.slide_ids() == ["S1"]
    assert copy.metadata.read().to_dict("list") == {"slide_id": ["S1"], "site": ["skin"]}
    for key in copy.objects.list(""):
        assert b"S0" not in copy.objects.read(key)
    assert not replicate(store, url, slides=["S1"]).changed
    more = replicate(store, url, spaces=["other"], slides=["S1", "S0"])
    assert (more.slides, more.changed) == (1, False)
    assert replicate(store, url, spaces=["test-encoder"]).commits == 7
    assert replicate(store, url).snapshots == 1
    same(store, url)
    with pytest.raises(UnknownSlideError, match="S77"):
        replicate(store, url, slides=["S77"])


def test_one_space(store: FeatureStore, url: str) -> None:
    report = replicate(store, url, spaces=["other"])
    copy = FeatureStore.open(url)
    assert (report.slides, copy.spaces()) == (1, {OTHER: 1})
    assert verify(copy, deep=True).ok


@in_both
def test_a_snapshot_alone(store: FeatureStore, url: str) -> None:
    report = replicate(store.at("v1"), url) if "memory" in url else replicate(store, url, snapshot="v1")
    assert (report.slides, report.commits, report.snapshots, report.runs) == (3, 10, 1, 0)
    copy = FeatureStore.open(url)
    assert copy.at("v1").states() == store.at("v1").states()
    assert copy.at("v1").metadata.read().equals(store.at("v1").metadata.read())
    assert copy.bag("S0").commit.generation == 1
    assert copy.spaces() == {SPACE: 3}
    assert verify(copy, deep=True).ok
    assert not replicate(store, url, snapshot="v1").changed
    with pytest.raises(UnknownNameError, match="v1"):
        replicate(store, url, snapshot="v9")
    replicate(store, url)
    same(store, url)


def test_places_that_are_refused(store: FeatureStore, tmp_path: Path) -> None:
    before = truth(store)
    for place in (store.url, f"{store.url}/inner", f"{store.url}/", tmp_path):
        with pytest.raises(UsageError, match="one lies in the other"):
            replicate(store, place)
    FeatureStore.open(tmp_path / "foreign", create=True)
    with pytest.raises(StoreError, match="is another store"):
        replicate(store, tmp_path / "foreign")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").touch()
    with pytest.raises(NotAStoreError, match="holds other things"):
        replicate(store, tmp_path / "thesis")
    assert truth(store) == before


def test_to_s3_and_back(store: FeatureStore, s3_bucket: Bucket, tmp_path: Path) -> None:
    url = f"{s3_bucket.url}/lake"
    assert replicate(store, url, slides=["S2"], verify=True).commits == 3
    assert not replicate(store, url, slides=["S2"]).changed
    assert replicate(FeatureStore.open(url), tmp_path / "back").commits == 3
    back = FeatureStore.open(tmp_path / "back")
    np.testing.assert_array_equal(back.bag("S2").features, store.bag("S2").features)
    assert verify(back, deep=True).ok


@pytest.mark.long
def test_all_of_it_to_s3(store: FeatureStore, s3_bucket: Bucket) -> None:
    url = f"{s3_bucket.url}/lake"
    assert replicate(store, url, verify=True).ok
    same(store, url)
    store.delete_slide("S2")
    assert replicate(store, url).removed == 1
    same(store, url)
    assert not replicate(store, url).changed


def test_the_report_is_json(store: FeatureStore, url: str) -> None:
    told: list[tuple[str, Any]] = []
    report = replicate(
        store, url, progress=lambda event, **fields: told.append((event, fields.get("total", fields)))
    )
    assert json.loads(json.dumps(report.to_dict()))["ok"] is True
    assert told[0] == ("start", 3)
    assert sorted(fields["slide_id"] for event, fields in told if event == "slide") == ["S0", "S1", "S2"]
    assert told[-1][0] == "end"
