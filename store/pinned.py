"""A store as it was when a snapshot was made: everything that reads answers from the snapshot, nothing writes."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from slidelake.errors import UnknownSlideError, UsageError
from slidelake.store.commits import Commit
from slidelake.store.feature_store import FeatureStore
from slidelake.store.ids import require_slug
from slidelake.store.info import StoreInfo
from slidelake.store.layout import SlideState, Subject
from slidelake.store.metadata import Metadata
from slidelake.store.new_file import NewFile
from slidelake.store.objects import Objects
from slidelake.store.snapshots import Snapshot, Snapshots

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PinnedStore", "ReadOnlyObjects"]

log = logging.getLogger(__name__)


class PinnedStore(FeatureStore):
    """What `FeatureStore.at(name)` gives. Slides deleted since are not there: `snapshot.gone` counts those that
    went before it was opened; one that goes later raises UnknownSlideError when it is read."""

    def __init__(self, objects: Objects, info: StoreInfo, snapshot: Snapshot) -> None:
        super().__init__(ReadOnlyObjects(objects.url, snapshot.name), info)
        self.snapshot = snapshot
        self.metadata = _PinnedMetadata(self.objects, self.snapshots, snapshot)
        self._spellings = {slide_id.casefold(): slide_id for slide_id in snapshot.slides}
        self._catalog: pd.DataFrame | None = None
        if snapshot.gone:
            log.warning(
                "slides of the snapshot were deleted since",
                extra={"snapshot": snapshot.name, "gone": snapshot.gone},
            )

    def __repr__(self) -> str:
        return f"FeatureStore({self.url!r}).at({self.snapshot.name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return PinnedStore, (self.objects, self.info, self.snapshot)

    @property
    def place(self) -> str:
        since = f" ({self.snapshot.gone} slides were deleted since)" if self.snapshot.gone else ""
        return f"the snapshot {self.snapshot.name} of {self.url}{since}"

    def states(self) -> dict[str, SlideState]:
        """The pinned state of every slide."""
        return dict(self.snapshot.states)

    def state(self, slide_id: str) -> SlideState:
        """What is pinned of one slide; an id that differs from it only in case is that one."""
        require_slug(slide_id, "slide_id")
        known = self._spellings.get(slide_id.casefold(), slide_id)
        return self.snapshot.states.get(known, SlideState(slide_id))

    def catalog(self) -> "pd.DataFrame":
        """The table of the pinned slides, with the metadata as it was; the store's own catalog is left alone."""
        if self._catalog is None:
            from slidelake.store.catalog import make_catalog

            self._catalog = make_catalog(self.objects, self.states(), self.metadata.read())
        return self._catalog.copy()

    def _need(self, slide_id: str, subject: Subject, state: SlideState | None = None) -> Commit:
        state = state or self.state(slide_id)
        if subject in state.keys and self.commit(slide_id, *subject) is None:
            raise UnknownSlideError(
                f"the slide was deleted since {self.place} was opened",
                remedy="Open the snapshot again: it is without the slide.",
                slide=slide_id,
            )
        return super()._need(slide_id, subject, state)

    def _state_to_write(self, slide_id: str) -> NoReturn:
        refuse(self.snapshot.name)


class _PinnedMetadata(Metadata):
    """The metadata of a snapshot's slides as it was."""

    def __init__(self, objects: Objects, snapshots: Snapshots, snapshot: Snapshot) -> None:
        super().__init__(objects)
        self._snapshots = snapshots
        self._snapshot = snapshot

    def generation(self) -> int:
        """The store's generation from which the snapshot's table was made."""
        return self._snapshot.metadata_generation

    def latest_key(self) -> str | None:
        """The key of the snapshot's table; None where nothing was said of its slides."""
        return self._snapshot.metadata or None

    def read(self) -> "pd.DataFrame":
        return self._snapshots.read_metadata(self._snapshot)

    def merge(self, frame: "pd.DataFrame") -> NoReturn:
        refuse(self._snapshot.name)

    def unset(self, column: str, slide_ids: Sequence[str] | None = None) -> NoReturn:
        refuse(self._snapshot.name)


class ReadOnlyObjects(Objects):
    """The objects of a store, as a snapshot's readers have them: whatever writes raises UsageError."""

    def __init__(self, url: str, snapshot: str) -> None:
        super().__init__(url)
        self._snapshot = snapshot

    def __reduce__(self) -> tuple[Any, ...]:
        return ReadOnlyObjects, (self.url, self._snapshot)

    def put_if_absent(self, key: str, data: bytes) -> NoReturn:
        refuse(self._snapshot)

    def replace(self, key: str, data: bytes) -> NoReturn:
        refuse(self._snapshot)

    def delete(self, key: str) -> NoReturn:
        refuse(self._snapshot)

    def delete_tree(self, prefix: str) -> NoReturn:
        refuse(self._snapshot)

    def prune(self, prefix: str) -> NoReturn:
        refuse(self._snapshot)

    def new_file(self, key: str, *, aside: bool = False) -> NewFile:
        refuse(self._snapshot)

    def upload(self, path: Path, key: str) -> NoReturn:
        refuse(self._snapshot)

    def sync_tree(self, prefix: str) -> NoReturn:
        refuse(self._snapshot)

    def check_put_if_absent(self) -> NoReturn:
        refuse(self._snapshot)

    def check_writable(self) -> NoReturn:
        refuse(self._snapshot)

    def put_mode(self) -> NoReturn:
        refuse(self._snapshot)


def refuse(snapshot: str) -> NoReturn:
    """The error of whoever writes through a snapshot."""
    raise UsageError(
        f"the snapshot {snapshot} cannot be written: it stays as it was made",
        remedy="Write through the store itself, without naming a snapshot.",
    )
