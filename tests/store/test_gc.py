"""gc: what is dead in two looks a grace apart goes, and nothing else, whoever writes and reads meanwhile."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from slidelake.errors import UsageError
from slidelake.store import FeatureStore, collect_garbage, verify
from slidelake.store.attempts import GC_GRACE, Attempt
from slidelake.store.layout import Subject
from slidelake.store.put_if_absent import ASIDE
from slidelake.store.testing import ENCODER_ID, GRID_ID, add_slide
from tests.repository import environment
from tests.store.crashing import Crash, crashing

NOW = datetime.now(UTC)
FIRST, SECOND = NOW + timedelta(minutes=1), NOW + timedelta(minutes=1) + GC_GRACE


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FeatureStore:
    url = str(tmp_path / "store") if request.param == "local" else f"memory://gc-{tmp_path.name}"
    return FeatureStore.open(url, create=True)


def again(store: FeatureStore, slide_id: str = "S1", value: int = 1) -> str:
    """One more generation of the slide's bag; its attempt."""
    with store.bag_writer(slide_id, GRID_ID, ENCODER_ID, dim=8) as writer:
        writer.write(np.full((300, 8), value, np.float32))
        return writer.commit({}).attempt


def half_written(store: FeatureStore) -> str:
    """An attempt whose writer was killed."""
    subject = Subject("bag", GRID_ID, "killed.00000000")
    attempt = Attempt(store.objects, store.state("S1"), subject, store.denied)
    attempt.put("features", np.ones((100, 8), np.float16), ("patch", "feature"))
    return attempt.path


def test_two_looks(store: FeatureStore) -> None:
    add_slide(store, "S1")
    add_slide(store, "S2", seed=2)
    first = store.bag("S1").commit
    live = again(store)
    killed = half_written(store)
    before = store.objects.list("commits") + store.objects.list("slides")
    look = collect_garbage(store, now=FIRST)
    assert look.removed == {}
    assert set(look.waiting) == {"superseded", "attempts"}
    assert look.waiting_until == SECOND
    assert store.objects.list("commits") + store.objects.list("slides") == before
    early = collect_garbage(store, now=SECOND - timedelta(seconds=1))
    assert early.removed == {}
    planned = collect_garbage(store, now=SECOND, dry_run=True)
    assert store.objects.list("commits") + store.objects.list("slides") == before
    done = collect_garbage(store, now=SECOND)
    assert done.removed == planned.removed
    assert done.removed_bytes == planned.removed_bytes > 100 * 8 * 2
    assert not store.objects.exists(first.key)
    assert store.objects.list(first.attempt) == []
    assert store.objects.list(killed) == []
    assert store.bag("S1").commit.attempt == live
    assert np.all(store.bag("S1").features == 1)
    assert verify(store, deep=True).ok
    assert collect_garbage(store, now=SECOND + GC_GRACE).removed == {}


def test_what_a_snapshot_names_stays(store: FeatureStore) -> None:
    features = add_slide(store, "S1")
    store.snapshots.create("v1")
    again(store)
    store.close_epoch("S1")
    add_slide(store, "S1", seed=5)
    collect_garbage(store, now=FIRST)
    collect_garbage(store, now=SECOND)
    np.testing.assert_array_equal(store.at("v1").bag("S1").features, features)
    assert verify(store, deep=True).ok
    store.snapshots.remove("v1")
    collect_garbage(store, now=SECOND + GC_GRACE)
    collect_garbage(store, now=SECOND + 2 * GC_GRACE)
    assert {key.rpartition("/")[2][:4] for key in store.objects.list("commits") if "bag" in key} == {"0002"}
    assert store.bag("S1").commit.epoch == 2


