"""Several processes at once, and one that is killed: done with real processes."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from slidelake.store import FeatureStore, verify
from slidelake.store.testing import GRID_ID, add_slide
from tests.repository import environment
from tests.store.s3_server import Bucket

_RACE = """
import sys, time
from slidelake.store import Objects
objects, me, start, rounds = Objects(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
if sys.argv[5] == "no-links":
    import errno, os
    def link(source, target):
        raise OSError(errno.EPERM, "Operation not permitted")
    os.link = link
for turn in range(rounds):
    while time.time() < start + turn * 0.01:
        pass
    if objects.put_if_absent(f"race/{turn:04d}", (me * 500).encode()):
        print(turn, flush=True)
"""

_NO_LINKS = """
import errno, os
def link(source, target):
    raise OSError(errno.EPERM, "Operation not permitted")
os.link = link
"""

_BAGS = """
import sys
import numpy as np
from slidelake.errors import AlreadyCommittedError
from slidelake.store import FeatureStore
store = FeatureStore.open(sys.argv[1])
for turn in range(3):
    with store.bag_writer("S1", "256px-0.5mpp", f"e{turn}.00000000", dim=2) as writer:
        writer.write(np.full((300, 2), int(sys.argv[2]), np.float32))
        print("ready", flush=True)
        sys.stdin.readline()
        try:
            writer.commit({"who": sys.argv[2]})
            print("won", flush=True)
        except AlreadyCommittedError:
            print("lost", flush=True)
"""

_KILLED = """
import sys
import numpy as np
from slidelake.store import FeatureStore
store = FeatureStore.open(sys.argv[1])
writer = store.bag_writer("S1", "256px-0.5mpp", "x.00000000", dim=64)
writer.write(np.ones((150, 64), np.float32))
if sys.argv[2] == "before-commit":
    writer.write(np.ones((150, 64), np.float32))
    def stop(*_):
        print("now", flush=True)
        sys.stdin.read()
    store.objects.put_if_absent = stop
    writer.commit({})
print("now", flush=True)
sys.stdin.read()
"""

# Bags of one value each, so that a reader can tell a half one; those of encoder `both` are made by all writers.
_ENCODERS = """
import json, sys
import numpy as np
from slidelake.errors import AlreadyCommittedError
from slidelake.store import FeatureStore
store, me, turns = FeatureStore.open(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for turn in range(turns):
    for encoder in (f"own{me}.00000000", "both.00000000"):
        with store.bag_writer("S1", "256px-0.5mpp", encoder, dim=16) as writer:
            writer.write(np.full((100, 16), 1 + me + 10 * turn, np.float32))
            writer.write(np.full((200, 16), 1 + me + 10 * turn, np.float32))
            try:
                commit = writer.commit({"value": 1 + me + 10 * turn})
            except AlreadyCommittedError:
                continue
            print(json.dumps({"key": commit.key, "checksum": commit.arrays["features"]["checksum"]}), flush=True)
"""

_POLL = """
import json, sys, threading
import numpy as np
from slidelake.store import FeatureStore, checksum
store = FeatureStore.open(sys.argv[1])
done = threading.Event()
print("ready", flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), done.set())).start()
looks, read, wrong = 0, 0, []
last = False
while True:
    last = done.is_set()
    for slide_id, state in store.states().items():
        for subject in state.keys:
            if subject.kind != "bag" or subject.encoder_id.startswith("test"):
                continue
            bag = store.bag(slide_id, f"{subject.grid_id}/{subject.encoder_id}")
            rows = bag.array("features")
            if rows.shape != (300, 16) or not np.all(rows == bag.provenance["value"]):
                wrong.append(bag.commit.key)
            if checksum(rows) != bag.commit.arrays["features"]["checksum"] or not bag.array("valid").all():
                wrong.append(bag.commit.key)
            read += 1
    looks += 1
    if last:
        break
