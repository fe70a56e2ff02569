"""Deletes slides from all that a store keeps: denied first, then dead, then gone.

    deny-list → epoch closed → run reports, quarantine, snapshots, reports, metadata, annotations → arrays → commits
    → catalog

The deny-list alone says what has to go: whatever is cut off between two of these steps is finished by the same
command, or by any later deletion or gc. What tells who belongs to whom (metadata, commits) goes last. Only the
`closed` mark stays until the grace has passed, against writers that are still at work; its key holds the
slide's id.
"""

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from slidelake.store.attempts import GC_GRACE
from slidelake.store.commits import FORMAT, Commit, parse_commit
from slidelake.store.ids import require_slug
from slidelake.store.layout import COMMITS, CommitKey, closed_epoch, closed_key, commit_folder, states_of
from slidelake.store.leftovers import leftovers
from slidelake.store.objects import Objects
from slidelake.store.redact import Redactor, words_of
from slidelake.store.reports import redact_reports

if TYPE_CHECKING:
    from slidelake.store.feature_store import FeatureStore

__all__ = [
    "Deletion",
    "closed_marks",
    "closing_time",
    "delete_slides",
    "slides_anywhere",
    "slides_of_patient",
    "sweep",
]

log = logging.getLogger(__name__)

# A file aside is there for milliseconds; one this old (seconds) is a killed writer's, and may hold any name.
_ASIDE_AFTER = 3600.0


@dataclass
class Deletion:
    """What a deletion did: the slides as the store spelled them, how many objects went, and until when their
    `closed` marks stay (None: nothing stays)."""

    slides: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    objects: dict[str, int] = field(default_factory=dict)
    marks_until: datetime | None = None
    notes: list[str] = field(default_factory=list)


@dataclass
class _Trace:
    """What a slide left in commits and quarantine, by which it is known."""

    slide_id: str
    known: bool = False
    uris: set[str] = field(default_factory=set)
    checksums: set[str] = field(default_factory=set)
    patients: set[str] = field(default_factory=set)


def delete_slides(
    store: "FeatureStore", slide_ids: Iterable[str], *, patient_id: str = "", now: datetime | None = None
) -> Deletion:
    """Deletes slides, and denies `patient_id` with them where they are all of a patient's.

    Slides of the patient that came in meanwhile go too. Raises UsageError for an id that cannot be one, StoreError
    where the deny-list was made with another key. What was deleted before and is denied still is swept with it.
    """
    now = now or datetime.now(UTC)
    denied = store.denied
    ids = {each.casefold(): each for each in (require_slug(each, "slide_id") for each in slide_ids)}
    patient = [denied.hash_of("patient", patient_id)] if patient_id else []
    if patient_id:
        denied.add(patient_id=patient_id, because=patient, now=now)
        # Looked for once more: what a writer commits from here on it finds denied itself.
        ids = {each.casefold(): each for each in slides_of_patient(store, patient_id)} | ids
    words = words_of(patient_id=patient_id)
    traces = []
    for slide_id in ids.values():
        spelled = store.state(slide_id).slide_id
        because = [denied.hash_of("slide", spelled), *patient]
        denied.add(slide_id=spelled, because=because, now=now)
        # Looked at when it is denied: a commit of which nothing is known here is its writer's to take back.
        trace = _trace(store, spelled)
        _deny_sources(store, trace, because, now)
        traces.append(trace)
        words |= words_of(slide_id=spelled)
        for uri in trace.uris:
            words |= words_of(uri=uri)
    for trace in traces:
        _close(store, trace.slide_id, now)
    _deny_reports(store, traces, now)
    done = Deletion([trace.slide_id for trace in traces if trace.known])
    done.unknown = [trace.slide_id for trace in traces if not trace.known]
    done.objects = sweep(store, words, now=now)
    marks = [mark for trace in traces for mark in closed_marks(store.objects, trace.slide_id).values()]
    done.marks_until = max(marks) + GC_GRACE if marks else None
    log.info("slides deleted", extra={"slides": len(traces)})
    return done