def test_an_attempt_that_becomes_a_commit_between_two_looks(store: FeatureStore) -> None:
    add_slide(store, "S1")
    with store.bag_writer("S1", GRID_ID, "slow.00000000", dim=2) as writer:
        writer.write(np.ones((300, 2), np.float32))
        collect_garbage(store, now=FIRST)
        commit = writer.commit({})
    collect_garbage(store, now=SECOND)
    assert verify(store, deep=True).ok
    # It is superseded right before the third look: the list in which it was an attempt does not count.
    with store.bag_writer("S1", GRID_ID, "slow.00000000", dim=2) as writer:
        writer.write(np.zeros((300, 2), np.float32))
        writer.commit({})
    collect_garbage(store, now=SECOND + timedelta(days=1))
    assert store.objects.list(commit.attempt)


def test_a_closed_epoch_and_its_void_commits(store: FeatureStore) -> None:
    add_slide(store, "S1")
    store.close_epoch("S1")
    add_slide(store, "S1", seed=3)
    void = store.bag("S1").commit.key.replace("000001.json", "000002.json")
    if store.objects.local is not None:
        store.objects.put_if_absent(void, b'{"form')
        (Path(store.url) / "commits" / f"{ASIDE}0011").write_bytes(b"x")
        os.utime(Path(store.url) / void, (1e9, 1e9))  # else it is waited for, as its writer may be at work
    assert collect_garbage(store, now=FIRST).removed == {}
    done = collect_garbage(store, now=SECOND + timedelta(minutes=2))
    assert done.removed["closed"] > 3
    # On object stores nothing is cut off.
    assert ("void" in done.removed) == ("aside" in done.removed) == (store.objects.local is not None)
    assert verify(store, deep=True).ok
    assert store.bag("S1").commit.epoch == 2
    # The mark of an epoch that others follow stays: it is what makes the later one the open one.
    assert len([key for key in store.objects.list("commits") if "closed" in key]) == 1


def _damage(store: FeatureStore, key: str) -> None:
    store.objects.replace(key, store.objects.read(key).replace(b'"attempt"', b'"attemp4"'))
    if store.objects.local is not None:
        os.utime(Path(store.url) / key, (1e9, 1e9))  # else it is waited for, as its writer may be at work


def test_a_damaged_commit_and_what_it_may_name_stay(store: FeatureStore) -> None:
    """One flipped bit is no reason to remove the arrays: restored from a copy, the commit is whole again."""
    features = add_slide(store, "S1")
    key = store.bag("S1").commit.key
    whole = store.objects.read(key)
    _damage(store, key)
    for now in (FIRST, SECOND):
        report = collect_garbage(store, now=now)
        assert report.damaged == [key]
        assert report.removed == report.waiting == {}
    store.objects.replace(key, whole)
    np.testing.assert_array_equal(store.bag("S1").features, features)
    assert verify(store, deep=True).ok
    store.close_epoch("S1")
    _damage(store, key)
    collect_garbage(store, now=FIRST)
    assert collect_garbage(store, now=SECOND).damaged == []
    assert not store.objects.exists(key)  # dead, whatever it says
    assert not store.objects.list("slides/S1/bags")


def test_a_crash_at_every_step_leaves_no_commit_without_its_data(tmp_path: Path) -> None:
    store = FeatureStore.open(tmp_path / "store", create=True)
    add_slide(store, "S1")
    for value in range(3):
        again(store, value=value)
    collect_garbage(store, now=FIRST)
    for k in range(10_000):
        try:
            collect_garbage(crashing(store, k), now=SECOND)
            break
        except Crash:
            for key in store.objects.list("commits"):
                assert store.objects.list(store.objects.read_json(key)["attempt"]), (k, key)
            assert verify(store).ok
    assert k > 20
    assert len(store.objects.folders(f"slides/S1/bags/{GRID_ID}/{ENCODER_ID}")) == 1
    assert verify(store, deep=True).ok


