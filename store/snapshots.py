"""Snapshots: a named, pinned set of commits and the metadata of their slides (FORMAT.md, "Snapshots").

What a paper or a model was made from stays readable while the store goes on: a snapshot names commits, and
keeps a Parquet copy of its slides' metadata beside, since older generations of the metadata go with a
deletion. A deletion writes the next generation without the slides, and removes the older ones; how many
slides went is all that stays of them. schemas/snapshot.json is the schema.
"""

import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from slidelake.errors import (
    AlreadyCommittedError,
    DamagedStoreError,
    StoreError,
    StoreVersionError,
    UnknownNameError,
    UsageError,
)
from slidelake.store.ids import require_slug
from slidelake.store.layout import CommitKey, SlideState, commit_folder
from slidelake.store.metadata import from_parquet, to_parquet
from slidelake.store.objects import Objects
from slidelake.store.selection import restricted

if TYPE_CHECKING:
    import pandas as pd

    from slidelake.store.feature_store import FeatureStore

__all__ = ["Snapshot", "Snapshots"]

SNAPSHOTS = "snapshots"
FORMAT = 1
# Each lost race means that another writer won one, so a long row of them is a fault, not contention.
_ATTEMPTS = 100


@dataclass(frozen=True)
class Snapshot:
    """One snapshot as read.

    `time` is when it was made (ISO 8601, UTC); `slides` names each slide's commits by their keys' last parts;
    `gone` is how many slides were deleted since; `spaces` are those it was restricted to, None for all;
    `metadata` is the key of its own table ("" where nothing was said of its slides), made from the store's
    generation `metadata_generation`.
    """

    name: str
    generation: int
    time: str
    slides: dict[str, tuple[str, ...]]
    note: str = ""
    spaces: tuple[str, ...] | None = None
    gone: int = 0
    metadata: str = ""
    metadata_generation: int = 0

    @property
    def key(self) -> str:
        return _key(self.name, self.generation)

    @cached_property
    def states(self) -> dict[str, SlideState]:
        """What each slide's keys said when the snapshot was made."""
        return {slide_id: _state(slide_id, names) for slide_id, names in self.slides.items()}

    @property
    def commits(self) -> list[str]:
        """The keys of every commit that is pinned."""
        return [
            f"{commit_folder(slide_id)}/{name}.json"
            for slide_id, names in self.slides.items()
            for name in names
        ]

    def __getstate__(self) -> dict[str, Any]:
        # What travels to workers is small; the states are made again from it.
        return {name: value for name, value in vars(self).items() if name != "states"}


