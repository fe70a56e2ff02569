"""What a kept catalog need not list again, and what it must."""

import json
import os
import random
import time
from pathlib import Path

import pandas as pd
import pytest

from slidelake.store import FeatureStore, listing
from slidelake.store.catalog import read_catalog
from slidelake.store.kept_catalog import KeptCatalog
from slidelake.store.layout import CommitKey, Subject, closed_key
from slidelake.store.testing import ENCODER_ID, GRID_ID, add_slide

SECOND = 1_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    store = FeatureStore.open(tmp_path / "store", create=True)
    for n in range(4):
        add_slide(store, f"S{n}", rows=5)
    return store


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The slides whose folders are listed."""
    names: list[str] = []
    real = listing._names

    def watch(folder: Path) -> list[str]:
        names.append(folder.name)
        return real(folder)

    monkeypatch.setattr(listing, "_names", watch)
    return names


def later(seconds: float) -> int:
    return time.time_ns() + round(seconds * SECOND)


def folder_of(store: FeatureStore, slide_id: str) -> Path:
    return Path(store.objects.url_of(closed_key(slide_id, 1))).parent


def fresh(store: FeatureStore) -> pd.DataFrame:
    """The catalog made from nothing."""
    store.objects.delete_tree("catalog")
    return store.catalog()


def test_settled_folders_are_not_listed_again(store: FeatureStore, listed: list[str]) -> None:
    first = read_catalog(store, now_ns=later(3))
    assert sorted(listed) == ["S0", "S1", "S2", "S3"]
    listed.clear()
    pd.testing.assert_frame_equal(store.catalog(), first)
    assert listed == []
    add_slide(store, "S2", rows=5, encoder_id="more.00000000")
    add_slide(store, "S9", rows=7)
    after = store.catalog()
    assert sorted(listed) == ["S2", "S9"]
    assert after.slide_id.tolist() == ["S0", "S1", "S2", "S3", "S9"]
    assert len(after.spaces[2]) == 2
    pd.testing.assert_frame_equal(after, fresh(store))


def test_what_changed_just_before_is_listed_again(store: FeatureStore, listed: list[str]) -> None:
    read_catalog(store, now_ns=later(1))
    listed.clear()
    read_catalog(store, now_ns=later(1))
    assert sorted(listed) == ["S0", "S1", "S2", "S3"]
    read_catalog(store, now_ns=later(3))
    listed.clear()
    store.catalog()
    assert listed == []


def test_the_file_system_tells_the_time(store: FeatureStore, listed: list[str]) -> None:
    for n in range(4):
        os.utime(folder_of(store, f"S{n}"))
    store.catalog()
    listed.clear()
    store.catalog()
    assert sorted(listed) == ["S0", "S1", "S2", "S3"]
    assert [each.name for each in Path(store.objects.url_of("catalog")).iterdir()] == ["slides.parquet"]


def test_a_commit_within_one_tick_is_seen(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the file system has not moved on, so the folder's times are as they were."""
    stamps = listing._stamps(Path(store.objects.url_of("commits")))
    monkeypatch.setattr(listing, "_stamps", lambda commits: stamps)
    now = max(max(stamp) for _, stamp in stamps.values())
    read_catalog(store, now_ns=now)
    add_slide(store, "S1", rows=5, encoder_id="more.00000000")
    assert len(read_catalog(store, now_ns=now).spaces[1]) == 2


