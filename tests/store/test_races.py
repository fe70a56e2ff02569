"""Several processes at once, and one that is killed: done with real processes."""

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

_BAGS = """
import sys
import numpy as np
from slidelake.errors import AlreadyCommittedError
from slidelake.store import FeatureStore
store = FeatureStore.open(sys.argv[1])
for turn in range(5):
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


_BUSY = """
import sys
import numpy as np
from slidelake.store import FeatureStore
from slidelake.store.testing import add_slide
store = FeatureStore.open(sys.argv[1])
print("now", flush=True)
n = 0
while True:
    add_slide(store, f"S{n % 3}", rows=400, seed=n)
    n += 1
"""


def _start(code: str, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": "src"},
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


def test_two_processes_write_one_bag(tmp_path: Path) -> None:
    store = FeatureStore.open(tmp_path / "store", create=True)
    add_slide(store, "S1")
    writers = [_start(_BAGS, store.url, me) for me in (1, 2)]
    for turn in range(5):
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


def test_kills_at_any_moment(tmp_path: Path) -> None:
    store = FeatureStore.open(tmp_path / "store", create=True)
    committed = 0
    # Whatever the machine's speed, some of these fall into the writing of arrays, some into commits.
    for delay in (0.0, 0.013, 0.031, 0.057, 0.101, 0.15):
        writer = _start(_BUSY, store.url)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "now\n"
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        writer.communicate(timeout=60)
        report = verify(store, deep=True)
        assert report.ok, report.problems
        assert report.commits >= committed
        committed = report.commits
        for slide_id in store.slide_ids():
            assert store.state(slide_id).epoch == 1
    add_slide(store, "S0", rows=400)
    assert len(store.bag("S0").features) == 400
