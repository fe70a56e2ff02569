"""Looks whether anything of deleted slides is left in a store, by the deny-list's hashes; changes nothing."""

import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from slidelake.store.annotations import ANNOTATIONS, slide_of_key
from slidelake.store.attempts import GC_GRACE
from slidelake.store.commits import Commit, parse_commit
from slidelake.store.deletion import closed_marks, closing_time, slides_anywhere
from slidelake.store.layout import COMMITS, CommitKey, closed_key, states_of
from slidelake.store.leftovers import leftovers
from slidelake.store.objects import Objects

if TYPE_CHECKING:
    from slidelake.store.feature_store import FeatureStore

__all__ = ["DeletedReport", "Remainder", "verify_deleted"]

log = logging.getLogger(__name__)

_AGAIN = "Run the same slidelake delete again: it goes on where it was cut off."
_GC = "Run slidelake gc."
# A younger file aside belongs to a writer at work.
_ASIDE_AFTER = 3600.0


@dataclass(frozen=True)
class Remainder:
    """Something that is left: where, what, until when it may be (None: it should not be there), what to do."""

    key: str
    what: str
    until: datetime | None
    remedy: str


@dataclass
class DeletedReport:
    """How many entries the deny-list has, and what is left of deleted and closed slides."""

    denied: int = 0
    remains: list[Remainder] = field(default_factory=list)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def overdue(self) -> list[Remainder]:
        """What should not be there any more."""
        return [each for each in self.remains if each.until is None or each.until <= self.now]

    @property
    def ok(self) -> bool:
        return not self.overdue

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        remains = [
            {
                "key": each.key,
                "what": each.what,
                "until": each.until.isoformat(timespec="seconds") if each.until else None,
                "remedy": each.remedy,
            }
            for each in self.remains
        ]
        return {"ok": self.ok, "denied": self.denied, "overdue": len(self.overdue), "remains": remains}


def verify_deleted(
    store: "FeatureStore", *, grace: timedelta = GC_GRACE, now: datetime | None = None
) -> DeletedReport:
    """Looks through keys, commits, reports and tables for whoever is on the deny-list, and for closed epochs.

    `closed` marks, and what a changed source left behind, may stay until `grace` after their time; nothing else
    of a deleted slide may. Texts that mention a deleted slide in other words are not known by a hash: they are
    rewritten by the deletion itself. Raises StoreError where the deny-list was made with another key.
    """
    report = DeletedReport(store.denied.count(), now=now or datetime.now(UTC))
    looks = (_slides, _commits, _quarantine, _metadata, _reports, _snapshots, _annotations, _catalog, _runs)
    for look in looks:
        report.remains += look(store, grace)
    return report


def _slides(store: "FeatureStore", grace: timedelta) -> Iterator[Remainder]:
    objects = store.objects
    states = store.states()
    for slide_id in sorted(store.denied.among("slide", slides_anywhere(store))):
        state = states.get(slide_id)
        for commit in state.keys.values() if state else ():
            yield Remainder(commit.key, "a commit of a deleted slide, which readers see", None, _AGAIN)
        if objects.list(f"slides/{slide_id}") or slide_id in objects.folders("slides"):
            yield Remainder(f"slides/{slide_id}", "arrays or folders of a deleted slide", None, _AGAIN)
        marks = closed_marks(objects, slide_id)
        for mark, when in marks.items():
            what = "the mark that keeps late writers out; its key holds the slide's id"
            yield Remainder(mark, what, when + grace, _GC)
    for key in leftovers(objects, _ASIDE_AFTER):
        if store.denied.count():
            yield Remainder(key, "a killed writer's file, which may hold any name", None, _AGAIN)


def _commits(store: "FeatureStore", grace: timedelta) -> Iterator[Remainder]:
    """Commits in closed epochs, and live ones whose provenance names who is denied."""
    objects = store.objects
    keys = objects.list(COMMITS)
    states = states_of(keys)
    pinned = store.snapshots.pinned()
    live: list[Commit] = []
    for parsed in filter(None, map(CommitKey.parse, keys)):
        if parsed.epoch == states[parsed.slide_id].epoch:
            commit = _commit(objects, parsed)
            live += [commit] if commit is not None else []
        elif store.denied.find(slide_id=parsed.slide_id):
            yield Remainder(parsed.key, "a commit of a deleted slide, dead", None, _AGAIN)
        elif parsed.key not in pinned:
            until = closing_time(objects, closed_key(parsed.slide_id, parsed.epoch)) + grace
            yield Remainder(parsed.key, "a commit of a closed epoch, with its arrays", until, _GC)
    for kind, name, what in (
        ("patient", "patient_id", "of a deleted patient"),
        ("uri", "source_uri", "made from a deleted slide's source"),
        ("checksum", "source_checksum", "made from a file with a deleted slide's content"),
    ):
        told = {commit.key: str(commit.provenance.get(name) or "") for commit in live}
        gone = store.denied.among(kind, set(told.values()))
        for commit in live:
            if told[commit.key] in gone and not store.denied.find(slide_id=commit.slide_id):
                remedy = f"Run slidelake delete --slide {commit.slide_id}, if it is to go too."
                yield Remainder(commit.key, f"a commit {what}", None, remedy)


