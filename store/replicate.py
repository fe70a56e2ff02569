"""Copies a store to another URL, and brings a copy up to date: only what is new travels.

    deny-list → what was deleted goes → slides (arrays, then their commits) → snapshots → metadata → reports
    → annotations → run reports

A copy has the store's id and keys: it is the same store in another place, and not written by others. Commits
are put only when their arrays are there, whole and durable, a slide's grid before its bags: a copy that was cut
off holds a part of the store, sound, and the next run goes on. Quarantine, catalog and index stay behind.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from slidelake.errors import (
    DamagedStoreError,
    SlidelakeError,
    StoreError,
    StoreFullError,
    StoreNotWritableError,
    UsageError,
)
from slidelake.store.annotations import slide_of_key
from slidelake.store.copy_slide import SlideCopier, Travelled
from slidelake.store.deletion import sweep
from slidelake.store.feature_store import FeatureStore
from slidelake.store.info import create_info, read_info
from slidelake.store.layout import COMMITS, CommitKey, SlideState, closed_epoch, states_of
from slidelake.store.objects import Objects
from slidelake.store.pinned import PinnedStore
from slidelake.store.report_store import report_key
from slidelake.store.selection import restricted
from slidelake.store.snapshots import SNAPSHOTS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CopyReport", "replicate"]

log = logging.getLogger(__name__)

Progress = Callable[..., None]
#: What ends the whole copy; other errors cost their slide.
_ENDS_ALL = (StoreFullError, StoreNotWritableError)


@dataclass
class CopyReport:
    """What a copy did.

    `slides` and `already` are how many slides were asked for, and how many of them were there; `commits`,
    `files` and `bytes` what travelled for the others; `removed` slides that were deleted at the source and now are
    at the copy; `snapshots`, `runs`, `reports`, `annotations` and `metadata` what of these changed there; `foreign`
    live commits of the copy that the source does not have; `failed` slides that could not be copied, and why.
    """

    url: str
    slides: int = 0
    already: int = 0
    commits: int = 0
    files: int = 0
    bytes: int = 0
    removed: int = 0
    snapshots: int = 0
    runs: int = 0
    annotations: int = 0
    reports: int = 0
    metadata: bool = False
    foreign: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    damaged: bool = False

    @property
    def ok(self) -> bool:
        return not self.failed

    @property
    def changed(self) -> bool:
        small = self.snapshots or self.runs or self.reports or self.annotations or self.metadata
        return bool(self.commits or self.removed or small)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {**asdict(self), "ok": self.ok}


def replicate(
    store: FeatureStore,
    url: str | PathLike[str],
    *,
    snapshot: str | None = None,
    spaces: Sequence[str] | None = None,
    slides: Sequence[str] | None = None,
    verify: bool = False,
    threads: int = 8,
    progress: Progress | None = None,
) -> CopyReport:
    """Copies what is live, or what a snapshot pins, to `url`: a new place, or an older copy of this store.

    `spaces` and `slides` restrict it (as in `Snapshots.create`); then only metadata and reports of slides that
    the copy holds travel, and of snapshots only the one named. What was deleted here since goes there too. Each array's
    shape, type and size are checked before its commit is put; with `verify` its checksum is made again. Files are
    read in blocks, `threads` slides at once. A slide that cannot be copied is in the report and stops nothing.
    `progress` is called as in `verify`. Raises UsageError for the store itself or one of its folders, StoreError
    for a place that holds another store, StoreFullError, StoreNotWritableError.
    """
    if isinstance(store, PinnedStore):
        snapshot = snapshot or store.snapshot.name
        store = FeatureStore(Objects(store.url), store.info)
    copy = _destination(store, fspath(url))
    # What a snapshot's copy holds must agree with the snapshot that travels with it: it is read once.
    view = store.at(snapshot) if snapshot else store
    whole = not (snapshot or spaces or slides)
    report = CopyReport(copy.url)
    wanted = _wanted(store, view, spaces, slides)
    _deletions(store, copy, report)
    _slides(store, copy, wanted, report, verify, threads, progress or (lambda event, **fields: None))
    if whole or (snapshot and not (spaces or slides)):
        _snapshots(store, copy, report, only=snapshot)
    _metadata(store, copy, report, whole)
    _annotations(store, copy, report)
    report.reports = _reports(store, copy, whole)
    if whole:
        _runs(store.objects, copy.objects, report)
    log.info("copied", extra={"commits": report.commits, "bytes": report.bytes, "failed": len(report.failed)})
    return report


def _destination(store: FeatureStore, url: str) -> FeatureStore:
    objects = Objects(url)
    ours, theirs = store.objects.url.rstrip("/"), objects.url.rstrip("/")
    if ours == theirs or theirs.startswith(f"{ours}/") or ours.startswith(f"{theirs}/"):
        raise UsageError(
            f"{theirs} is the store itself, or one lies in the other", remedy="Copy to a place of its own."
        )
    info = read_info(objects) or create_info(objects, store.info.tissue_rule, like=store.info)
    if info != store.info:
        raise StoreError(
            f"{theirs} is another store ({info.store_id}), not a copy of this one ({store.info.store_id})",
            remedy="Copy to an empty place, or to an older copy of this store.",
        )
    return FeatureStore(objects, info)


def _wanted(
    store: FeatureStore, view: FeatureStore, spaces: Sequence[str] | None, slides: Sequence[str] | None
) -> dict[str, list[CommitKey]]:
    """The commits that the copy must hold, by slide, in the order in which they may appear."""
    chosen = dict(restricted(view, spaces, slides))
    keys = {slide_id: set(state.keys.values()) for slide_id, state in chosen.items()}
    if view is store and spaces is None and slides is None:
        # Snapshots travel too, and with them what they pin besides.
        for name in store.snapshots.names():
            for slide_id, state in store.snapshots.read(name).states.items():
                keys.setdefault(slide_id, set()).update(state.keys.values())
    denied = store.denied.among("slide", keys)
    return {slide_id: sorted(keys[slide_id], key=_order) for slide_id in sorted(keys.keys() - denied)}


def _order(key: CommitKey) -> tuple[int, int, CommitKey]:
    """Within an epoch a bag's grid comes before the bag, and the bag before what is pooled of it."""
    return key.epoch, ("overview", "grid", "bag", "pooled").index(key.subject.kind), key