def test_nothing_but_attempts_is_removed_for_a_commit(tmp_path: Path) -> None:
    store = FeatureStore.open(tmp_path / "store", create=True)
    add_slide(store, "S1")
    first = store.bag("S1").commit
    again(store)
    path = Path(store.url) / first.key
    path.write_text(path.read_text().replace(first.attempt, "slides"))
    collect_garbage(store, now=FIRST)
    collect_garbage(store, now=SECOND)
    assert verify(store, deep=True).ok
    assert len(store.bag("S1").features) == 300
    with pytest.raises(UsageError):
        collect_garbage(store, grace=timedelta(days=-1))


# The same rules with a grace of two seconds: a writer gives an attempt up after one, a reader reads for less.
_WRITER = """
import sys, time
from datetime import timedelta
import numpy as np
import slidelake.store.attempts as attempts
from slidelake.errors import AlreadyCommittedError, StoreError
from slidelake.store import FeatureStore
attempts.GC_GRACE = timedelta(seconds=2)
store, me, until = FeatureStore.open(sys.argv[1]), int(sys.argv[2]), time.time() + float(sys.argv[3])
last = {}
n = 0
while time.time() < until:
    n += 1
    slide_id = f"S{n % 2}"
    with store.bag_writer(slide_id, "256px-0.5mpp", f"e{me}.00000000", dim=8) as writer:
        writer.write(np.full((300, 8), n % 100, np.float32))
        if n % 5 == 0:
            continue  # given up: an attempt that is never committed
        try:
            writer.commit({"n": n})
            last[slide_id] = n
        except AlreadyCommittedError:
            print("lost its own race", flush=True)
        except StoreError:
            pass  # too old on a busy machine
print("done", *(f"{slide_id}={n}" for slide_id, n in last.items()), flush=True)
"""

_READER = """
import sys, time
import numpy as np
from slidelake.errors import SlidelakeError
from slidelake.store import FeatureStore
store, until, reads = FeatureStore.open(sys.argv[1]), time.time() + float(sys.argv[2]), 0
while time.time() < until:
    for slide_id in ("S0", "S1"):
        for space in [s for s in store.spaces() if "/e" in s]:
            began = time.time()
            try:
                bag = store.bag(slide_id, space)
                rows = np.asarray(bag.features)
            except SlidelakeError as error:
                # Longer than the grace: then a reader must hold a snapshot.
                if time.time() - began < 1.5 and type(error).__name__ != "UnknownSpaceError":
                    print("violation:", error, flush=True)
                continue
            reads += 1
            if rows.shape != (300, 8) or not np.all(rows == rows[0, 0]):
                print("violation: torn", flush=True)
print("done", reads, flush=True)
"""


def _start(code: str, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def test_raced_with_writers_and_readers(tmp_path: Path) -> None:
    store = FeatureStore.open(tmp_path / "store", create=True)
    for n in range(2):
        add_slide(store, f"S{n}", seed=n)
    seconds = 4.0
    processes = [_start(_WRITER, store.url, me, seconds) for me in (0, 1)] + [
        _start(_READER, store.url, seconds)
    ]
    removed = 0
    grace = timedelta(seconds=2)
    while any(process.poll() is None for process in processes):
        report = collect_garbage(store, grace=grace)
        removed += sum(report.removed.values())
        time.sleep(0.05)
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert all(output.startswith("done") for output in outputs), outputs
    assert int(outputs[2].split()[1]) > 0
    assert verify(store, deep=True).ok
    for me in (0, 1):
        for word in outputs[me].split()[1:]:
            slide_id, n = word.split("=")
            assert store.bag(slide_id, f"e{me}").provenance == {"n": int(n)}
    # The last look may have begun before the last commit: two more, a grace apart.
    removed += sum(collect_garbage(store, grace=grace).removed.values())
    time.sleep(grace.total_seconds())
    removed += sum(collect_garbage(store, grace=grace).removed.values())
    assert removed > 0
    for slide_id in ("S0", "S1"):
        for me in (0, 1):
            assert len(store.objects.folders(f"slides/{slide_id}/bags/{GRID_ID}/e{me}.00000000")) == 1