print(json.dumps({"looks": looks, "read": read, "wrong": wrong}))
"""


def _start(code: str, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def _close(processes: "Sequence[subprocess.Popen[str]]") -> list[str]:
    return [process.communicate(timeout=60)[0] for process in processes]


@pytest.mark.parametrize("mode", ["links", "no-links"])
def test_one_of_several_processes_wins_each_key(tmp_path: Path, mode: str) -> None:
    rounds = 100
    start = time.time() + 1.5
    outputs = _close([_start(_RACE, tmp_path, me, start, rounds, mode) for me in "abc"])
    winners = {}
    for me, output in zip("abc", outputs, strict=True):
        for turn in map(int, output.split()):
            assert turn not in winners, "two winners"
            winners[turn] = me
    assert sorted(winners) == list(range(rounds))
    assert all((tmp_path / f"race/{turn:04d}").read_text() == me * 500 for turn, me in winners.items())
    assert len(list((tmp_path / "race").iterdir())) == rounds


@pytest.fixture(params=["links", "no-links", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Where a store lies, and what a process runs first to have it so."""
    if request.param == "s3":
        bucket: Bucket = request.getfixturevalue("s3_bucket")
        return f"{bucket.url}/store", ""
    return str(tmp_path / "store"), _NO_LINKS if request.param == "no-links" else ""


@pytest.mark.parametrize("first", ["", _NO_LINKS], ids=["links", "no-links"])
def test_two_processes_write_one_bag(tmp_path: Path, first: str) -> None:
    store = FeatureStore.open(tmp_path / "store", create=True)
    add_slide(store, "S1")
    writers = [_start(first + _BAGS, store.url, me) for me in (1, 2)]
    for turn in range(3):
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("\n")
            writer.stdin.flush()
        said = [writer.stdout.readline().strip() for writer in writers if writer.stdout]
        assert sorted(said) == ["lost", "won"]
        bag = store.bag("S1", f"e{turn}")
        winner = said.index("won") + 1
        assert bag.provenance == {"who": str(winner)}
        assert np.all(bag.features == winner)
        assert len(store.objects.folders(f"slides/S1/bags/{GRID_ID}/e{turn}.00000000")) == 1
    _close(writers)
    assert verify(store, deep=True).ok


def test_encoders_at_once_and_a_reader_that_polls(place: tuple[str, str]) -> None:
    """What each writer was told stands, what it was refused is gone, and no look ever met a half bag."""
    url, first = place
    store = FeatureStore.open(url, create=True)
    add_slide(store, "S1")
    turns = 2
    reader = _start(_POLL, store.url)
    writers = [_start(first + _ENCODERS, store.url, me, turns) for me in (0, 1)]
    for process in (reader, *writers):
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    told = [[json.loads(line) for line in output.splitlines()] for output in _close(writers)]
    saw = json.loads(_close([reader])[0])
    assert saw["wrong"] == []
    assert saw["looks"] >= 1
    assert saw["read"] >= 3, "the last look, after the writers, met all three"

    won = {each["key"]: each["checksum"] for side in told for each in side}
    assert len(won) == sum(map(len, told)), "a key was won twice"
    assert set(won) <= set(store.objects.list("commits"))
    for key, checksum in won.items():
        assert store.objects.read_json(key)["arrays"]["features"]["checksum"] == checksum
    for encoder in ("own0", "own1"):
        assert store.bag("S1", encoder).commit.generation == turns, "nobody else makes these: none is refused"
    shared = sum("~both." in key for key in won)
    assert turns <= shared <= 2 * turns
    assert store.bag("S1", "both").commit.generation == shared
    for encoder, count in (("own0", turns), ("own1", turns), ("both", shared)):
        attempts = store.objects.folders(f"slides/S1/bags/{GRID_ID}/{encoder}.00000000")
        assert len(attempts) == count, "a loser's attempt is left"
    assert verify(store, deep=True).ok


@pytest.mark.parametrize("moment", ["mid-write", "before-commit"])
def test_a_killed_writer_leaves_only_what_no_reader_sees(tmp_path: Path, moment: str) -> None:
    store = FeatureStore.open(tmp_path / "store", create=True)
    add_slide(store, "S1")
    before = store.objects.list("commits")
    writer = _start(_KILLED, store.url, moment)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "now\n"
    writer.send_signal(signal.SIGKILL)
    writer.communicate(timeout=60)
    assert writer.returncode == -signal.SIGKILL
    garbage = store.objects.list(f"slides/S1/bags/{GRID_ID}/x.00000000")
    assert garbage
    assert store.objects.list("commits") == before
    assert len(store.spaces()) == 1
    assert verify(store, deep=True).ok
    with store.bag_writer("S1", GRID_ID, "x.00000000", dim=64) as again:
        again.write(np.ones((300, 64), np.float32))
        again.commit({})
    assert store.bag("S1", "x").commit.generation == 1
    assert verify(store, deep=True).ok
