"""The local cache of a remote store's arrays: bounded, shared, and never in the stream's way."""

import errno
import os
import pickle
import uuid
from pathlib import Path
from typing import Any

import pytest

from slidelake.errors import DamagedStoreError, UsageError
from slidelake.store import BagLoader, FeatureStore, Objects
from slidelake.store.streaming import RandomRows
from slidelake.store.streaming import array_cache as module
from slidelake.store.streaming.array_cache import ArrayCache, open_cache
from tests.store.streaming.bags import all_same, make_store

ROWS = 1000
#: A features file of 1,000 rows, 8 columns, float16: 4 chunks of 256 rows, and their index.
FEATURES = 1024 * 16 + 4 * 16 + 4


@pytest.fixture(scope="module")
def store() -> FeatureStore:
    return make_store(f"memory://cache-{uuid.uuid4().hex}", [ROWS] * 6)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of features that were fetched from the store."""
    fetched: list[str] = []
    read = Objects.read

    def counted(self: Objects, key: str) -> bytes:
        if self.local is None and key.endswith("features/c/0/0"):
            fetched.append(key)
        return read(self, key)

    monkeypatch.setattr(Objects, "read", counted)
    return fetched


def cache_of(store: FeatureStore, folder: Path, size: int = 1 << 30) -> ArrayCache:
    cache = open_cache((folder, size), store, None)
    assert cache is not None
    return cache


def test_an_array_is_fetched_once(store: FeatureStore, tmp_path: Path, reads: list[str]) -> None:
    plain, loader = BagLoader(store, read_ahead=0), BagLoader(store, cache=tmp_path / "cache")
    expected = [batch for _ in range(2) for batch in plain]
    assert reads == []
    assert all_same([batch for _ in range(2) for batch in loader], expected)
    assert len(reads) == len(set(reads)) == 6
    # Another process finds them there.
    other = pickle.loads(pickle.dumps(BagLoader(store, cache=tmp_path / "cache")))
    assert all_same(list(other), expected[:6])
    assert len(reads) == 6
    rows = BagLoader(store, cache=tmp_path / "cache", sample=RandomRows(10))
    assert all_same(list(rows), list(BagLoader(store, sample=RandomRows(10))))
    assert len(reads) == 6


def test_what_was_used_least_recently_goes(store: FeatureStore, tmp_path: Path, reads: list[str]) -> None:
    room = 3 * (FEATURES + 1500)  # zarr.json is 1,000 bytes or so
    options: dict[str, Any] = {"with_coords": False, "shuffle": False, "read_ahead": 0}
    for number in range(3):
        list(BagLoader(store, cache=(tmp_path, room), slides=[f"S{number:02d}"], **options))
    assert len(reads) == 3
    for n, path in enumerate(sorted(tmp_path.rglob("features"))):
        os.utime(path, (n, n))  # long ago, S00 first
    list(BagLoader(store, cache=(tmp_path, room), slides=["S00"], **options))
    list(BagLoader(store, cache=(tmp_path, room), slides=["S03"], **options))
    assert len(reads) == 4
    kept = {path.parts[-6] for path in tmp_path.rglob("features")}
    assert {"S00", "S03"} <= kept
    assert "S01" not in kept
    assert cache_of(store, tmp_path).size() <= room
    # All of them, again and again: never above the bound.
    loader = BagLoader(store, cache=(tmp_path, room), **options)
    for _ in range(3):
        for _ in loader:
            assert cache_of(store, tmp_path).size() <= room
    assert list(tmp_path.rglob(".aside-*")) == []


def test_an_array_larger_than_the_cache_passes_by(store: FeatureStore, tmp_path: Path) -> None:
    assert all_same(list(BagLoader(store, cache=(tmp_path, 5000))), list(BagLoader(store)))
    assert list(tmp_path.rglob("features")) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_full_disk_costs_the_cache_not_the_stream(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    tried = []

    def full(self: Path, data: bytes) -> int:
        tried.append(self)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", full)
    loader = BagLoader(store, cache=tmp_path, read_ahead=0)
    assert all_same(list(loader), list(BagLoader(store)))
    assert len(tried) == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_broken_copy_is_fetched_again(store: FeatureStore, tmp_path: Path, reads: list[str]) -> None:
    expected = list(BagLoader(store))
    list(BagLoader(store, cache=tmp_path))
    shards = sorted(tmp_path.rglob("features/c/0/0"))
    shards[0].write_bytes(b"")
    shards[1].unlink()
    shards[2].write_bytes(shards[2].read_bytes()[:-10])
    reads.clear()
    assert all_same(list(BagLoader(store, cache=tmp_path)), expected)
    assert len(reads) == 3


def test_room_made_by_another_process_while_it_reads(store: FeatureStore, tmp_path: Path) -> None:
    loader = BagLoader(store, cache=tmp_path, read_ahead=0)
    first = list(loader)
    for path in tmp_path.rglob("features"):
        for each in sorted(path.rglob("*"), reverse=True):
            each.rmdir() if each.is_dir() else each.unlink()
        path.rmdir()
    loader.set_epoch(0)
    assert all_same(list(loader), first)


def test_damage_in_the_store_itself_is_raised(tmp_path: Path) -> None:
    store = make_store(f"memory://cache-{uuid.uuid4().hex}", [ROWS])
    key = f"{store.bag('S00').commit.attempt}/features/c/0/0"
    store.objects.replace(key, store.objects.read(key)[:-8])
    with pytest.raises(DamagedStoreError, match=r"^S00: "):
        list(BagLoader(store, cache=tmp_path))
    store.objects.delete(key)
    with pytest.raises(DamagedStoreError, match=r"^S00: "):
        list(BagLoader(store, cache=tmp_path))


def test_deleted_slides_leave_the_cache(tmp_path: Path) -> None:
    store = make_store(f"memory://cache-{uuid.uuid4().hex}", [ROWS, ROWS])
    list(BagLoader(store, cache=tmp_path))
    assert len(list(tmp_path.rglob("features"))) == 2
    store.close_epoch("S00")
    BagLoader(store, cache=tmp_path)
    assert [path.parts[-6] for path in tmp_path.rglob("features")] == ["S01"]
    assert not list(tmp_path.rglob("S00"))


def test_leftovers_are_cleared(store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    list(BagLoader(store, cache=tmp_path, slides=["S00"]))
    old, new = tmp_path / ".aside-old", tmp_path / ".aside-new"
    for path in (old, new):
        path.mkdir()
        (path / "zarr.json").write_text("{}")
    os.utime(old, (1, 1))
    monkeypatch.setattr(module, "_AFTER", 0.5)
    list(BagLoader(store, cache=(tmp_path, FEATURES * 3), slides=["S01", "S02", "S03"]))
    assert not old.exists()
    assert new.exists()


def test_what_cannot_be_a_cache(store: FeatureStore, tmp_path: Path) -> None:
    for wrong in ((tmp_path, 0), (tmp_path, "1G"), "s3://bucket/cache"):
        with pytest.raises(UsageError, match="cache"):
            BagLoader(store, cache=wrong)  # type: ignore[arg-type]
    local = make_store(tmp_path / "store", [5])
    list(BagLoader(local, cache=tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()
