"""The store as one object: what is in it, reading it, and the writers."""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import AlreadyCommittedError, DamagedStoreError, GridMismatchError, UsageError
from slidelake.store.annotations import Annotations
from slidelake.store.attempts import Attempt
from slidelake.store.bag import Grid
from slidelake.store.bag_writer import BagWriter, finite
from slidelake.store.checksums import checksum
from slidelake.store.chunk_codecs import require_compression
from slidelake.store.commits import FORMAT, Commit, latest_commit, read_state
from slidelake.store.deny_list import DenyList
from slidelake.store.ids import require_slug, split_space
from slidelake.store.info import DEFAULT_TISSUE_RULE, StoreInfo, create_info, not_found, read_info
from slidelake.store.layout import SlideState, Subject, closed_key
from slidelake.store.metadata import Metadata
from slidelake.store.objects import Objects
from slidelake.store.quarantine import Quarantine
from slidelake.store.redact import Redactor
from slidelake.store.report_store import ReportStore
from slidelake.store.reports import put_report
from slidelake.store.snapshots import Snapshots
from slidelake.store.store_reader import StoreReader

if TYPE_CHECKING:
    import pandas as pd

    from slidelake.store.deletion import Deletion

__all__ = ["FeatureStore"]


class FeatureStore(StoreReader):
    """A store, opened. Slides are known by their commits; nothing is kept in memory that another writer
    could change, but for the spelling of slide ids."""

    def __init__(self, objects: Objects, info: StoreInfo) -> None:
        super().__init__(objects)
        self.info = info
        self.denied = DenyList(objects, info)
        self.metadata = Metadata(objects, self.denied)
        self.quarantine = Quarantine(objects, self.denied)
        self.snapshots = Snapshots(self)
        self.annotations = Annotations(self)
        self.reports = ReportStore(self)

    @classmethod
    def open(
        cls,
        url: str | os.PathLike[str],
        *,
        create: bool = False,
        tissue_rule: str = DEFAULT_TISSUE_RULE,
        compression: str | None = None,
    ) -> "FeatureStore":
        """Opens the store at a folder or fsspec URL; with `create`, makes it where there is none.

        `tissue_rule` (rule and version) is what a new store's grid ids need not name. `compression` is how a new
        store packs its arrays, for ever: none (the default), zstd, blosc or pcodec. Raises NotAStoreError,
        StoreVersionError, StoreNotWritableError, DamagedStoreError; UsageError where the store is there with
        another compression than the one named; MissingDependencyError for pcodec.
        """
        if compression is not None:
            require_compression(compression)
        objects = Objects(url)
        info = read_info(objects)
        if info is None:
            if not create:
                raise not_found(objects)
            info = create_info(objects, tissue_rule, compression or "none")
        if compression not in (None, info.compression):
            raise UsageError(
                f"the store {objects.url} was made with compression {info.compression}, not {compression}",
                remedy="Leave the compression out; another one needs another store.",
            )
        return cls(objects, info)

    def at(self, snapshot: str) -> "FeatureStore":
        """The store as a snapshot pinned it: states, bags, catalog and metadata are those of then, writing
        raises UsageError. Raises UnknownNameError."""
        from slidelake.store.pinned import PinnedStore

        return PinnedStore(self.objects, self.info, self.snapshots.read(snapshot))

    def __repr__(self) -> str:
        return f"FeatureStore({self.url!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return FeatureStore, (self.objects, self.info)

    def catalog(self) -> "pd.DataFrame":
        """The table of slides: slide_id, patient_id, uri, mpp, width, height, spaces, n_patches, metadata."""
        from slidelake.store.catalog import read_catalog

        return read_catalog(self)

    # Writing

    def put_overview(
        self,
        slide_id: str,
        *,
        thumbnail: NDArray[np.uint8],
        tissue_mask: NDArray[np.uint8],
        attributes: Mapping[str, Any],
        provenance: Mapping[str, Any],
    ) -> Commit:
        """Commits (h, w, 3) uint8 RGB and a (h, w) uint8 mask of 0 and 1. One that is there already stands:
        within an epoch the source is the same."""
        if thumbnail.ndim != 3 or thumbnail.shape[2] != 3 or thumbnail.dtype != np.uint8:
            raise _misshapen(slide_id, "thumbnail", thumbnail, "(h, w, 3) uint8")
        if tissue_mask.ndim != 2 or tissue_mask.dtype.kind not in "bu":
            raise _misshapen(slide_id, "tissue mask", tissue_mask, "(h, w) uint8")
        state = self._state_to_write(slide_id)
        there = latest_commit(self.objects, state, Subject("overview"))
        if there is not None:
            return there
        with self._attempt(state, Subject("overview")) as attempt:
            attempt.put("thumbnail", thumbnail, ("y", "x", "channel"))
            # The mask has a size of its own; xarray wants other names for other sizes.
            attempt.put("tissue_mask", tissue_mask.astype(np.uint8), ("mask_y", "mask_x"))
            try:
                return attempt.commit(attributes=attributes, provenance=provenance)
            except AlreadyCommittedError:
                return self._need(slide_id, Subject("overview"))

    def put_grid(
        self,
        slide_id: str,
        grid_id: str,
        *,
        coords: NDArray[Any],
        columns: Mapping[str, NDArray[np.uint8]],
        attributes: Mapping[str, Any],
        provenance: Mapping[str, Any],
        coords_original: NDArray[Any] | None = None,
    ) -> Grid:
        """Commits (N, 2) int32 coords and (N,) uint8 columns; returns the committed grid, which is another
        writer's where that was first: grids are never made again within an epoch. `coords_original` (N, 2) are
        an import's coordinates in their own unit."""
        subject = Subject("grid", require_slug(grid_id, "grid_id"))
        array = np.asarray(coords)
        if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu":
            raise _misshapen(slide_id, "coords", array, "(N, 2) int32")
        whole = array.astype(np.int32)
        if not np.array_equal(whole, array):
            raise _misshapen(slide_id, "coords", array, "values within int32")
        for name, column in columns.items():
            if (
                name in ("coords", "coords_original")
                or require_slug(name, "column") != name
                or column.shape != (len(whole),)
            ):
                raise _misshapen(slide_id, f"column {name}", column, f"({len(whole)},) uint8")
            if column.dtype != np.uint8:
                raise _misshapen(slide_id, f"column {name}", column, "uint8")
        if coords_original is not None and coords_original.shape != whole.shape:
            raise _misshapen(slide_id, "coords_original", coords_original, f"{whole.shape}")
        state = self._state_to_write(slide_id)
        there = latest_commit(self.objects, state, subject)
        if there is not None:
            return Grid(self.objects, there)
        with self._attempt(state, subject) as attempt:
            attempt.put("coords", whole, ("patch", "xy"))
            if coords_original is not None:
                attempt.put("coords_original", coords_original, ("patch", "xy"))
            for name, column in columns.items():
                attempt.put(name, column, ("patch",))
            try:
                commit = attempt.commit(
                    attributes=attributes, provenance=provenance, grid_checksum=checksum(whole)
                )
            except AlreadyCommittedError:
                return self.grid(slide_id, grid_id)
        return Grid(self.objects, commit)

    def bag_writer(
        self,
        slide_id: str,
        grid_id: str,
        encoder_id: str,
        *,
        dim: int,
        dtype: str = "float16",
        attributes: Mapping[str, Any] | None = None,
        coords: NDArray[Any] | None = None,
        replaces: int = 0,
    ) -> BagWriter:
        """A writer for (N, dim) features on a grid, the next generation where a bag is there.

        `coords` (N, 2) are those of a grid that will be committed before this bag is (its columns may come from
        the very pixels that are encoded). `replaces` is an epoch that will be closed before this bag is committed:
        the bag belongs to the next one. Raises GridMismatchError where there are no coords and the grid is not
        committed.
        """
        state = SlideState(slide_id, replaces + 1) if replaces else self._state_to_write(slide_id)
        grid = latest_commit(self.objects, state, Subject("grid", grid_id))
        if grid is not None:
            there = Grid(self.objects, grid)
            coords = np.asarray(there.coords)
            if checksum(coords) != there.checksum:
                raise DamagedStoreError(
                    f"the coords in {there.path} are not those that were committed",
                    remedy="Run slidelake verify.",
                    slide=slide_id,
                )
        elif coords is None:
            raise GridMismatchError(
                f"the grid {grid_id} of this slide is not committed",
                remedy="Commit it with put_grid first: rows agree with its coords.",
                slide=slide_id,
            )
        require_slug(encoder_id, "encoder_id")
        return BagWriter(
            self.objects,
            state,
            grid_id,
            np.asarray(coords, np.int32),
            encoder_id,
            dim=dim,
            dtype=dtype,
            attributes=attributes,
            compression=self.info.compression,
            denied=self.denied,
        )

    def put_pooled(
        self,
        slide_id: str,
        space: str,
        aggregator_id: str,
        *,
        embedding: NDArray[Any],
        scores: NDArray[Any] | None = None,
        lse: NDArray[Any] | None = None,
        attributes: Mapping[str, Any] | None = None,
        provenance: Mapping[str, Any],
        seen: int | None = None,
    ) -> Commit:
        """Commits a (K, E) embedding and, with attention, (K, N) scores and (K,) lse, all as float32.

        Scores and lse may be -inf (rows left out, empty bags). Raises NotFiniteError for the embedding,
        AlreadyCommittedError where another writer was first: since the writer began to commit, or, with `seen`, since
        it saw this generation of the embedding (0: none).
        """
        grid_id, encoder_id = split_space(space)
        subject = Subject("pooled", grid_id, encoder_id, require_slug(aggregator_id, "aggregator_id"))
        if embedding.ndim != 2:
            raise _misshapen(slide_id, "embedding", embedding, "(K, E)")
        branches = len(embedding)
        if (scores is None) != (lse is None):
            raise UsageError("scores and lse go together", remedy="Give both or neither.", slide=slide_id)
        state = self._state_to_write(slide_id)
        if seen is not None and state.generation(subject) != seen:
            raise AlreadyCommittedError(
                f"another writer committed the embedding by {aggregator_id} first; its data stands",
                remedy="Nothing is to do; read what is there.",
                slide=slide_id,
            )
        bag = self._need(slide_id, Subject("bag", grid_id, encoder_id), state)
        rows = bag.arrays["features"]["shape"][0]
        with self._attempt(state, subject) as attempt:
            attempt.put("embedding", finite(embedding, np.dtype("float32"), slide_id), ("branch", "feature"))
            if scores is not None and lse is not None:
                if scores.shape != (branches, rows):
                    raise _misshapen(slide_id, "scores", scores, f"({branches}, {rows})")
                if lse.shape != (branches,):
                    raise _misshapen(slide_id, "lse", lse, f"({branches},)")
                attempt.put("scores", scores.astype(np.float32), ("branch", "patch"), axis=1)
                attempt.put("lse", lse.astype(np.float32), ("branch",))
            return attempt.commit(
                attributes=attributes or {}, provenance=provenance, grid_checksum=bag.grid_checksum
            )

    def close_epoch(self, slide_id: str, epoch: int | None = None) -> None:
        """Ends an epoch of the slide, the open one by default: all in it is dead, what a late writer adds too.
        The next commit opens the next epoch. Nothing happens where nothing is committed in the open one, or the
        epoch is not the open one any more."""
        state = self.state(slide_id)
        if not state.keys or epoch not in (None, state.epoch):
            return
        body = {"format": FORMAT, "closed": datetime.now(UTC).isoformat(timespec="microseconds")}
        self.objects.put_if_absent(closed_key(state.slide_id, state.epoch), json.dumps(body).encode())

    def delete_slide(self, slide_id: str) -> "Deletion":
        """Denies the slide, its source and its content, closes its epoch, and removes what this store holds of it.

        An id that the store does not know is denied all the same. Run again after an interruption it goes on.
        The index is not reached from here: `slidelake.services.delete` spans both.
        """
        from slidelake.store.deletion import delete_slides

        return delete_slides(self, [slide_id])

    def put_run(self, run_id: str, report: Mapping[str, Any]) -> None:
        """Keeps what a run was asked and did; raises AlreadyCommittedError for a run_id that is there."""
        if not put_report(self.objects, require_slug(run_id, "run_id"), report, Redactor(self.denied)):
            raise AlreadyCommittedError(
                f"the run {run_id} has a report already", remedy="Give each run an id of its own."
            )

    def runs(self) -> list[dict[str, Any]]:
        """Every run's report, by run_id."""
        return [self.objects.read_json(key) for key in self.objects.list("runs")]

    def _attempt(self, state: SlideState, subject: Subject) -> Attempt:
        return Attempt(self.objects, state, subject, self.info.compression, self.denied)

    def _state_to_write(self, slide_id: str) -> SlideState:
        require_slug(slide_id, "slide_id")
        self.denied.refuse(slide_id, slide_id=slide_id)
        state = read_state(self.objects, slide_id)
        if not state.keys:
            self._names.claim(slide_id)
            # Deleted, its marks collected, and allowed again: an epoch that was closed does not begin once more.
            state = SlideState(slide_id, max(state.epoch, self.denied.closed(slide_id) + 1))
        return state


def _misshapen(slide_id: str, what: str, array: NDArray[Any], wanted: str) -> UsageError:
    return UsageError(f"the {what} is {array.shape} {array.dtype}", remedy=f"Give {wanted}.", slide=slide_id)
