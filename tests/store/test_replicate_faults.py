"""Copies that meet damage, full disks, deletions on their way, and SIGKILL."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from slidelake.errors import (
    DamagedStoreError,
    StoreError,
    StoreFullError,
)
from slidelake.store import FeatureStore, Objects, replicate, verify
from slidelake.store.testing import ENCODER_ID, GRID_ID, add_slide
from tests.store.copies import cohort, in_both, same, store, url

__all__ = ["cohort", "store", "url"]

SPACE = f"{GRID_ID}/{ENCODER_ID}"
OTHER = f"{GRID_ID}/other.00000000"
WRITES = ("put_if_absent", "replace", "delete", "delete_tree", "new_file", "upload")


@in_both
def test_damage_at_the_source_stays_there(store: FeatureStore, url: str) -> None:
    shard = next(Path(store.bag("S1", SPACE).path).glob("features/c/0/0"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    report = replicate(store, url)
    ((slide_id, why),) = report.failed
    assert slide_id == "S1"
    assert report.damaged
    assert "features" in why
    copy = FeatureStore.open(url)
    assert verify(copy, deep=True).ok
    assert copy.spaces() == {OTHER: 1, SPACE: 2}
    # Its snapshot waits until all that it pins is there.
    assert copy.snapshots.names() == []
    flipped = bytearray(whole)
    flipped[5] ^= 1
    shard.write_bytes(bytes(flipped))
    assert len(replicate(store, url, verify=True).failed) == 1
    shard.write_bytes(whole)
    assert replicate(store, url, verify=True).ok
    same(store, url)


def test_a_copy_that_others_wrote_is_told(store: FeatureStore, url: str) -> None:
    replicate(store, url)
    copy = FeatureStore.open(url)
    add_slide(copy, "S2", rows=20, seed=1)
    assert replicate(store, url).foreign == 1
    add_slide(store, "S2", rows=20, seed=2)
    # Of one key two commits: neither is overwritten, and it is said at the next that hides.
    key = store.bag("S2").commit.key
    assert copy.objects.read(key) != store.objects.read(key)
    assert replicate(store, url).foreign == 0


@pytest.mark.parametrize("block", [1, 1000, 8 * 2**20])
def test_large_files_travel_in_blocks(
    store: FeatureStore, url: str, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr("slidelake.store.copy_slide._BLOCK", block)
    largest: list[int] = [0]
    real = Objects.ranges

    def ranges(self: Objects, wanted: Any) -> Any:
        largest[0] = max([largest[0], *(end - start for _, start, end in wanted)])
        return real(self, wanted)

    monkeypatch.setattr(Objects, "ranges", ranges)
    if block == 1:
        replicate(store, url, slides=["S2"], spaces=["test-encoder"], threads=1)
        assert largest[0] == 1
    else:
        replicate(store, url, threads=2)
        assert largest[0] <= block
        same(store, url)


@in_both
def test_a_full_disk_ends_it_and_the_next_run_goes_on(
    store: FeatureStore, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Objects.put_if_absent
    commits: list[str] = []

    def full(self: Objects, key: str, data: bytes) -> bool:
        commits.append(key)
        if len(commits) > 6:
            raise StoreFullError("no space is left", remedy="Free some.")
        return real(self, key, data)

    monkeypatch.setattr(Objects, "put_if_absent", full)
    with pytest.raises(StoreFullError):
        replicate(store, url)
    monkeypatch.setattr(Objects, "put_if_absent", real)
    assert verify(FeatureStore.open(url), deep=True).ok
    assert replicate(store, url).ok
    same(store, url)


@pytest.mark.parametrize("when", ["slides/S1/", "commits/"])
def test_a_slide_deleted_while_it_travels(
    store: FeatureStore, url: str, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    real = Objects.exists
    done: list[str] = []

    def meddle(self: Objects, key: str) -> bool:
        if self.url != store.url and "/S1/" in key and "~bag~" in key and not done:
            done.append(key)
            store.delete_slide("S1")
        return real(self, key)

    real_put = Objects.put_if_absent

    def put(self: Objects, key: str, data: bytes) -> bool:
        if when == "commits/" and self.url != store.url and "/S1/" in key and "~bag~" in key and not done:
            done.append(key)
            store.delete_slide("S1")
        return real_put(self, key, data)

    if when == "commits/":
        monkeypatch.setattr(Objects, "put_if_absent", put)
    else:
        monkeypatch.setattr(Objects, "exists", meddle)
    replicate(store, url, threads=1)
    assert done
    copy = FeatureStore.open(url)
    assert not any("~bag~" in key for key in copy.objects.list("commits") if "/S1/" in key)
    monkeypatch.undo()
    replicate(store, url)
    copy = same(store, url)
    assert copy.slide_ids() == ["S0", "S2"]
    assert not any(key.startswith("slides/S1/") for key in copy.objects.list("slides"))


_KILLED = """
import sys
from slidelake.store import FeatureStore, Objects, replicate
turn, real = [0], Objects.{name}
def slow(self, *given, **more):
    done = real(self, *given, **more) if sys.argv[4] == "after" else None
    if self.url == sys.argv[2]:
        turn[0] += 1
        if turn[0] == int(sys.argv[3]):
            print("now", flush=True)
            sys.stdin.read()
    return done if sys.argv[4] == "after" else real(self, *given, **more)
Objects.{name} = slow
replicate(FeatureStore.open(sys.argv[1]), sys.argv[2], threads=1)
"""


@pytest.mark.parametrize(
    ("name", "turn", "when"),
    [("new_file", 30, "after"), ("put_if_absent", 6, "before"), ("replace", 2, "before")],
)
def test_killed_in_the_middle(store: FeatureStore, tmp_path: Path, name: str, turn: int, when: str) -> None:
    where = tmp_path / "copy"
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED.format(name=name), store.url, str(where), str(turn), when],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": "src"},
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        process.send_signal(signal.SIGKILL)
    assert verify(FeatureStore.open(where), deep=True).ok
    assert replicate(store, where).ok
    same(store, str(where))
    assert list((where / "slides").rglob(".aside-*")) == []


def test_a_torn_file_of_an_interrupted_copy_is_written_over(store: FeatureStore, tmp_path: Path) -> None:
    where = tmp_path / "copy"
    replicate(store, where)
    bag = FeatureStore.open(where).bag("S2")
    FeatureStore.open(where).objects.delete(bag.commit.key)
    shard = next(Path(bag.path).glob("features/c/0/0"))
    shard.write_bytes(b"\0" * shard.stat().st_size)
    shutil.rmtree(Path(bag.path) / "coords")
    assert replicate(store, where).commits == 1
    same(store, str(where))


def test_damage_is_an_error_of_its_own(store: FeatureStore, url: str) -> None:
    commit = store.bag("S2").commit
    body = {**commit.body, "attempt": "metadata/x/20260101T000000000000Z-000000000000"}
    store.objects.replace(commit.key, json.dumps(body).encode())
    report = replicate(store, url)
    assert report.damaged
    assert "not a place of its own" in report.failed[0][1]
    assert issubclass(DamagedStoreError, StoreError)