def slides_of_patient(store: "FeatureStore", patient_id: str) -> list[str]:
    """The slides of a patient, sorted: the metadata's word counts where there is one, else the commits'.

    Slides that only the metadata knows, and those whose epoch is closed, are among them.
    """
    catalog = store.catalog()
    found = set(catalog.loc[catalog["patient_id"] == patient_id, "slide_id"])
    metadata = store.metadata.read()
    if "patient_id" in metadata:
        said = metadata["patient_id"].astype("str") == patient_id
        found |= set(metadata.loc[said, "slide_id"].astype("str"))
    keys = store.objects.list(COMMITS)
    states = states_of(keys)
    for parsed in filter(None, map(CommitKey.parse, keys)):
        if parsed.slide_id not in found and not states[parsed.slide_id].keys:
            commit = _commit(store.objects, parsed)
            if commit is not None and str(commit.provenance.get("patient_id") or "") == patient_id:
                found.add(parsed.slide_id)
    return sorted(found)


def sweep(store: "FeatureStore", words: Iterable[str] = (), *, now: datetime | None = None) -> dict[str, int]:
    """Removes whatever the store still holds of denied slides, but for their `closed` marks; counts by part.

    Texts elsewhere that hold one of `words` (names of what is deleted just now) are replaced by keyed hashes.
    """
    redactor = Redactor(store.denied, words)
    counts = {
        "runs": redact_reports(store.objects, redactor),
        "quarantine": _quarantine(store, redactor),
    }
    counts["snapshots"] = _snapshots(store)
    counts["reports"] = store.reports.forget_denied()
    counts["metadata"] = store.metadata.forget_denied()
    counts["annotations"] = store.annotations.forget_denied()
    gone = sorted(store.denied.among("slide", slides_anywhere(store)))
    states = store.states() if gone else {}
    for slide_id in gone:
        if slide_id in states and states[slide_id].keys:
            # A deletion was cut off before it came to that.
            now = now or datetime.now(UTC)
            _deny_sources(store, _trace(store, slide_id), (), now)
            _close(store, slide_id, now)
    counts["arrays"] = sum(_arrays(store, slide_id) for slide_id in gone)
    counts["commits"] = sum(_commits(store.objects, slide_id) for slide_id in gone)
    for key in leftovers(store.objects, _ASIDE_AFTER):
        store.objects.delete(key)
    store.catalog()  # derived: the rows of what is gone leave it
    return {part: count for part, count in counts.items() if count}


def slides_anywhere(store: "FeatureStore") -> set[str]:
    """Every slide id under `commits/` and `slides/`, with or without a commit."""
    ids = {key.split("/")[2] for key in store.objects.list(COMMITS) if key.count("/") == 3}
    if store.objects.local is not None:
        # An empty folder tells its id too; object stores have none.
        ids |= {
            slide_id
            for prefix in store.objects.folders(COMMITS)
            for slide_id in store.objects.folders(f"{COMMITS}/{prefix}")
        }
    return ids | set(store.objects.folders("slides"))


def closed_marks(objects: Objects, slide_id: str) -> dict[str, datetime]:
    """When each `closed` mark of a slide was put, by its key."""
    keys = [
        key
        for key in objects.list(commit_folder(slide_id))
        if closed_epoch(key.rpartition("/")[2]) is not None
    ]
    return {key: closing_time(objects, key) for key in keys}


def closing_time(objects: Objects, mark: str) -> datetime:
    """When a `closed` mark was put; just now for one that does not tell, or is gone."""
    body = _json(objects, mark) or {}
    try:
        return datetime.fromisoformat(str(body["closed"]))
    except (KeyError, ValueError):
        # Where there are no hard links a mark may have been cut off: it closes its epoch by its key alone.
        return datetime.now(UTC)


def _trace(store: "FeatureStore", slide_id: str) -> _Trace:
    slide_id = store.state(slide_id).slide_id
    trace = _Trace(slide_id)
    for key in store.objects.list(commit_folder(slide_id)):
        trace.known = True
        parsed = CommitKey.parse(key)
        commit = _commit(store.objects, parsed) if parsed else None
        if commit is not None:
            trace.uris.add(str(commit.provenance.get("source_uri") or ""))
            trace.checksums.add(str(commit.provenance.get("source_checksum") or ""))
            trace.patients.add(str(commit.provenance.get("patient_id") or ""))
    for entry in store.quarantine.read_all():
        if str(entry.get("slide_id", "")).casefold() == slide_id.casefold():
            trace.known = True
            trace.uris.add(str(entry.get("uri") or ""))
    trace.known = trace.known or slide_id in store.objects.folders("slides")
    for names in (trace.uris, trace.checksums, trace.patients):
        names.discard("")
    return trace


