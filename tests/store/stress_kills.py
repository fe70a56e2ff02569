"""Kills writers at random points, a thousand times, and looks after each whether anything was lost.

    python -m tests.store.stress_kills --rounds 1000 [--seed 0] [--store FOLDER] [--no-links]

Each round forks one or two writers from this warm process, which has no threads. They put overviews, grids, bags and
pooled embeddings of a few slides, make them again and end epochs, until SIGKILL meets them: at a moment of the
parent's choice, or at the n-th call of one kind (inside a write, before and after an fsync, a link, …). A writer says
through a pipe what `commit` returned to it; that is what must still be there, with its checksums, at the end.

After each round the store is verified; all along readers poll some rounds, and must meet whole bags or none; at the
end everything is read. The exit code is 1 where anything was violated. The last line is JSON.
"""

import argparse
import errno
import json
import os
import random
import selectors
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from slidelake.errors import (
    DamagedStoreError,
    SlidelakeError,
    StoreError,
    UnknownSlideError,
    UnknownSpaceError,
)
from slidelake.store import Commit, CommitKey, FeatureStore, commits, info, verify
from slidelake.store.put_if_absent import links_work
from tests.store.kill_points import STAGES, Plan, Stage, install

__all__ = ["Acknowledged", "check", "run"]

GRID_ID = "256px-0.5mpp"
SLIDES = ("S1", "S2")
ENCODERS = ("one.00000000", "two.00000000")
#: A store takes this many rounds; then a new one is begun, so that verifying stays quick.
ROUNDS_A_STORE = 20
_STEPS, _PATIENCE = 60, 60.0

#: Checksums by array, by the key of the commit that a writer was told of.
Acknowledged = dict[str, dict[str, str]]


def check(store: FeatureStore, acknowledged: Acknowledged, *, deep: bool = False) -> list[str]:
    """What is wrong with a store after kills: [] when nothing is."""
    found = [
        f"{problem.key}: {problem.problem}"
        for problem in verify(store, deep=deep).problems
        # Without hard links a writer can be killed inside its commit, which then never was.
        if not ("does not parse" in problem.problem and problem.key not in acknowledged)
    ]
    states = store.states()
    for key, checksums in acknowledged.items():
        parsed = CommitKey.parse(key)
        if parsed is None or parsed.epoch < states[parsed.slide_id].epoch:
            continue  # deleted since: its writer, or gc, may take it away
        try:
            there = {name: each["checksum"] for name, each in store.objects.read_json(key)["arrays"].items()}
        except (FileNotFoundError, ValueError) as exc:
            found.append(f"{key}: was committed, and is gone ({exc})")
            continue
        if there != checksums:
            found.append(f"{key}: was committed with other checksums")
    return found


def read_all(store: FeatureStore) -> list[str]:
    """Reads every bag as its users do: all rows are of the value that its commit names."""
    found = []
    for slide_id, state in store.states().items():
        for subject in state.keys:
            if subject.kind != "bag":
                continue
            key = state.keys[subject]
            commit = commits.latest_commit(store.objects, state, subject)
            if commit is None:
                continue  # void: see check
            try:
                bag = store.bag(slide_id, f"{subject.grid_id}/{subject.encoder_id}")
                rows = bag.array("features")
            except SlidelakeError as exc:
                # A reader may come too late for what a deletion takes away; for nothing else.
                if store.state(slide_id).epoch == state.epoch:
                    found.append(f"{key.key}: {type(exc).__name__}: {exc}")
                continue
            if not np.all(rows == bag.provenance["value"]) or len(rows) != len(bag.array("coords")):
                found.append(f"{key.key}: half a bag was read")
    return found


def work(
    store: FeatureStore, rng: random.Random, slides: tuple[str, ...], tell: Callable[[Commit], None]
) -> None:
    """Writes and writes, until it is killed, or has met no point of its plan in all this."""
    for _ in range(_STEPS):
        slide_id = rng.choice(slides)
        try:
            _one_step(store, rng, slide_id, tell)
        except DamagedStoreError:
            raise
        except (StoreError, UnknownSlideError, UnknownSpaceError):
            # Another writer was first, or ended the epoch meanwhile: nothing was promised.
            continue


