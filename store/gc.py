"""Removes what nothing names any more, in two looks a grace apart, without leases (FORMAT.md, "gc").

A first look lists what is dead: attempts that no commit names, commits that a later generation or the closing
of their epoch superseded, with their arrays, and files that killed writers left beside. `gc/<time>.json` keeps
the list as keyed hashes. A later look, at least the grace after, removes what is still dead. A writer refuses
to commit an attempt older than half the grace, so that what is dead in both looks stays so; a reader that works
for longer than the grace holds a snapshot. With a smaller grace than the default both hold only where no writer
and no reader is at work.
"""

import hashlib
import hmac
import json
import logging
import secrets
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from slidelake.errors import UsageError
from slidelake.store.attempts import GC_GRACE
from slidelake.store.commits import Commit, is_damaged, parse_commit
from slidelake.store.deletion import closed_marks, closing_time, slides_anywhere, sweep
from slidelake.store.layout import COMMITS, CommitKey, closed_epoch, closed_key, commit_folder, states_of
from slidelake.store.leftovers import leftovers
from slidelake.store.objects import Objects

if TYPE_CHECKING:
    from slidelake.store.feature_store import FeatureStore

__all__ = ["GcReport", "collect_garbage"]

log = logging.getLogger(__name__)

_FOLDER = "gc"
_STAMP = "%Y%m%dT%H%M%S%fZ"
_READ_AT_ONCE = 16


@dataclass
class GcReport:
    """What a look removed, and what it listed for a later one: objects by kind, and bytes.

    Kinds: `attempts` (never committed), `superseded` and `closed` (commits with their arrays), `void` (commits
    that were cut off), `deleted` (closed marks of deleted slides), `aside` (files of killed writers).
    """

    dry_run: bool = False
    removed: dict[str, int] = field(default_factory=dict)
    removed_bytes: int = 0
    waiting: dict[str, int] = field(default_factory=dict)
    waiting_bytes: int = 0
    waiting_until: datetime | None = None
    swept: dict[str, int] = field(default_factory=dict)
    #: Keys of commits that are damaged, not cut off: they and their slides' attempts are left alone.
    damaged: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        until = self.waiting_until.isoformat(timespec="seconds") if self.waiting_until else None
        return {**asdict(self), "waiting_until": until}


@dataclass(frozen=True)
class _Dead:
    """One thing to remove: `marks` are the names by which an earlier look may have listed it."""

    kind: str
    marks: tuple[str, ...]
    commit: str = ""
    tree: str = ""
    file: str = ""


def collect_garbage(
    store: "FeatureStore",
    *,
    grace: timedelta = GC_GRACE,
    dry_run: bool = False,
    now: datetime | None = None,
) -> GcReport:
    """One look: removes what an earlier look, at least `grace` ago, found dead too, and lists the rest.

    What a deletion that was cut off left is removed at once. `dry_run` writes and removes nothing. `now` is the
    time of this look. Raises UsageError for a negative grace, NotAStoreError and others of the store.
    """
    if grace < timedelta(0):
        raise UsageError("the grace is negative", remedy="Give e.g. 7d, 12h or 0s.")
    now = now or datetime.now(UTC)
    report = GcReport(dry_run=dry_run)
    if not dry_run:
        report.swept = sweep(store, now=now)
        store.reports.tidy()
    listed = {key: _listed(store.objects, key) for key in store.objects.list(_FOLDER)}
    aged = {key for key, (when, _) in listed.items() if when + grace <= now}
    known = set().union(*(listed[key][1] for key in aged)) if aged else set()
    waiting: list[_Dead] = []
    for dead in _dead(store, now, grace, report.damaged):
        ripe = not dead.marks or any(_hashed(store, mark) in known for mark in dead.marks)
        if ripe and dead.kind == "deleted" and not dry_run:
            _, slide_id, mark = dead.file.rsplit("/", 2)
            store.denied.keep_closed(slide_id, closed_epoch(mark) or 0)
        count, size = _remove(store.objects, dead, dry_run=dry_run or not ripe)
        if ripe:
            report.removed[dead.kind] = report.removed.get(dead.kind, 0) + count
            report.removed_bytes += size
        else:
            waiting.append(dead)
            report.waiting[dead.kind] = report.waiting.get(dead.kind, 0) + count
            report.waiting_bytes += size
    if waiting:
        report.waiting_until = now + grace
    if not dry_run:
        if waiting:
            _list(store, now, waiting)
        # Last: whatever is cut off before is found in the same lists again.
        for key in aged:
            store.objects.delete(key)
    log.info("garbage collected", extra={"removed": sum(report.removed.values()), "waiting": len(waiting)})
    return report


