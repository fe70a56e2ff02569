"""`PatchLoader`: single patches of a cohort, mixed over its slides, with their labels; each once an epoch.

A patch alone is 2 KB of a file: read one by one in random order they would cost a seek or a request each. So rows
are read in blocks of neighbours, in random order, and mixed row by row within groups of blocks (patch_order.py).
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xxhash
from numpy.typing import NDArray

from slidelake.errors import UsageError
from slidelake.store.streaming.array_cache import open_cache
from slidelake.store.streaming.bag_source import BagSource
from slidelake.store.streaming.cohort import read_cohort, wanted_slides
from slidelake.store.streaming.patch_labels import PatchLabels
from slidelake.store.streaming.patch_order import PatchOrder
from slidelake.store.streaming.plan import PlanRules
from slidelake.store.streaming.position import Position
from slidelake.store.streaming.read_ahead import Pace, ReadAhead
from slidelake.store.streaming.room import Rooms, numpy_dtype

if TYPE_CHECKING:
    import torch

    from slidelake.store.feature_store import FeatureStore
    from slidelake.store.streaming.splits import Splits

__all__ = ["PatchBatch", "PatchLoader"]

#: Threads that read from a remote store: groups of blocks are large.
_REMOTE = 2


@dataclass
class PatchBatch:
    """B patches as tensors: `features` (B, D); `targets` (B,) int64, or None without labels; `slides` (B,) int64
    numbers into the loader's `slide_ids`; `rows` (B,) int64 in the slide's bag; `coords` (B, 2) int32 level-0 px,
    if asked for."""

    features: "torch.Tensor"
    targets: "torch.Tensor | None"
    slides: "torch.Tensor"
    rows: "torch.Tensor"
    coords: "torch.Tensor | None"
    epoch: int
    step: int

    def __len__(self) -> int:
        return len(self.rows)


class PatchLoader:
    """Streams the patches of one space in batches of `batch_size`, for one epoch each time it is iterated.

    With `labels` (PatchLabels) the labelled patches come, with their classes; else all valid ones. Each comes once
    an epoch; with `balance="class"` as many are drawn as there are, each class equally often. The last batch may
    be smaller, unless `drop_last`. Ranks get parts of one size (one patch may come twice for it, or with `drop_last`
    none; then some are left out). Order and draws depend on (`seed`, epoch) alone. `block` neighbouring rows are read
    at once, `mixed` rows mixed at a time: these are in memory two or three times.

    `slides`, `splits`, `part`, `fold`, `snapshot`, `read_ahead`, `cache`, `dtype`, `state_dict` are as in `BagLoader`.
    """

    def __init__(
        self,
        store: "FeatureStore",
        *,
        space: str | None = None,
        labels: PatchLabels | None = None,
        slides: Sequence[str] | None = None,
        splits: "Splits | None" = None,
        part: str | None = None,
        fold: int | None = None,
        batch_size: int = 256,
        balance: Literal["class"] | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
        block: int = 1024,
        mixed: int = 32768,
        snapshot: str | None = None,
        read_ahead: int | Literal["auto"] = "auto",
        cache: str | os.PathLike[str] | tuple[str | os.PathLike[str], int] | None = None,
        dtype: Any = None,
        with_coords: bool = False,
    ) -> None:
        for name, value in (("batch_size", batch_size), ("block", block), ("mixed", mixed)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UsageError(f"{name} is {value!r}", remedy="Give a whole number from 1 up.")
        if balance not in (None, "class") or (balance and labels is None):
            raise UsageError(f"balance={balance!r} needs labels", remedy="Use balance='class' with labels=.")
        self.store = store.at(snapshot) if snapshot else store
        wanted = wanted_slides(slides, splits, part, fold)
        # Labels are of one space already.
        wanted_space = space if space is not None or labels is None else labels.space
        self._cohort = read_cohort(self.store, wanted_space, slides=wanted, strict=slides is not None)
        if labels is not None and labels.space != self._cohort.spaces[0]:
            raise UsageError(
                f"the labels are of {labels.space}, not of {self._cohort.spaces[0]}",
                remedy="Read them for the space that is streamed.",
            )
        if labels is not None:
            self._cohort.keep(labels.slide_ids, "no labelled patch")
        self.space = self._cohort.spaces[0]
        #: The slides that are streamed, sorted.
        self.slide_ids = tuple(entry.bag_id for entry in self._cohort.entries)
        self.left_out = dict(self._cohort.left_out)
        self.classes = labels.classes if labels is not None else ()
        self._rules = PlanRules(
            seed=seed, shuffle=shuffle, drop_last=drop_last, rank=rank, world_size=world_size
        )
        self._batch_size, self._balance, self._block, self._mixed = batch_size, balance, block, mixed
        remote = self.store.objects.local is None
        self._source = BagSource(
            self.store, self._cohort, open_cache(cache, self.store, None if snapshot else self._cohort.live)
        )
        self._rooms = Rooms(numpy_dtype(dtype), spare=4)
        self._threads = (_REMOTE if remote else None) if read_ahead == "auto" else read_ahead
        self._with_coords = with_coords
        self._position, self._pace = Position(), Pace()
        # Which rows there are of each slide (None: all), and where they begin among all rows of the cohort.
        self._rows: list[NDArray[np.int64] | None] = []
        self._targets: NDArray[np.int64] | None = None
        counts = []
        targets = []
        for slide_id in self.slide_ids:
            rows = self._source.valid_rows([self._source.bag(slide_id, self.space)])
            if labels is not None:
                rows, mine = labels.of(slide_id)
                targets.append(mine)
            self._rows.append(rows)
            counts.append(len(self._source.bag(slide_id, self.space)) if rows is None else len(rows))
        if labels is not None:
            self._targets = np.concatenate([np.empty(0, np.int64), *targets])
        self._starts = np.cumsum([0, *counts])

    def __repr__(self) -> str:
        return (
            f"PatchLoader({self._starts[-1]} patches of {len(self.slide_ids)} slides, {self.space}, "
            f"{len(self)} batches, epoch {self.epoch})"
        )

    @property
    def epoch(self) -> int:
        """The epoch that is streamed, or comes next."""
        return self._position.epoch

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch that comes next."""
        self._position.set_epoch(epoch)

    def __len__(self) -> int:
        """Steps of an epoch, on every rank the same."""
        share = self._share
        return share // self._batch_size if self._rules.drop_last else -(-share // self._batch_size)

    @property
    def _share(self) -> int:
        total, world = int(self._starts[-1]), self._rules.world_size
        return total // world if self._rules.drop_last else -(-total // world)

    def state_dict(self) -> dict[str, Any]:
        """Where the loader stands, as plain JSON."""
        return self._position.state(self._identity())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where the state was taken; raises UsageError where the batches would be others."""
        self._position.load(state, self._identity())

    def _identity(self) -> dict[str, Any]:
        rules = self._rules
        return {
            "bags": self._cohort.digest,
            "patches": int(self._starts[-1]),
            "seed": rules.seed,
            "world_size": rules.world_size,
            "rank": rules.rank,
            "shuffle": rules.shuffle,
            "batch_size": self._batch_size,
            "balance": self._balance,
            "drop_last": rules.drop_last,
            "block": self._block,
            "mixed": self._mixed,
            "drawn_from": self._drawn_from,
        }

    @cached_property
    def _drawn_from(self) -> str:
        """Changes with the rows of each slide, and with their classes where these are drawn from."""
        state = xxhash.xxh3_128(self._starts.astype("<i8").tobytes())
        for rows in self._rows:
            state.update(b"all" if rows is None else rows.astype("<i8").tobytes())
        if self._balance and self._targets is not None:
            state.update(self._targets.astype("<i8").tobytes())
        return state.hexdigest()

    def __iter__(self) -> Iterator[PatchBatch]:
        epoch, step = self._position.begin()
        order = PatchOrder(
            self._starts,
            epoch=epoch,
            seed=self._rules.seed,
            shuffle=self._rules.shuffle,
            block=self._block,
            mixed=self._mixed,
            groups=self._targets if self._balance else None,
        )
        first = self._rules.rank * self._share
        end = first + min(self._share, len(self) * self._batch_size)
        pieces = order.pieces(first + step * self._batch_size, end)
        ahead = ReadAhead(
            lambda number: self._read(order, *pieces[number]), range(len(pieces)), self._threads, self._pace
        )
        try:
            rest: list[_Part] = []
            left = end - first - step * self._batch_size
            for part in ahead:
                rest.append(part)
                while left and sum(map(len, rest)) >= min(self._batch_size, left):
                    size = min(self._batch_size, left)
                    step, left = step + 1, left - size
                    batch = self._batch(_cut(rest, size), epoch, step - 1)
                    self._position.reached(epoch, step)
                    yield batch
        finally:
            ahead.close()
        self._position.finish(epoch)

    def _batch(self, parts: "list[_Part]", epoch: int, step: int) -> PatchBatch:
        import torch

        def joined(name: str) -> "torch.Tensor":
            return torch.from_numpy(np.concatenate([each.take(name) for each in parts]))

        features = joined("features")
        if self._rooms.dtype == "bfloat16":
            features = features.bfloat16()
        at = np.concatenate([each.take("at") for each in parts])
        return PatchBatch(
            features,
            None if self._targets is None else torch.from_numpy(self._targets[at]),
            joined("slides"),
            joined("rows"),
            joined("coords") if self._with_coords else None,
            epoch,
            step,
        )

    def _read(self, order: PatchOrder, group: int, first: int, end: int) -> "_Part":
        """The patches at some places of a group of blocks, in their mixed order."""
        at, places = np.unique(order.patches(group, first, end), return_inverse=True)
        slides = np.searchsorted(self._starts, at, side="right") - 1
        room: NDArray[Any] | None = None
        rows = np.empty(len(at), np.int64)
        coords = np.empty((len(at) if self._with_coords else 0, 2), np.int32)
        for slide in np.unique(slides).tolist():
            here = slice(*np.searchsorted(slides, [slide, slide + 1]).tolist())
            bag = self._source.bag(self.slide_ids[slide], self.space)
            local, known = at[here] - self._starts[slide], self._rows[slide]
            rows[here] = local if known is None else known[local]
            if room is None:
                kind = np.dtype(bag.commit.arrays["features"]["dtype"])
                room = self._rooms.features("packed", [len(at)], bag.dim, kind).views[0]
            self._source.read(bag, "features", rows[here], room[here])
            if self._with_coords:
                self._source.read(bag, "coords", rows[here], coords[here])
        features = room if room is not None else np.empty((0, 0), np.float16)
        return _Part(
            {"features": features, "slides": slides, "rows": rows, "at": at, "coords": coords}, places
        )


@dataclass
class _Part:
    """Arrays of patches as they were read, and `places`: which of them come, in order. `at` are the patches'
    numbers among the cohort's. Only what a batch takes is copied."""

    arrays: dict[str, NDArray[Any]]
    places: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.places)

    def take(self, name: str) -> NDArray[Any]:
        return np.take(self.arrays[name], self.places, axis=0)

    def cut(self, first: int, end: int | None) -> "_Part":
        return _Part(self.arrays, self.places[first:end])


def _cut(parts: list[_Part], size: int) -> list[_Part]:
    """Takes the first `size` patches off the parts."""
    taken = []
    while size:
        if len(parts[0]) <= size:
            taken.append(parts.pop(0))
            size -= len(taken[-1])
        else:
            taken.append(parts[0].cut(0, size))
            parts[0] = parts[0].cut(size, None)
            size = 0
    return taken