def _one_step(store: FeatureStore, rng: random.Random, slide_id: str, tell: Callable[[Commit], None]) -> None:
    rows = 30 + 10 * store.state(slide_id).epoch
    if rng.random() < 0.05:
        store.close_epoch(slide_id)
        return
    told = {"source_uri": f"file:///{slide_id}.svs"}
    grey = np.full((6, 8, 3), 7, np.uint8)
    tell(
        store.put_overview(
            slide_id, thumbnail=grey, tissue_mask=grey[:, :, 0] % 2, attributes={}, provenance=told
        )
    )
    grid = store.put_grid(
        slide_id,
        GRID_ID,
        coords=np.stack([np.arange(rows), np.arange(rows)], axis=1) * 256,
        columns={"tissue": np.full(rows, 9, np.uint8)},
        attributes={},
        provenance=told,
    )
    tell(grid.commit)
    encoder_id, value = rng.choice(ENCODERS), rng.randrange(1, 1000)
    with store.bag_writer(slide_id, GRID_ID, encoder_id, dim=64) as writer:
        for first in range(0, len(grid), 16):
            writer.write(np.full((min(16, len(grid) - first), 64), value, np.float32))
        tell(writer.commit({**told, "value": value}))
    if rng.random() < 0.2:
        space = f"{GRID_ID}/{encoder_id}"
        tell(
            store.put_pooled(
                slide_id, space, "mean.00000000", embedding=np.ones((1, 64)), provenance={"value": value}
            )
        )


# The parent's side


@dataclass
class Child:
    """A forked process, what it said so far, and when it is killed (0: it kills itself, or is not)."""

    pid: int
    pipe: int
    stage: Stage
    kill_at: float = 0.0
    said: bytearray = field(default_factory=bytearray)
    status: int = 0


def fork(action: Callable[[int], None], kill_after: float = 0.0, stage: Stage | None = None) -> Child:
    """Runs `action(pipe)` in a child; it never comes back here."""
    if threading.active_count() != 1:
        raise RuntimeError("forking with threads is not safe")
    stage = stage or Stage()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return Child(pid, reading, stage, time.monotonic() + kill_after if kill_after else 0.0)
    code = 1
    try:
        os.close(reading)
        action(writing)
        code = 0
    except BaseException as exc:
        os.write(writing, f"error {type(exc).__name__}: {exc}\n".encode())
        raise
    finally:
        os._exit(code)


def wait(children: list[Child]) -> None:
    """Kills when it is time, collects what is said, until all are dead."""
    give_up = time.monotonic() + _PATIENCE
    with selectors.DefaultSelector() as selector:
        for child in children:
            selector.register(child.pipe, selectors.EVENT_READ, child)
        while selector.get_map():
            now = time.monotonic()
            for child in children:
                if (child.kill_at and now >= child.kill_at) or now >= give_up:
                    os.kill(child.pid, signal.SIGKILL)
                    child.kill_at = 0.0
            due = [child.kill_at for child in children if child.kill_at] + [give_up]
            for key, _ in selector.select(max(0.0, min(due) - now)):
                data = os.read(key.fd, 1 << 16)
                if data:
                    key.data.said += data
                else:
                    selector.unregister(key.fd)
                    os.close(key.fd)
    for child in children:
        child.status = os.waitpid(child.pid, 0)[1]


def run(rounds: int, seed: int, root: Path, say: Callable[[str], None] = print) -> dict[str, Any]:
    """All of it; returns the report."""
    rng = random.Random(seed)
    began = time.monotonic()
    killed_at: Counter[str] = Counter()
    violations: list[str] = []
    acknowledged: dict[Path, Acknowledged] = {}
    polls = 0
    folder, store = root, None
    root.mkdir(parents=True, exist_ok=True)
    # Without hard links nothing comes after one.
    stages = [name for name in STAGES if name != "after link" or links_work(root)]
    for turn in range(rounds):
        if turn % ROUNDS_A_STORE == 0:
            folder = root / f"{turn // ROUNDS_A_STORE:04d}"
            acknowledged[folder] = {}
            # Its making is cut off too.
            wait([_killed(rng, _maker(folder), stages)])
            store = FeatureStore.open(folder, create=True)
        assert store is not None
        known = len(violations)
        slides = SLIDES if rng.random() < 0.5 else SLIDES[:1]
        writers = [
            _killed(rng, _writer(store, seed, turn, n, slides), stages)
            for n in range(2 if rng.random() < 0.4 else 1)
        ]
        readers = [fork(_poller(store))] if turn % 10 == 0 else []
        polls += len(readers)
        wait(writers)
        for reader in readers:
            os.kill(reader.pid, signal.SIGTERM)
        wait(readers)
        for child in (*writers, *readers):
            _listen(child, acknowledged[folder], violations)
        killed_at.update(child.stage.name for child in writers if child.status == signal.SIGKILL)
        violations += check(store, acknowledged[folder])
        for each in violations[known:]:
            say(f"round {turn}, {folder}: {each}")
        if (turn + 1) % 50 == 0 or turn + 1 == rounds:
            count = sum(map(len, acknowledged.values()))
            rate = (turn + 1) / (time.monotonic() - began)
            say(
                f"{turn + 1} rounds, {killed_at.total()} kills, {count} commits acknowledged, "
                f"{len(violations)} violations, {rate:.1f} rounds/s"
            )
    for folder, keys in acknowledged.items():
        child = fork(_deep(folder, keys))
        wait([child])
        _listen(child, {}, violations)
        if child.status:
            violations.append(f"{folder}: the last look ended with {child.status}")
    return {
        "rounds": rounds,
        "seed": seed,
        "seconds": round(time.monotonic() - began, 1),
        "kills": killed_at.total(),
        "kills_by_stage": dict(sorted(killed_at.items())),
        "acknowledged": sum(map(len, acknowledged.values())),
        "rounds_polled": polls,
        "violations": violations,
    }