def _deletions(store: FeatureStore, copy: FeatureStore, report: CopyReport) -> None:
    """Makes the deny-list of the copy the store's, and removes from the copy whom it names."""
    said, there = set(store.objects.list("denied")), set(copy.objects.list("denied"))
    # `denied/keys/…` first: they say by which keys the others are to be read.
    for key in sorted(said - there, key=lambda key: (key.count("/") == 1, key)):
        _travel(store.objects, copy.objects, key)
    for key in there - said:
        copy.objects.delete(key)
    commits = copy.objects.list(COMMITS)
    held = {key.split("/")[2] for key in commits if closed_epoch(key.rpartition("/")[2]) is None}
    gone = copy.denied.among("slide", held | set(copy.objects.folders("slides")))
    if gone:
        _close(store, copy, gone)
    if gone or said - there:
        sweep(copy)
    report.removed = len(gone)


def _close(store: FeatureStore, copy: FeatureStore, slides: Iterable[str]) -> None:
    """Puts the `closed` marks of slides that the copy does not have yet: what another copy adds late is dead."""
    marks = [key for key in store.objects.list(COMMITS) if closed_epoch(key.rpartition("/")[2]) is not None]
    wanted = set(slides)
    for key in marks:
        if key.split("/")[2] in wanted:
            _travel(store.objects, copy.objects, key)


def _travel(source: Objects, copy: Objects, key: str) -> bool:
    """Copies a small object; False for one that is gone since it was listed (allowed, collected, written anew)."""
    try:
        data = source.read(key)
    except FileNotFoundError:
        return False
    return copy.put_if_absent(key, data)


def _slides(
    store: FeatureStore,
    copy: FeatureStore,
    wanted: dict[str, list[CommitKey]],
    report: CopyReport,
    verify: bool,
    threads: int,
    tell: Progress,
) -> None:
    listed, there = store.objects.list(COMMITS), set(copy.objects.list(COMMITS))
    marks: dict[str, list[str]] = {}
    for key in listed:
        if closed_epoch(key.rpartition("/")[2]) is not None:
            marks.setdefault(key.split("/")[2], []).append(key)
    known = {key.split("/")[2] for key in there}
    todo = {}
    for slide_id, keys in wanted.items():
        missing = [key for key in keys if key.key not in there]
        # An epoch is closed at the copy when what opened the next one is there.
        closed = [key for key in marks.get(slide_id, []) if key not in there]
        if missing or closed:
            todo[slide_id] = (missing, closed)
    live = {slide_id for slide_id, state in states_of(listed).items() if state.keys}
    for slide_id in known & marks.keys() - wanted.keys() - live:
        closed = [key for key in marks[slide_id] if key not in there]
        if closed:
            todo[slide_id] = ([], closed)
    report.slides = len(wanted)
    report.already = len(wanted) - sum(bool(missing) for missing, _ in todo.values())
    report.foreign = _foreign(states_of(there), set(listed))
    tell("start", total=len(todo))
    copier = SlideCopier(store.objects, copy.objects, deep=verify)
    with ThreadPoolExecutor(max_workers=max(1, threads), thread_name_prefix="copy") as pool:
        jobs = {
            pool.submit(copier.slide, missing, closed): slide_id
            for slide_id, (missing, closed) in todo.items()
        }
        try:
            for job in as_completed(jobs):
                _count(job.result, jobs[job], report)
                tell("slide", slide_id=jobs[job])
        except BaseException:
            copier.stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    report.failed.sort()
    tell("end")