def _quarantine(store: "FeatureStore", grace: timedelta) -> Iterator[Remainder]:
    entries = store.quarantine.read_all()
    slides = store.denied.among("slide", {str(each.get("slide_id") or "") for each in entries})
    uris = store.denied.among("uri", {str(each.get("uri") or "") for each in entries})
    for entry in entries:
        if entry.get("slide_id") in slides or entry.get("uri") in uris:
            yield Remainder(f"quarantine/{entry['key']}.json", "an entry of a deleted slide", None, _AGAIN)


def _metadata(store: "FeatureStore", grace: timedelta) -> Iterator[Remainder]:
    for key in store.objects.list("metadata"):
        if rows := _rows_of_denied(store, key):
            yield Remainder(key, f"{rows} rows of deleted slides or patients", None, _AGAIN)


def _reports(store: "FeatureStore", grace: timedelta) -> Iterator[Remainder]:
    for key, what in store.reports.denied().items():
        yield Remainder(key, what, None, _AGAIN)


def _snapshots(store: "FeatureStore", grace: timedelta) -> Iterator[Remainder]:
    latest = {store.snapshots.read(name).key for name in store.snapshots.names()}
    for key in store.objects.list("snapshots"):
        if key.endswith(".parquet"):
            if rows := _rows_of_denied(store, key):
                yield Remainder(key, f"{rows} rows of deleted slides or patients", None, _AGAIN)
            continue
        try:
            named = set(store.objects.read_json(key)["slides"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            continue
        if gone := store.denied.among("slide", named):
            what = "a snapshot" if key in latest else "an older generation of a snapshot"
            yield Remainder(key, f"{what} that names {len(gone)} deleted slides", None, _AGAIN)


def _annotations(store: "FeatureStore", grace: timedelta) -> Iterator[Remainder]:
    keys = store.objects.list(ANNOTATIONS)
    gone = store.denied.among("slide", {slide_of_key(key) for key in keys})
    for key in keys:
        if slide_of_key(key) in gone:
            yield Remainder(key, "annotations of a deleted slide", None, _AGAIN)


def _catalog(store: "FeatureStore", grace: timedelta) -> Iterator[Remainder]:
    for key in store.objects.list("catalog"):
        if rows := _rows_of_denied(store, key):
            remedy = "Run slidelake status: it makes the catalog anew."
            yield Remainder(key, f"{rows} rows of deleted slides or patients", None, remedy)


def _runs(store: "FeatureStore", grace: timedelta) -> Iterator[Remainder]:
    for key in store.objects.list("runs"):
        try:
            outcomes = list(store.objects.read_json(key).get("outcomes", ()))
        except (FileNotFoundError, ValueError, AttributeError):
            continue
        slides = store.denied.among("slide", {str(each.get("slide_id") or "") for each in outcomes})
        uris = store.denied.among("uri", {str(each.get("uri") or "") for each in outcomes})
        if slides or uris:
            yield Remainder(key, "a run's report that names deleted slides", None, _AGAIN)


def _rows_of_denied(store: "FeatureStore", key: str) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(store.objects.read(key)))
    except FileNotFoundError:
        return 0
    except pa.ArrowException as exc:
        log.warning("a table cannot be read", extra={"key": key, "error": str(exc)})
        return 0
    found: set[int] = set()
    for kind, name in (("slide", "slide_id"), ("patient", "patient_id"), ("uri", "uri")):
        if name in table.column_names:
            values = [str(value or "") for value in table.column(name).to_pylist()]
            gone = store.denied.among(kind, set(values))
            found |= {row for row, value in enumerate(values) if value in gone}
    return len(found)


def _commit(objects: Objects, key: CommitKey) -> Commit | None:
    try:
        return parse_commit(key, objects.read(key.key))
    except FileNotFoundError:
        return None
