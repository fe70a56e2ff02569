"""One attempt: arrays written under a fresh name, then committed, or dropped; all commits go this way.

A writer looks once at the slide's keys (`SlideState`), writes its arrays under a fresh attempt, makes them
durable, and puts the commit at the generation after the highest it saw. If another writer was first, it
gives up and drops its attempt; it never tries a higher number (FORMAT.md, "Commits").
"""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

from slidelake.errors import (
    AlreadyCommittedError,
    GridMismatchError,
    SlideDeletedError,
    StoreError,
    UsageError,
)
from slidelake.store.commits import FORMAT, Commit, latest_commit, read_state
from slidelake.store.deny_list import DenyList
from slidelake.store.layout import CommitKey, SlideState, Subject, attempt_time, closed_key, new_attempt
from slidelake.store.objects import Objects
from slidelake.store.profile import ArrayProfile
from slidelake.store.shard_writer import ShardWriter, write_array, write_group

__all__ = ["GC_GRACE", "Attempt"]

log = logging.getLogger(__name__)

#: gc deletes what two looks this far apart both find dead; a writer may take half of it.
GC_GRACE = timedelta(days=7)


class Attempt:
    """The arrays of one commit to be. `state` is what the writer saw of the slide when it began, `compression`
    the store's.

    A context manager: what is not committed at its end is removed.
    """

    def __init__(
        self,
        objects: Objects,
        state: SlideState,
        subject: Subject,
        compression: str = "none",
        denied: DenyList | None = None,
    ) -> None:
        """Raises SlideDeletedError where the slide is on the deny-list (None: of a store that has none)."""
        if denied is not None:
            denied.refuse(state.slide_id, slide_id=state.slide_id)
        self._denied = denied
        self.objects = objects
        self.compression = compression
        self.key = CommitKey(state.slide_id, state.epoch, subject, state.generation(subject) + 1)
        self.path = f"{subject.folder(state.slide_id)}/{new_attempt()}"
        self.arrays: dict[str, dict[str, Any]] = {}
        self._keep = False

    def put(self, name: str, array: NDArray[Any], dimensions: tuple[str, ...], axis: int = 0) -> None:
        """Writes a whole array."""
        folder = f"{self.path}/{name}"
        self.arrays[name] = write_array(self.objects, folder, array, dimensions, axis, self.compression)

    def stream(self, name: str, profile: ArrayProfile) -> ShardWriter:
        """Begins an array that is written row by row; hand what its `close()` gives to `arrays[name]`."""
        return ShardWriter(self.objects, f"{self.path}/{name}", profile)

    def commit(
        self, *, attributes: Mapping[str, Any], provenance: Mapping[str, Any], grid_checksum: str = ""
    ) -> Commit:
        """Makes what was written true.

        Raises AlreadyCommittedError (another writer was first, its data stands), GridMismatchError (rows of
        other coords than the committed grid's), SlideDeletedError (the slide was deleted meanwhile, or its
        patient, source or content is denied), StoreError (the attempt is too old to be safe from gc),
        UsageError (not JSON).
        """
        key = self.key
        data = self._body(attributes, provenance, grid_checksum)
        if self._denied is not None:
            self._denied.refuse(key.slide_id, **_names(key.slide_id, provenance))
        write_group(self.objects, self.path, attributes)
        self._check_age()
        self._check_grid(grid_checksum)
        # All of it is durable before the commit appears.
        try:
            self.objects.sync_tree(self.path)
        except FileNotFoundError:
            # A deletion takes away the slide's folder under the writer's hands.
            self._refuse_deleted(provenance)
            raise
        # From here on an error does not tell whether the commit landed, or a request on its way yet may:
        # then gc decides about the attempt, not we.
        self._keep = True
        try:
            won = self.objects.put_if_absent(key.key, data)
        except BaseException:
            # A local one can be looked for, and a full disk should not keep what is lost.
            self._keep = self.objects.local is None or self.objects.exists(key.key)
            raise
        if not won:
            self._keep = False
            raise AlreadyCommittedError(
                f"another writer committed {self.name} first; its data stands",
                remedy="Nothing is to do; read what is there.",
                slide=key.slide_id,
            )
        try:
            self._refuse_deleted(provenance)
        except SlideDeletedError:
            # Dead already, but it holds a deleted patient's data, which is not left to gc.
            self._keep = False
            self.objects.delete(key.key)
            self.objects.prune(key.key.rpartition("/")[0])
            raise
        log.info("committed", extra={"slide_id": key.slide_id, "key": key.key})
        return Commit(key.key, json.loads(data), key.subject, key.slide_id, key.epoch, key.generation)

    @property
    def name(self) -> str:
        """What is being made, for messages: `bag 256px-0.5mpp/uni2-h.3fa9c1d2`."""
        return " ".join([self.key.subject.kind, "/".join(self.key.subject.ids)]).strip()

    def drop(self) -> None:
        """Removes what was written, unless it is committed or may be. Where that fails, gc does it later: the
        reason why it was dropped is what counts."""
        if self._keep:
            return
        try:
            self.objects.delete_tree(self.path)
            if self._denied is not None and self._denied.find(slide_id=self.key.slide_id):
                # The folders' names hold the slide's id, and a deletion may have passed here already.
                self.objects.prune(self.path.rpartition("/")[0])
        except (StoreError, OSError) as exc:
            log.warning(
                "an attempt is left for gc",
                extra={"slide_id": self.key.slide_id, "attempt": self.path, "error": str(exc)},
            )

    def __enter__(self) -> "Attempt":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.drop()

    def _body(
        self, attributes: Mapping[str, Any], provenance: Mapping[str, Any], grid_checksum: str
    ) -> bytes:
        body: dict[str, Any] = {
            "format": FORMAT,
            "kind": self.key.subject.kind,
            "slide_id": self.key.slide_id,
            "attempt": self.path,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "arrays": {name: dict(entry) for name, entry in sorted(self.arrays.items())},
            "attributes": dict(attributes),
            "provenance": dict(provenance),
        }
        if self.key.subject.kind != "overview":
            body["grid_checksum"] = grid_checksum
        try:
            return json.dumps(body, indent=1, allow_nan=False).encode()
        except (TypeError, ValueError) as exc:
            raise UsageError(
                f"the attributes or provenance of {self.name} are not JSON ({exc})",
                remedy="Use strings, finite numbers, lists and dicts of them.",
                slide=self.key.slide_id,
            ) from exc

    def _refuse_deleted(self, provenance: Mapping[str, Any]) -> None:
        slide_id = self.key.slide_id
        if self._denied is not None:
            self._denied.refuse(slide_id, **_names(slide_id, provenance))
        if self.objects.exists(closed_key(slide_id, self.key.epoch)):
            raise SlideDeletedError(
                f"the slide was deleted while its {self.name} was written",
                remedy="Run ingest again if the slide is to come back.",
                slide=slide_id,
            )

    def _check_age(self) -> None:
        age = datetime.now(UTC) - attempt_time(self.path)
        if age > GC_GRACE / 2:
            raise StoreError(
                f"the attempt for {self.name} was begun {age.days} days ago, and gc may take it any time",
                remedy="Run the same command again; it starts a fresh attempt.",
                slide=self.key.slide_id,
            )

    def _check_grid(self, grid_checksum: str) -> None:
        key = self.key
        if key.subject.kind not in ("bag", "pooled"):
            return
        state = read_state(self.objects, key.slide_id)
        if state.epoch != key.epoch:
            return  # closed meanwhile: the look after the commit says so
        grid = latest_commit(self.objects, state, Subject("grid", key.subject.grid_id))
        if grid is None or grid.grid_checksum != grid_checksum:
            raise GridMismatchError(
                f"{self.name} was made for other coordinates than the committed grid's",
                remedy="Run ingest again: it reads the committed grid first.",
                slide=key.slide_id,
            )


def _names(slide_id: str, provenance: Mapping[str, Any]) -> dict[str, str]:
    """By what a deny-list knows a slide, as its provenance tells."""
    return {
        "slide_id": slide_id,
        "patient_id": str(provenance.get("patient_id") or ""),
        "uri": str(provenance.get("source_uri") or ""),
        "checksum": str(provenance.get("source_checksum") or ""),
    }
