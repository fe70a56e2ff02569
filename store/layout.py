"""Where things lie, and what the keys of a slide's commits say about it (FORMAT.md, "Commits")."""

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from slidelake.store.ids import require_slug

__all__ = ["CommitKey", "SlideState", "Subject", "attempt_time", "new_attempt", "states_of"]

INFO_KEY = "slidelake.json"
COMMITS = "commits"
_ID_COUNT = {"overview": 0, "grid": 1, "bag": 2, "pooled": 3}
_ATTEMPT_FORMAT = "%Y%m%dT%H%M%S%fZ"
_NUMBER = re.compile(r"[0-9]+")


class Subject(NamedTuple):
    """What a commit is about: its kind and the ids that apply to it (empty where they do not)."""

    kind: str
    grid_id: str = ""
    encoder_id: str = ""
    aggregator_id: str = ""

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self[1 : 1 + _ID_COUNT[self.kind]])

    def folder(self, slide_id: str) -> str:
        """The folder below which this subject's attempts lie."""
        place = {"overview": "overview", "grid": "grids", "bag": "bags", "pooled": "pooled"}[self.kind]
        return "/".join(["slides", require_slug(slide_id, "slide_id"), place, *_checked(self.ids)])


@dataclass(frozen=True, order=True)
class CommitKey:
    """One commit's key, taken apart: `<epoch>~<kind>~…~<generation>.json` in the slide's folder."""

    slide_id: str
    epoch: int
    subject: Subject
    generation: int

    @property
    def key(self) -> str:
        name = "~".join(
            [
                f"{self.epoch:04d}",
                self.subject.kind,
                *_checked(self.subject.ids),
                f"{self.generation:06d}",
            ]
        )
        return f"{commit_folder(self.slide_id)}/{name}.json"

    @classmethod
    def parse(cls, key: str) -> "CommitKey | None":
        """The commit that a key names; None for a `closed` mark and for anything that is no commit."""
        folder, _, name = key.rpartition("/")
        parts = name.removesuffix(".json").split("~")
        if not name.endswith(".json") or len(parts) < 3 or _ID_COUNT.get(parts[1]) != len(parts) - 3:
            return None
        if not (_NUMBER.fullmatch(parts[0]) and _NUMBER.fullmatch(parts[-1])):
            return None
        subject = Subject(*parts[1:-1])
        return cls(folder.rpartition("/")[2], int(parts[0]), subject, int(parts[-1]))


@dataclass
class SlideState:
    """What a slide's keys say: its open epoch, and the latest generation of each live subject."""

    slide_id: str
    epoch: int = 1
    keys: dict[Subject, CommitKey] = field(default_factory=dict)

    def generation(self, subject: Subject) -> int:
        """The latest generation seen of a subject in the open epoch; 0 where there is none."""
        key = self.keys.get(subject)
        return key.generation if key else 0


def states_of(keys: Iterable[str]) -> dict[str, SlideState]:
    """The state of every slide that some key below `commits/` names, from those keys alone."""
    closed: dict[str, int] = {}
    commits: dict[str, list[CommitKey]] = {}
    for key in keys:
        folder, _, name = key.rpartition("/")
        slide_id = folder.rpartition("/")[2]
        epoch = closed_epoch(name)
        if epoch is not None:
            closed[slide_id] = max(epoch, closed.get(slide_id, 0))
        elif (commit := CommitKey.parse(key)) is not None:
            commits.setdefault(slide_id, []).append(commit)
    states = {}
    for slide_id in sorted(closed.keys() | commits.keys()):
        own = sorted(commits.get(slide_id, ()))
        # A later epoch was opened by nothing but the closing of those before, whose marks gc may have removed.
        newest = own[-1].epoch if own else 1
        state = SlideState(slide_id, epoch=max(closed.get(slide_id, 0) + 1, newest))
        for commit in own:
            # Whatever stands in a closed epoch is dead, whenever it was written.
            if commit.epoch == state.epoch:
                state.keys[commit.subject] = commit
        states[slide_id] = state
    return states


@lru_cache(maxsize=8192)
def commit_folder(slide_id: str) -> str:
    """`commits/<pp>/<slide_id>`, pp = first 2 hex digits of the id's sha256."""
    require_slug(slide_id, "slide_id")
    return f"{COMMITS}/{hashlib.sha256(slide_id.encode()).hexdigest()[:2]}/{slide_id}"


def closed_key(slide_id: str, epoch: int) -> str:
    """The key of the mark that closes an epoch of a slide."""
    return f"{commit_folder(slide_id)}/{epoch:04d}~closed.json"


def closed_epoch(name: str) -> int | None:
    """The epoch that a key's last part closes; None where it closes none."""
    head, mark, tail = name.partition("~")
    return int(head) if mark and tail == "closed.json" and _NUMBER.fullmatch(head) else None


def new_attempt() -> str:
    """A fresh name for a writer's folder: sorts by time (UTC, µs), never the same twice."""
    return f"{datetime.now(UTC).strftime(_ATTEMPT_FORMAT)}-{secrets.token_hex(6)}"


def attempt_time(attempt: str) -> datetime:
    """When an attempt (its name, or the path that ends in it) was begun."""
    stamp = attempt.rpartition("/")[2].partition("-")[0]
    return datetime.strptime(stamp, _ATTEMPT_FORMAT).replace(tzinfo=UTC)


def _checked(ids: Iterable[str]) -> list[str]:
    return [require_slug(each, "part of a commit's key") for each in ids]
