"""Commits as they are read: one small JSON object each, by which alone readers know of data.

attempts.py writes them; schemas/commit.json is their schema.
"""

import json
import logging
import time
from dataclasses import dataclass
from typing import Any

from slidelake.store.layout import CommitKey, SlideState, Subject, commit_folder, states_of
from slidelake.store.objects import Objects

__all__ = ["Commit", "is_damaged", "latest_commit", "parse_commit", "read_commit", "read_state"]

log = logging.getLogger(__name__)

FORMAT = 1
#: Seconds after which a commit that does not parse is void.
VOID_AFTER = 60.0
_POLL = 0.02


@dataclass(frozen=True)
class Commit:
    """A commit as read: its key, its parsed JSON body, and the parts of both that readers want by name."""

    key: str
    body: dict[str, Any]
    subject: Subject
    slide_id: str
    epoch: int
    generation: int

    @property
    def kind(self) -> str:
        return self.subject.kind

    @property
    def attempt(self) -> str:
        """Key of the folder that holds the arrays."""
        return str(self.body["attempt"])

    @property
    def arrays(self) -> dict[str, dict[str, Any]]:
        """Each array's shape, dtype and checksum, by its name."""
        return dict(self.body["arrays"])

    @property
    def provenance(self) -> dict[str, Any]:
        return dict(self.body["provenance"])

    @property
    def attributes(self) -> dict[str, Any]:
        """The group's attributes, as its zarr.json holds them."""
        return dict(self.body.get("attributes", {}))

    @property
    def grid_checksum(self) -> str:
        """Checksum of the grid's coords (grids, bags and pooled; empty for overviews)."""
        return str(self.body.get("grid_checksum", ""))


def read_state(objects: Objects, slide_id: str) -> SlideState:
    """What one slide's keys say, by one listing."""
    keys = objects.list(commit_folder(slide_id))
    return states_of(keys).get(slide_id, SlideState(slide_id))


def parse_commit(key: CommitKey, data: bytes) -> Commit | None:
    """The commit that `data` holds; None where it is none of this format (a write that was cut off)."""
    try:
        body = json.loads(data)
        good = (
            body["format"] == FORMAT
            and isinstance(body["attempt"], str)
            and isinstance(body["provenance"], dict)
            and all({"shape", "dtype", "checksum"} <= each.keys() for each in body["arrays"].values())
            and (key.subject.kind == "overview" or isinstance(body["grid_checksum"], str))
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return Commit(key.key, body, key.subject, key.slide_id, key.epoch, key.generation) if good else None


def read_commit(objects: Objects, key: CommitKey) -> Commit | None:
    """One commit; None where there is none, or one that does not parse and is void.

    Where a file system has no hard links a commit can be seen half written: one that does not parse is waited
    for until it is 60 s old. Then its writer was cut off, and it never was.
    """
    while True:
        try:
            # Looked at first: a commit that is finished in between then parses.
            age = objects.age(key.key)
            commit = parse_commit(key, objects.read(key.key))
        except FileNotFoundError:
            return None
        if commit is not None:
            return commit
        if age is None or age >= VOID_AFTER:
            log.warning("a commit does not parse", extra={"slide_id": key.slide_id, "key": key.key})
            return None
        time.sleep(_POLL)


def is_damaged(objects: Objects, key: CommitKey) -> bool:
    """Whether a commit that does not parse was whole once. One whose writer was cut off lacks its end; on object
    stores nothing appears but whole."""
    try:
        data = objects.read(key.key)
    except FileNotFoundError:
        return False
    return parse_commit(key, data) is None and (objects.local is None or data.rstrip().endswith(b"}"))


def latest_commit(objects: Objects, state: SlideState, subject: Subject) -> Commit | None:
    """The latest commit of a subject that is not void; None where there is none."""
    newest = state.keys.get(subject)
    for generation in range(newest.generation if newest else 0, 0, -1):
        commit = read_commit(objects, CommitKey(state.slide_id, state.epoch, subject, generation))
        if commit is not None:
            return commit
    return None