def _dead(store: "FeatureStore", now: datetime, grace: timedelta, damaged: list[str]) -> Iterator[_Dead]:
    """Everything that is dead now. Commits come before the attempts that none of them names.

    Keys of commits that a disk damaged are put into `damaged`. Which arrays such a one names is not known, so
    nothing of its subject is dead: who restores the commit from a copy has all of it again.
    """
    objects = store.objects
    # In this order: what is committed between two of these listings is found named, or not found at all.
    attempts = set(_attempts(objects))
    keys = objects.list(COMMITS)
    pinned = store.snapshots.pinned()
    parsed = [key for key in map(CommitKey.parse, keys) if key is not None]
    commits = dict(zip(parsed, _read_all(objects, parsed), strict=True))
    live = _live(keys, commits)
    named = {commit.attempt for commit in commits.values() if commit is not None}
    open_epochs = {slide_id: state.epoch for slide_id, state in states_of(keys).items()}
    spared = set()
    for key, commit in commits.items():
        if commit is None and key.epoch == open_epochs[key.slide_id] and is_damaged(objects, key):
            damaged.append(key.key)
            spared.add(key.subject.folder(key.slide_id))
    for key, commit in sorted(commits.items()):
        if key in live or key.key in pinned or key.key in damaged:
            continue
        if commit is None:
            yield _Dead("void", (f"commit:{key.key}",), commit=key.key)
            continue
        kind = "superseded" if key.epoch == open_epochs[key.slide_id] else "closed"
        if kind == "closed" and closing_time(objects, closed_key(key.slide_id, key.epoch)) + grace <= now:
            # The closing itself was the first look.
            yield _Dead(kind, (), commit=key.key, tree=_own_tree(key, commit))
            continue
        # The arrays are listed by a mark of their own: a removal that was cut off goes on without its commit.
        marks = (f"commit:{key.key}", f"data:{commit.attempt}")
        yield _Dead(kind, marks, commit=key.key, tree=_own_tree(key, commit))
    listed = set(keys)
    for attempt in sorted(attempts - named):
        if attempt.rpartition("/")[0] in spared:
            continue
        # An attempt in a copy of the store is as old as at its source, and may be committed any time: whatever was
        # committed of its slide since the listing waits for the next look.
        if not listed.issuperset(objects.list(commit_folder(attempt.split("/")[1]))):
            continue
        yield _Dead("attempts", (f"attempt:{attempt}", f"data:{attempt}"), tree=attempt)
    for slide_id in sorted(store.denied.among("slide", slides_anywhere(store))):
        for mark, when in closed_marks(objects, slide_id).items():
            # Its own time is the first look.
            yield _Dead("deleted", () if when + grace <= now else (f"closed:{mark}",), file=mark)
    for file in leftovers(objects):
        yield _Dead("aside", (f"aside:{file}",), file=file)


def _own_tree(key: CommitKey, commit: Commit) -> str:
    """A damaged commit may say anything: nothing is removed but an attempt of its own subject."""
    own = commit.attempt.startswith(f"{key.subject.folder(key.slide_id)}/")
    return commit.attempt if own else ""


def _live(keys: Iterable[str], commits: dict[CommitKey, Commit | None]) -> set[CommitKey]:
    """The latest commit of each subject in its slide's open epoch that is not void."""
    live: dict[tuple[str, Any], CommitKey] = {}
    states = states_of(keys)
    for key in sorted(commits):
        if commits[key] is not None and key.epoch == states[key.slide_id].epoch:
            live[key.slide_id, key.subject] = key
    return set(live.values())


def _read_all(objects: Objects, keys: list[CommitKey]) -> list[Commit | None]:
    """The commits; None for what does not parse now: a later look sees whether it was being written."""

    def read(key: CommitKey) -> Commit | None:
        try:
            return parse_commit(key, objects.read(key.key))
        except FileNotFoundError:
            return None

    if objects.local is not None:
        return [read(key) for key in keys]
    with ThreadPoolExecutor(_READ_AT_ONCE) as pool:
        return list(pool.map(read, keys))


def _attempts(objects: Objects) -> Iterator[str]:
    """Every attempt's folder; locally also those that hold no file yet."""
    depth = {"overview": 0, "grids": 1, "bags": 2, "pooled": 3}
    if objects.local is None:
        for key in objects.list("slides"):
            parts = key.split("/")
            below = depth.get(parts[2]) if len(parts) > 3 else None
            if below is not None and len(parts) > 3 + below:
                yield "/".join(parts[: 4 + below])
        return
    for slide_id in objects.folders("slides"):
        for place in objects.folders(f"slides/{slide_id}"):
            folders = [f"slides/{slide_id}/{place}"]
            for _ in range(depth.get(place, -1) + 1):
                folders = [f"{folder}/{name}" for folder in folders for name in objects.folders(folder)]
            yield from folders if place in depth else ()


def _remove(objects: Objects, dead: _Dead, *, dry_run: bool) -> tuple[int, int]:
    """Removes it, the commit before its arrays, so that no commit ever stands without them; objects and bytes."""
    keys = [key for key in (dead.commit, dead.file) if key]
    keys += objects.list(dead.tree) if dead.tree else []
    size = sum(_size(objects, key) for key in keys)
    if not dry_run:
        for key in (dead.commit, dead.file):
            if key:
                objects.delete(key)
        if dead.tree:
            objects.delete_tree(dead.tree)
        if dead.kind == "deleted":
            objects.prune(dead.file.rpartition("/")[0])
    return max(len(keys), 1), size


def _size(objects: Objects, key: str) -> int:
    try:
        return objects.size(key)
    except FileNotFoundError:
        return 0


def _hashed(store: "FeatureStore", mark: str) -> str:
    """Lists hold no names: who is deleted need not be looked for in them."""
    return hmac.new(store.info.hash_key.encode(), f"gc\0{mark}".encode(), hashlib.sha256).hexdigest()[:32]


def _list(store: "FeatureStore", now: datetime, waiting: Iterable[_Dead]) -> None:
    body = {
        "format": 1,
        "time": now.isoformat(timespec="microseconds"),
        "token": secrets.token_hex(8),
        "dead": sorted({_hashed(store, mark) for dead in waiting for mark in dead.marks}),
    }
    key = f"{_FOLDER}/{now.strftime(_STAMP)}.json"
    store.objects.put_if_absent(key, json.dumps(body).encode())


def _listed(objects: Objects, key: str) -> tuple[datetime, set[str]]:
    """When a look was, and the hashes of what it found dead; of a list that was cut off, nothing and long ago."""
    try:
        body = objects.read_json(key)
        return datetime.fromisoformat(body["time"]), set(body["dead"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        log.warning("a list of gc cannot be read, and counts for nothing", extra={"key": key})
        return datetime.min.replace(tzinfo=UTC), set()