def _count(result: Callable[[], Travelled], slide_id: str, report: CopyReport) -> None:
    try:
        done = result()
    except _ENDS_ALL:
        raise
    except (SlidelakeError, OSError) as exc:
        log.warning("slide not copied", extra={"slide_id": slide_id, "why": str(exc)})
        report.failed.append((slide_id, str(exc)))
        report.damaged = report.damaged or isinstance(exc, DamagedStoreError)
        return
    report.commits += done.commits
    report.files += done.files
    report.bytes += done.bytes


def _foreign(states: dict[str, SlideState], listed: set[str]) -> int:
    live = [key.key for state in states.values() for key in state.keys.values()]
    foreign = [key for key in live if key not in listed]
    for key in foreign[:10]:
        log.warning("the copy holds a commit that the store does not have", extra={"key": key})
    return len(foreign)


def _snapshots(store: FeatureStore, copy: FeatureStore, report: CopyReport, only: str | None) -> None:
    """Snapshots as they stand, those of which the copy holds each commit by now: slides may have failed, and a
    snapshot that was made meanwhile pins what was. Such a one travels the next time."""
    names = [only] if only else store.snapshots.names()
    there = set(copy.objects.list(COMMITS))
    for name in names:
        while True:
            try:
                report.snapshots += _snapshot(store, copy, name, there)
                break
            except FileNotFoundError:
                # A deletion wrote the next generation since it was read; or there is none left.
                store.snapshots.read(name)
    if only is None:
        for name in sorted(set(copy.snapshots.names()) - set(names)):
            copy.snapshots.remove(name)
            report.snapshots += 1


def _snapshot(store: FeatureStore, copy: FeatureStore, name: str, there: set[str]) -> bool:
    snapshot = store.snapshots.read(name)
    pinned = [key for state in snapshot.states.values() for key in state.keys.values()]
    if SlideCopier(store.objects, copy.objects).missing(key for key in pinned if key.key not in there):
        log.warning(
            "a snapshot travels the next time, when all that it pins is there", extra={"snapshot": name}
        )
        return False
    data = store.objects.read(snapshot.key)
    keys = copy.objects.list(f"{SNAPSHOTS}/{name}")
    new = snapshot.key not in keys or copy.objects.read(snapshot.key) != data
    if new:
        if snapshot.metadata:
            copy.objects.replace(snapshot.metadata, store.objects.read(snapshot.metadata))
        copy.objects.replace(snapshot.key, data)
    for key in set(keys) - {snapshot.key, snapshot.metadata}:
        copy.objects.delete(key)
    return new


def _metadata(store: FeatureStore, copy: FeatureStore, report: CopyReport, whole: bool) -> None:
    table: pd.DataFrame = store.metadata.read()
    if not whole:
        # Nobody's data travels but that of the slides that were asked for.
        table = table[table["slide_id"].isin(copy.slide_ids())].reset_index(drop=True)
    report.metadata = copy.metadata.become(table)


def _annotations(store: FeatureStore, copy: FeatureStore, report: CopyReport) -> None:
    """Those of the slides that the copy holds; generations that the store tidied away go there too."""
    held = set(copy.slide_ids())
    said = {key for key in store.annotations.all_keys() if slide_of_key(key) in held}
    there = set(copy.annotations.all_keys())
    for key in sorted(said - there):
        report.annotations += _travel(store.objects, copy.objects, key)
    for key in sorted(there - said):
        copy.objects.delete(key)
        report.annotations += 1


def _reports(store: FeatureStore, copy: FeatureStore, whole: bool) -> int:
    """Makes the copy's reports those of the store, byte for byte; how many changed. The new ones travel first."""
    wanted = store.reports.versions()
    if not whole:
        slides, patients = set(copy.slide_ids()), set(copy.catalog()["patient_id"])
        wanted = {
            each.report_id: each.generation
            for each in store.reports.heads()
            if (not slides.isdisjoint(each.slide_ids) if each.slide_ids else each.patient_id in patients)
        }
    there = copy.reports.versions()
    changed = {report_id for report_id, number in wanted.items() if there.get(report_id) != number}
    for report_id in changed:
        key = report_key(report_id, wanted[report_id])
        if _travel(store.objects, copy.objects, key):
            copy.reports.keep_only(report_id, wanted[report_id])
    for report_id in there.keys() - wanted.keys():
        copy.reports.remove(report_id)
    return len(changed | (there.keys() - wanted.keys()))


def _runs(source: Objects, copy: Objects, report: CopyReport) -> None:
    said, there = set(source.list("runs")), set(copy.list("runs"))
    for key in sorted(said - there):
        report.runs += _travel(source, copy, key)
    for key in sorted(said & there):
        # Reports that a deletion wrote anew: the copy's own deletion knows fewer names than the store's did.
        if "~" in key:
            with suppress(FileNotFoundError):
                data = source.read(key)
                if copy.read(key) != data:
                    copy.replace(key, data)
                    report.runs += 1
    for key in sorted(there - said):
        # A deletion wrote it anew, without the names.
        copy.delete(key)
        report.runs += 1