def test_times_that_were_set_back_are_not_believed(store: FeatureStore) -> None:
    """As `cp -p` and archives do: nothing sets the ctime back."""
    read_catalog(store, now_ns=later(3))
    folder = folder_of(store, "S1")
    was = folder.stat()
    add_slide(store, "S1", rows=5, encoder_id="more.00000000")
    os.utime(folder, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert len(store.catalog().spaces[1]) == 2


def test_deleted_slides_leave_no_trace_in_the_file(store: FeatureStore) -> None:
    add_slide(store, "GONE-1", rows=5, patient_id="GONE-PATIENT")
    read_catalog(store, now_ns=later(3))
    assert b"GONE" in store.objects.read("catalog/slides.parquet")
    store.close_epoch("GONE-1")
    for _ in range(2):
        assert "GONE-1" not in store.catalog().slide_id.tolist()
        assert b"GONE" not in store.objects.read("catalog/slides.parquet")
    store.objects.delete_tree(closed_key("GONE-1", 1).rpartition("/")[0])
    assert len(store.catalog()) == 4


def test_an_older_file_put_back_is_brought_up_to_date(store: FeatureStore) -> None:
    read_catalog(store, now_ns=later(3))
    old = store.objects.read("catalog/slides.parquet")
    add_slide(store, "S0", rows=5, encoder_id="more.00000000")
    store.close_epoch("S3")
    now = store.catalog()
    store.objects.replace("catalog/slides.parquet", old)
    pd.testing.assert_frame_equal(store.catalog(), now)
    assert now.slide_id.tolist() == ["S0", "S1", "S2"]


def test_other_versions_of_the_file_are_made_again(store: FeatureStore) -> None:
    before = store.catalog()
    pd.DataFrame({"slide_id": ["X"], "digest": ["0"]}).to_parquet(
        store.objects.url_of("catalog/slides.parquet")
    )
    pd.testing.assert_frame_equal(store.catalog(), before)


def test_nothing_is_written_without_a_change(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    read_catalog(store, now_ns=later(3))
    kept: list[KeptCatalog] = []
    monkeypatch.setattr(KeptCatalog, "keep", lambda self, objects: kept.append(self))
    store.catalog()
    assert kept == []


@pytest.mark.parametrize("place", ["local", "remote"])
def test_whatever_happens_it_is_what_the_commits_say(tmp_path: Path, place: str) -> None:
    url = tmp_path / "store" if place == "local" else f"memory://{tmp_path.name}/store"
    store = FeatureStore.open(url, create=True)
    add_slide(store, "TEMPLATE", rows=5)
    commit = store.bag("TEMPLATE").commit
    rng = random.Random(5)
    now = time.time_ns()
    for step in range(40):
        slide_id = f"S{rng.randrange(8)}"
        state = store.state(slide_id)
        what = rng.random()
        if what < 0.6 or not state.keys:
            subject = Subject("bag", GRID_ID, rng.choice([ENCODER_ID, "b.00000000"]))
            key = CommitKey(slide_id, state.epoch, subject, state.generation(subject) + 1)
            store.objects.put_if_absent(key.key, json.dumps({**commit.body, "token": step}).encode())
        elif what < 0.9:
            store.close_epoch(slide_id)
        else:
            store.objects.delete_tree(key.key.rpartition("/")[0])
        now += rng.choice([0, SECOND // 2, 10 * SECOND])
        if rng.random() < 0.5:
            table = read_catalog(store, now_ns=now)
            kept = store.objects.read("catalog/slides.parquet")
            pd.testing.assert_frame_equal(table, fresh(store))
            store.objects.replace("catalog/slides.parquet", kept)


def test_remote_prefixes_that_did_not_change_are_not_taken_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FeatureStore.open(f"memory://{tmp_path.name}/store", create=True)
    for n in range(6):
        add_slide(store, f"S{n}", rows=5)
    before = store.catalog()
    taken: list[str] = []
    real = listing.states_of
    monkeypatch.setattr(listing, "states_of", lambda keys: real(taken.append(key) or key for key in keys))
    pd.testing.assert_frame_equal(store.catalog(), before)
    assert taken == []
    store.close_epoch("S2")
    assert store.catalog().slide_id.tolist() == ["S0", "S1", "S3", "S4", "S5"]
    assert {key.split("/")[2] for key in taken} == {"S2"}


def test_many_prefixes_are_listed_in_parallel(tmp_path: Path) -> None:
    store = FeatureStore.open(f"memory://{tmp_path.name}/store", create=True)
    subject = Subject("overview")
    keys = sorted(CommitKey(f"S{n}", 1, subject, 1).key for n in range(1500))
    for key in keys:
        store.objects.replace(key, b"{}")
    assert len(store.objects.folders("commits")) >= 250
    assert listing.list_commits(store.objects) == keys
    assert len(store.states()) == 1500
