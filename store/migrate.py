"""Brings a store of an older format to this one's, version by version; `slidelake.json` says so only at the end.

A step is a function that makes format n + 1 out of format n in place. It may be cut off and run again, and must
then go on: what it did already it finds done. Until its end readers of format n read the store as it was; then
`slidelake.json` is replaced, whole, and is all that says the format. Version 1 is the first: there are no steps
yet.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from os import PathLike, fspath
from typing import Any

from slidelake.errors import DamagedStoreError, StoreError, StoreVersionError
from slidelake.store.info import FORMAT, not_found
from slidelake.store.layout import COMMITS, INFO_KEY, CommitKey, attempt_time
from slidelake.store.objects import Objects

__all__ = ["STEPS", "MigrationReport", "Step", "migrate"]

log = logging.getLogger(__name__)

#: Makes the next format out of one, in place; may be called again after it was cut off.
Step = Callable[[Objects], None]
#: By the format that each starts from.
STEPS: Mapping[int, Step] = {}
# An attempt begun since, and not committed, is a writer at work: an ingest commits a slide within minutes.
_AT_WORK = timedelta(hours=1)


@dataclass
class MigrationReport:
    """What a migration did, or with `dry_run` would do: `steps` are the formats that were left behind, in turn."""

    url: str
    before: int
    after: int
    dry_run: bool = False
    steps: list[int] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return asdict(self)


def migrate(
    url: str | PathLike[str],
    *,
    dry_run: bool = False,
    force: bool = False,
    steps: Mapping[int, Step] | None = None,
    target: int = FORMAT,
    now: datetime | None = None,
) -> MigrationReport:
    """Brings the store at `url` to format `target`; nothing happens where it has it.

    `steps` are those of this version by default. `force` goes on though a writer seems to be at work (one that was
    killed within the last hour looks so). Raises NotAStoreError, DamagedStoreError; StoreVersionError for a store
    of a newer format, or of an older one than the steps begin with; StoreError for a store that is being written.
    """
    steps = STEPS if steps is None else steps
    objects = Objects(fspath(url))
    before = _format(objects)
    report = MigrationReport(objects.url, before, target, dry_run)
    if before > target:
        raise StoreVersionError(
            f"the store {objects.url} has format {before}; this slidelake knows up to {target}",
            remedy="Install a newer slidelake. Nothing makes a store older.",
        )
    report.steps = list(range(before, target))
    missing = [version for version in report.steps if version not in steps]
    if missing:
        raise StoreVersionError(
            f"the store {objects.url} has format {before}, and nothing here takes format {missing[0]} further",
            remedy="Migrate it with an older slidelake first: the change log says which versions read it.",
        )
    if dry_run or not report.steps:
        return report
    if not force:
        _refuse_writers(objects, now or datetime.now(UTC))
    for version in report.steps:
        log.info("migrating", extra={"store": objects.url, "from": version})
        steps[version](objects)
        body = objects.read_json(INFO_KEY)
        objects.replace(INFO_KEY, json.dumps({**body, "format": version + 1}, indent=1).encode())
    return report


def _format(objects: Objects) -> int:
    """The format that a store says it has, whichever that is."""
    try:
        version = objects.read_json(INFO_KEY)["format"]
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise not_found(objects) from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise _damaged(objects, str(exc)) from exc
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise _damaged(objects, f"its format is {version!r}")
    return version


def _damaged(objects: Objects, problem: str) -> DamagedStoreError:
    return DamagedStoreError(
        f"{objects.url_of(INFO_KEY)} cannot be read ({problem})", remedy="Restore it from a copy."
    )


def _refuse_writers(objects: Objects, now: datetime) -> None:
    """Raises StoreError if an attempt was begun within the last hour that no commit of its slide names."""
    recent: dict[str, set[str]] = {}
    for key in objects.list("slides"):
        attempt = _attempt_of(key)
        if attempt and now - attempt_time(attempt) < _AT_WORK:
            recent.setdefault(key.split("/")[1], set()).add(attempt)
    if not recent:
        return
    for key in objects.list(COMMITS):
        parsed = CommitKey.parse(key)
        if parsed is not None and parsed.slide_id in recent:
            recent[parsed.slide_id].discard(_named_by(objects, key))
    for slide_id, attempts in sorted(recent.items()):
        for attempt in sorted(attempts):
            raise StoreError(
                f"the store {objects.url} is being written: {attempt} was begun at "
                f"{attempt_time(attempt):%Y-%m-%d %H:%M} UTC and is not committed",
                remedy="Let the writers end first; with --force it goes on, if that one was killed.",
                slide=slide_id,
            )


def _attempt_of(key: str) -> str:
    parts = key.split("/")
    for depth, part in enumerate(parts):
        try:
            attempt_time(part)
        except ValueError:
            continue
        return "/".join(parts[: depth + 1])
    return ""


def _named_by(objects: Objects, key: str) -> str:
    try:
        return str(objects.read_json(key)["attempt"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return ""  # void, or gone meanwhile: it names nothing