def _killed(rng: random.Random, action: Callable[[int], None], stages: list[str]) -> Child:
    """A child that is killed by the clock, or by itself at a stage."""
    stage = Stage()
    by_clock = rng.random() < 0.4
    plan = None if by_clock else Plan(rng.choice(stages), rng.randrange(1, 40))

    def killed_somewhere(pipe: int) -> None:
        install(stage, plan)
        action(pipe)

    return fork(killed_somewhere, rng.uniform(0.002, 0.08) if by_clock else 0.0, stage)


def _maker(folder: Path) -> Callable[[int], None]:
    def action(pipe: int) -> None:
        FeatureStore.open(folder, create=True)

    return action


def _writer(
    store: FeatureStore, seed: int, turn: int, n: int, slides: tuple[str, ...]
) -> Callable[[int], None]:
    def action(pipe: int) -> None:
        def tell(commit: Commit) -> None:
            checksums = {name: each["checksum"] for name, each in commit.arrays.items()}
            # Less than PIPE_BUF: it arrives whole or not at all.
            os.write(pipe, f"committed {json.dumps([commit.key, checksums])}\n".encode())

        work(store, random.Random(f"{seed}-{turn}-{n}"), slides, tell)

    return action


def _poller(store: FeatureStore) -> Callable[[int], None]:
    def action(pipe: int) -> None:
        going = [True]
        signal.signal(signal.SIGTERM, lambda *_: going.clear())
        while going:
            for found in read_all(store):
                os.write(pipe, f"violation {found}\n".encode())

    return action


def _deep(folder: Path, keys: Acknowledged) -> Callable[[int], None]:
    def action(pipe: int) -> None:
        store = FeatureStore.open(folder)
        for found in [*check(store, keys, deep=True), *read_all(store)]:
            os.write(pipe, f"violation {found}\n".encode())

    return action


def _listen(child: Child, acknowledged: Acknowledged, violations: list[str]) -> None:
    # A last line without its end was cut off by the kill.
    for line in child.said.decode().split("\n")[:-1]:
        word, _, rest = line.partition(" ")
        if word == "committed":
            key, checksums = json.loads(rest)
            if acknowledged.setdefault(key, checksums) != checksums:
                violations.append(f"{key}: two writers were told that they had won")
        else:
            violations.append(rest if word == "violation" else line)


def without_links() -> None:
    """Makes this process and its children see a disk that knows no hard links."""

    def link(source: Any, target: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    os.link = link
    # A half commit is waited for; its writer is dead here, so a moment is enough.
    commits.VOID_AFTER = info.VOID_AFTER = 0.2


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=1000, help="how many times writers are killed")
    parser.add_argument(
        "--seed", type=int, default=0, help="of what is written, and of the points of the kills"
    )
    parser.add_argument("--store", type=Path, help="folder for the stores, kept (default: a temporary one)")
    parser.add_argument("--no-links", action="store_true", help="as on a disk without hard links")
    parser.add_argument(
        "--no-sync",
        action="store_true",
        help="fsync is met, not done: quicker, and a kill loses nothing by it",
    )
    arguments = parser.parse_args()
    if arguments.no_sync:
        os.fsync = lambda handle: None
    if arguments.no_links:
        without_links()
    with tempfile.TemporaryDirectory(prefix="slidelake-stress-") as folder:
        root = arguments.store or Path(folder)
        report = run(arguments.rounds, arguments.seed, root, lambda text: print(text, flush=True))
    print(json.dumps(report))
    return 1 if report["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
