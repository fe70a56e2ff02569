"""Copies: everything once, then only what is new; deletions too; cut off anywhere, and gone on with."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from slidelake.errors import (
    DamagedStoreError,
    NotAStoreError,
    StoreError,
    StoreFullError,
    UnknownNameError,
    UnknownSlideError,
    UsageError,
)
from slidelake.store import FeatureStore, Objects, replicate, verify
from slidelake.store.testing import ENCODER_ID, GRID_ID, add_slide
from tests.store.lakes import copy_of, make_cohort
from tests.store.s3_server import Bucket, s3_bucket, s3_server

__all__ = ["s3_bucket", "s3_server"]

SPACE = f"{GRID_ID}/{ENCODER_ID}"
OTHER = f"{GRID_ID}/other.00000000"
WRITES = ("put_if_absent", "replace", "delete", "delete_tree", "new_file", "upload")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three slides in one space, one of them in another too, pooled, with a run and a snapshot of an older bag."""
    store = FeatureStore.open(make_cohort(tmp_path_factory.mktemp("cohort") / "store"))
    store.put_pooled("S0", SPACE, "mean.00000000", embedding=np.ones((1, 2)), provenance={})
    store.snapshots.create("v1")
    add_slide(store, "S0", rows=20, seed=9)
    add_slide(store, "S1", rows=20, encoder_id="other.00000000")
    store.put_run("run-1", {"counts": {}})
    store.quarantine.put("q", {"uri": "file:///x.svs"})
    return store.objects.local or Path()


@pytest.fixture
def store(cohort: Path, tmp_path: Path) -> FeatureStore:
    return copy_of(cohort, tmp_path / "store", "local")


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    local = getattr(request, "param", "memory") == "local"
    return str(tmp_path / "copy") if local else f"memory://{tmp_path.name}-copy"


in_both = pytest.mark.parametrize("url", ["local", "memory"], indirect=True)


def _truth(store: FeatureStore) -> dict[str, bytes]:
    """What a copy must hold, byte for byte; metadata has generations of its own."""
    kept = ("slides/", "commits/", "runs/", "snapshots/", "denied/", "slidelake.json")
    return {key: store.objects.read(key) for key in store.objects.list("") if key.startswith(kept)}


def _same(store: FeatureStore, url: str) -> FeatureStore:
    copy = FeatureStore.open(url)
    assert _truth(copy) == _truth(store)
    assert copy.metadata.read().equals(store.metadata.read())
    assert verify(copy, deep=True).ok
    return copy


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    done: list[str] = []
    for name in WRITES:
        real = getattr(Objects, name)

        def counted(self: Objects, *given: Any, _name: str = name, _real: Any = real, **more: Any) -> Any:
            done.append(f"{_name} {given[0]}")
            return _real(self, *given, **more)

        monkeypatch.setattr(Objects, name, counted)
    return done


@in_both
def test_a_copy_is_the_same_store(store: FeatureStore, url: str, writes: list[str]) -> None:
    report = replicate(store, url, verify=True)
    copy = _same(store, url)
    assert (report.slides, report.already, report.commits, report.failed) == (3, 0, 12, [])
    assert report.bytes == sum(len(data) for key, data in _truth(store).items() if key.startswith("slides/"))
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
    _same(store, url)


def test_a_slide_made_anew_replaces_the_old_one(store: FeatureStore, url: str) -> None:
    replicate(store, url)
    store.close_epoch("S1")
    add_slide(store, "S1", rows=5, seed=4)
    report = replicate(store, url)
    copy = _same(store, url)
    assert (report.commits, report.foreign, len(copy.bag("S1"))) == (3, 0, 5)
    # The snapshot still holds the older one.
    assert len(copy.at("v1").bag("S1")) == 20
    store.close_epoch("S2")
    replicate(store, url)
    assert _same(store, url).slide_ids() == ["S0", "S1"]


@in_both
def test_a_deletion_goes_to_the_copy(store: FeatureStore, url: str) -> None:
    secret = store.bag("S1", SPACE).features[3].tobytes()
    replicate(store, url)
    store.delete_slide("S1")
    report = replicate(store, url)
    assert report.removed == 1
    copy = _same(store, url)
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
    assert len(_same(store, url).bag("S1")) == 6


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
    _same(store, url)
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
    _same(store, url)


def test_places_that_are_refused(store: FeatureStore, tmp_path: Path) -> None:
    before = _truth(store)
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
    assert _truth(store) == before


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
    _same(store, url)


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
        _same(store, url)


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
    _same(store, url)


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
    copy = _same(store, url)
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
    _same(store, str(where))
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
    _same(store, str(where))


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
    _same(store, url)
    store.delete_slide("S2")
    assert replicate(store, url).removed == 1
    _same(store, url)
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


def test_damage_is_an_error_of_its_own(store: FeatureStore, url: str) -> None:
    commit = store.bag("S2").commit
    body = {**commit.body, "attempt": "metadata/x/20260101T000000000000Z-000000000000"}
    store.objects.replace(commit.key, json.dumps(body).encode())
    report = replicate(store, url)
    assert report.damaged
    assert "not a place of its own" in report.failed[0][1]
    assert issubclass(DamagedStoreError, StoreError)