def _close(store: "FeatureStore", slide_id: str, now: datetime) -> None:
    """Closes the open epoch, once a denial: a writer that saw it open may be at work though nothing is in it."""
    denial = (store.denied.entry(slide_id=slide_id) or {}).get("token", "")
    while True:
        keys = store.objects.list(commit_folder(slide_id))
        state = states_of(keys).get(slide_id)
        epoch = state.epoch if state else store.denied.closed(slide_id) + 1
        if state is None or not state.keys:
            last = _json(store.objects, closed_key(slide_id, epoch - 1)) if epoch > 1 else None
            if last is not None and last.get("denial") == denial:
                return
        body = {"format": FORMAT, "closed": now.isoformat(timespec="microseconds"), "denial": denial}
        if store.objects.put_if_absent(closed_key(slide_id, epoch), json.dumps(body).encode()):
            return


def _deny_sources(store: "FeatureStore", trace: _Trace, because: Iterable[str], now: datetime) -> None:
    """Denies what a slide was made from; by default because of whatever the slide itself is denied for."""
    because = list(because) or (store.denied.entry(slide_id=trace.slide_id) or {}).get("because", ())
    because = because or [store.denied.hash_of("slide", trace.slide_id)]
    for uri in sorted(trace.uris):
        store.denied.add(uri=uri, because=because, now=now)
    for checksum in sorted(trace.checksums):
        store.denied.add(checksum=checksum, because=because, now=now)


def _deny_reports(store: "FeatureStore", traces: Iterable[_Trace], now: datetime) -> None:
    """Denies what only a patient's name ties to slides, where the last of the patient's slides goes now."""
    if not store.reports.ids():
        return
    catalog, metadata = store.catalog(), store.metadata.read()
    because: dict[str, set[str]] = {}
    for trace in traces:
        patients = set(trace.patients)
        if "patient_id" in metadata:
            said = metadata.loc[metadata["slide_id"] == trace.slide_id, "patient_id"].dropna()
            patients |= set(said.astype("str"))
        for patient_id in patients - set(catalog["patient_id"]):
            entry = store.denied.entry(slide_id=trace.slide_id) or {}
            because.setdefault(patient_id, set()).update(entry.get("because", ()))
    for patient_id, hashes in because.items():
        store.reports.deny_of_patient(patient_id, hashes, now)


def _arrays(store: "FeatureStore", slide_id: str) -> int:
    if not store.denied.find(slide_id=slide_id):
        return 0  # allowed since: what lies there may be new
    count = len(store.objects.list(f"slides/{slide_id}"))
    if count or slide_id in store.objects.folders("slides"):
        store.objects.delete_tree(f"slides/{slide_id}")
    return count


def _snapshots(store: "FeatureStore") -> int:
    pinned = {slide_id for name in store.snapshots.names() for slide_id in store.snapshots.read(name).slides}
    # Also where no snapshot names them: an older generation, which a deletion that was cut off left, does, and the
    # table of a snapshot that was never put.
    return store.snapshots.forget(store.denied.among("slide", pinned))


def _commits(objects: Objects, slide_id: str) -> int:
    """Removes what is dead; an epoch that is open was begun when the slide had been allowed again."""
    folder = commit_folder(slide_id)
    there = objects.list(folder)
    closed = max((closed_epoch(key.rpartition("/")[2]) or 0 for key in there), default=0)
    keys = [
        key
        for key in there
        if closed_epoch(key.rpartition("/")[2]) is None
        and ((parsed := CommitKey.parse(key)) is None or parsed.epoch <= closed)
    ]
    for key in keys:
        objects.delete(key)
    objects.prune(folder)
    return len(keys)


def _quarantine(store: "FeatureStore", redactor: Redactor) -> int:
    """Entries of denied slides go; others that mention one keep their reason."""
    entries = store.quarantine.read_all()
    slides = store.denied.among("slide", {str(each.get("slide_id") or "") for each in entries})
    uris = store.denied.among("uri", {str(each.get("uri") or "") for each in entries})
    count = 0
    for entry in entries:
        clean = {**redactor.values(entry), "key": entry["key"]}
        if entry.get("slide_id") in slides or entry.get("uri") in uris:
            store.quarantine.clear(entry["key"])
        elif clean != entry:
            store.quarantine.put(entry["key"], clean)
        else:
            continue
        count += 1
    return count


def _commit(objects: Objects, key: CommitKey) -> Commit | None:
    try:
        return parse_commit(key, objects.read(key.key))
    except FileNotFoundError:
        return None


def _json(objects: Objects, key: str) -> dict[str, Any] | None:
    try:
        found = objects.read_json(key)
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None