class Snapshots:
    """The snapshots of one store."""

    def __init__(self, store: "FeatureStore") -> None:
        self._store = store

    @property
    def _objects(self) -> Objects:
        return self._store.objects

    def names(self) -> list[str]:
        """The snapshots there are, sorted."""
        return sorted(_generations(self._objects.list(SNAPSHOTS)))

    def read(self, name: str) -> Snapshot:
        """A snapshot as it stands now; raises UnknownNameError, DamagedStoreError, StoreVersionError."""
        snapshot = self._latest(require_slug(name, "snapshot"))
        if snapshot is None:
            names = self.names()
            remedy = f"There are: {', '.join(names)}." if names else "Make it with slidelake snapshot NAME."
            raise UnknownNameError(f"the store {self._store.url} has no snapshot {name}", remedy=remedy)
        return snapshot

    def read_metadata(self, snapshot: Snapshot) -> "pd.DataFrame":
        """The metadata of a snapshot's slides, `slide_id` first; empty where nothing was said of them."""
        while True:
            if not snapshot.metadata:
                return _nothing_said()
            try:
                return from_parquet(self._objects.read(snapshot.metadata))
            except FileNotFoundError as exc:
                # A deletion wrote the next generation since, and removed this one.
                newer = self.read(snapshot.name)
                if newer.generation == snapshot.generation:
                    raise DamagedStoreError(
                        f"the metadata of the snapshot {snapshot.name} is gone ({snapshot.metadata})",
                        remedy=f"Restore {self._objects.url_of(snapshot.metadata)} from a copy.",
                    ) from exc
                snapshot = newer

    def create(
        self,
        name: str,
        note: str = "",
        *,
        spaces: Sequence[str] | None = None,
        slides: Sequence[str] | None = None,
    ) -> Snapshot:
        """Pins what is live now: every slide's latest commits and the metadata; returns the snapshot.

        `spaces` keeps only the bags of those spaces (full or short names) with their grids and pooled
        embeddings, and the slides that have such bags; `slides` keeps only those slides. A snapshot of this
        name that pins the very same is returned as it is. Raises AlreadyCommittedError where it pins
        something else, UsageError where there is nothing to pin, UnknownSlideError, UnknownSpaceError.
        """
        require_slug(name, "snapshot")
        full = None if spaces is None else tuple(sorted({self._store.resolve_space(each) for each in spaces}))
        states = restricted(self._store, full, slides)
        if not states:
            raise UsageError("there are no slides to pin", remedy="Ingest some first.")
        generation, frame = self._cohort(states)
        fresh = Snapshot(
            name=name,
            generation=1,
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            slides={slide_id: _names(state) for slide_id, state in states.items()},
            note=note,
            spaces=full,
            metadata_generation=generation,
        )
        there = self._latest(name)
        if there is None:
            made = self._put(fresh, frame)
            if made is not None:
                return self._second_look(made, frame)
            there = self.read(name)
        same = (there.slides, there.spaces) == (fresh.slides, full) and note in ("", there.note)
        if same and self.read_metadata(there).equals(frame):
            return there
        raise AlreadyCommittedError(
            f"there is a snapshot {name} of {there.time}, which pins something else",
            remedy="Give the new one another name.",
        )

    def forget(self, slide_ids: Iterable[str]) -> int:
        """Takes deleted slides out of every snapshot; how many snapshots held some of them.

        Writes the next generation without them and then removes every older object, also those that a
        `forget` which was cut off left. Safe against other calls of it at the same time, and against a
        snapshot that is being made: it looks once more at its slides when it is there.
        """
        gone = {slide_id.casefold() for slide_id in slide_ids}
        return sum(self._without(name, gone) for name in self._objects.folders(SNAPSHOTS))

    def remove(self, name: str) -> None:
        """Removes a snapshot; its commits stay, and gc may take those that nothing else names."""
        keys = self._objects.list(self.read(name).key.rpartition("/")[0])
        # The tables last: a reader that still finds the snapshot finds its table too.
        for key in sorted(keys, key=lambda key: key.endswith(".parquet")):
            self._objects.delete(key)

    def pinned(self) -> set[str]:
        """The keys of every commit that some snapshot names: what gc must leave, with its arrays."""
        return {key for name in self.names() if (each := self._latest(name)) for key in each.commits}

    def _latest(self, name: str) -> Snapshot | None:
        while True:
            generation = self._generation(name)
            if not generation:
                return None
            try:
                return self._parse(name, generation, self._objects.read(_key(name, generation)))
            except FileNotFoundError:
                if self._generation(name) == generation:
                    raise

    def _generation(self, name: str) -> int:
        return _generations(self._objects.list(f"{SNAPSHOTS}/{name}")).get(name, 0)

    def _parse(self, name: str, generation: int, data: bytes) -> Snapshot:
        try:
            body = json.loads(data)
            if body["format"] > FORMAT:
                raise StoreVersionError(
                    f"the snapshot {name} has format {body['format']}; this slidelake reads up to {FORMAT}",
                    remedy="Install a newer slidelake.",
                )
            told = body["metadata"] or {"key": "", "generation": 0}
            return Snapshot(
                name=name,
                generation=generation,
                time=str(body["time"]),
                slides={slide_id: tuple(names) for slide_id, names in body["slides"].items()},
                note=str(body["note"]),
                spaces=None if body["spaces"] is None else tuple(body["spaces"]),
                gone=int(body["gone"]),
                metadata=str(told["key"]),
                metadata_generation=int(told["generation"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            where = self._objects.url_of(_key(name, generation))
            raise DamagedStoreError(
                f"the snapshot {where} cannot be read ({type(exc).__name__}: {exc})",
                remedy="Restore it from a copy.",
            ) from exc

    def _cohort(self, states: dict[str, SlideState]) -> "tuple[int, pd.DataFrame]":
        metadata = self._store.metadata
        while True:
            generation, frame = metadata.generation(), metadata.read()
            if metadata.generation() == generation:
                return generation, _rows(frame, states)

    def _put(self, snapshot: Snapshot, frame: "pd.DataFrame") -> Snapshot | None:
        """Writes one generation; None where another writer has it, or a later one is there."""
        token = secrets.token_hex(8)
        if len(frame):
            key = f"{SNAPSHOTS}/{snapshot.name}/{snapshot.generation:06d}-{token}.parquet"
            self._objects.put_if_absent(key, to_parquet(frame))
            snapshot = replace(snapshot, metadata=key)
        else:
            snapshot = replace(snapshot, metadata="")
        won = self._objects.put_if_absent(snapshot.key, _to_json(snapshot, token))
        # A slow writer may put a number that was removed since: then a later one is there, and counts.
        if won and self._generation(snapshot.name) == snapshot.generation:
            return snapshot
        if won:
            self._objects.delete(snapshot.key)
        if snapshot.metadata:
            self._objects.delete(snapshot.metadata)
        return None

    def _second_look(self, made: Snapshot, frame: "pd.DataFrame") -> Snapshot:
        """Slides that were deleted while the snapshot was made go out of it."""
        now = self._store.states()
        gone = {slide_id.casefold() for slide_id, state in made.states.items() if self._dead(state, now)}
        if gone or (made.metadata and not self._objects.exists(made.metadata)):
            self._without(made.name, gone, frame)
            return self.read(made.name)
        return made

    def _dead(self, pinned: SlideState, now: dict[str, SlideState]) -> bool:
        live = now.get(pinned.slide_id)
        if live is not None and live.epoch == pinned.epoch:
            return False
        # Closed since: deleted, or made again from a changed source; then what is pinned is still there.
        again = live is not None and live.keys
        return not again or not all(self._objects.exists(key.key) for key in pinned.keys.values())

    def _without(self, name: str, gone: set[str], frame: "pd.DataFrame | None" = None) -> bool:
        """The next generation of one snapshot without some slides, where it holds any; `frame` is its table
        where the caller still has it."""
        for _ in range(_ATTEMPTS):
            latest = self._latest(name)
            held = (
                {slide_id for slide_id in latest.slides if slide_id.casefold() in gone} if latest else set()
            )
            if latest is not None and (held or frame is not None):
                table = self.read_metadata(latest) if frame is None else frame
                left = {slide_id: names for slide_id, names in latest.slides.items() if slide_id not in held}
                following = replace(
                    latest, generation=latest.generation + 1, slides=left, gone=latest.gone + len(held)
                )
                latest = self._put(following, _rows(table, left))
                if latest is None:
                    continue
            for key in self._objects.list(f"{SNAPSHOTS}/{name}"):
                if self._superseded(key, latest):
                    self._objects.delete(key)
            return bool(held)
        raise StoreError(
            f"{_ATTEMPTS} other writers changed the snapshot {name} meanwhile",
            remedy="Run the same command again.",
        )

    def _superseded(self, key: str, latest: Snapshot | None) -> bool:
        """Whether an object of a snapshot counts no more. What another writer puts meanwhile is of a later
        generation, and is left alone."""
        if latest is not None:
            return key not in (latest.key, latest.metadata) and _number(key) <= latest.generation
        # A table without its snapshot: a writer is at work, which looks for deleted slides when it is done, or it
        # was killed, and then nothing but a deletion needs the table to go.
        if not key.endswith(".parquet"):
            return False
        try:
            held = from_parquet(self._objects.read(key))
        except FileNotFoundError:
            return False
        except ValueError:
            return True  # cut off
        return bool(self._store.denied.among("slide", held["slide_id"].astype("str")))


def _number(key: str) -> int:
    """The generation that an object of a snapshot belongs to; 0 for what is none."""
    number = key.rpartition("/")[2].partition(".")[0].partition("-")[0]
    return int(number) if number.isdecimal() else 0


def _names(state: SlideState) -> tuple[str, ...]:
    return tuple(sorted(key.key.rpartition("/")[2].removesuffix(".json") for key in state.keys.values()))


def _state(slide_id: str, names: Iterable[str]) -> SlideState:
    folder = commit_folder(slide_id)
    found = {}
    for name in names:
        key = CommitKey.parse(f"{folder}/{name}.json")
        if key is None:
            raise DamagedStoreError(
                f"a snapshot names {name!r}, which is no commit",
                remedy="Restore the snapshot from a copy.",
                slide=slide_id,
            )
        found[key.subject] = key
    return SlideState(slide_id, max((key.epoch for key in found.values()), default=1), found)


def _rows(frame: "pd.DataFrame", slides: Iterable[str]) -> "pd.DataFrame":
    kept = frame[frame["slide_id"].isin(list(slides))]
    if kept.empty:
        return _nothing_said()
    # As it comes out of a file: a reader must see no difference where there is none.
    return from_parquet(to_parquet(kept.reset_index(drop=True)))


def _nothing_said() -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame({"slide_id": pd.Series(dtype="str")})


def _generations(keys: Iterable[str]) -> dict[str, int]:
    """The latest generation of each snapshot that some key below `snapshots/` names."""
    found: dict[str, int] = {}
    for key in keys:
        parts = key.split("/")
        number = parts[-1].removesuffix(".json")
        if len(parts) == 3 and parts[2].endswith(".json") and number.isdecimal():
            found[parts[1]] = max(int(number), found.get(parts[1], 0))
    return found


def _key(name: str, generation: int) -> str:
    return f"{SNAPSHOTS}/{name}/{generation:06d}.json"


def _to_json(snapshot: Snapshot, token: str) -> bytes:
    told = {"key": snapshot.metadata, "generation": snapshot.metadata_generation}
    body = {
        "format": FORMAT,
        "name": snapshot.name,
        "time": snapshot.time,
        "note": snapshot.note,
        "spaces": snapshot.spaces,
        "slides": snapshot.slides,
        "gone": snapshot.gone,
        "metadata": told if snapshot.metadata else None,
        # Put-if-absent wants data that is the writer's own.
        "token": token,
    }
    # One line a slide would be nice to read; without indents ten thousand slides are half the size.
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
