"""Makes one batch: opens its bags, chooses rows, reads them into the batch's own memory, augments, adds targets."""

import logging
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import SlidelakeError, StoreError, UnknownSlideError, UsageError
from slidelake.store.bag import Bag
from slidelake.store.ids import split_space
from slidelake.store.streaming.augment import Augmentation
from slidelake.store.streaming.bag_source import BagSource, grids_of
from slidelake.store.streaming.batch import Batch, Layout
from slidelake.store.streaming.cohort import BagEntry, Cohort
from slidelake.store.streaming.plan import Draw, bag_rng
from slidelake.store.streaming.room import Rooms, borders
from slidelake.store.streaming.sampling import Candidates, Sampler

if TYPE_CHECKING:
    import torch

__all__ = ["BatchMaker", "BatchRules"]

log = logging.getLogger(__name__)

# Other bags that are tried in the place of those of a batch that cannot be read.
_SUBSTITUTES = 32


@dataclass(frozen=True)
class BatchRules:
    """How bags become batches, as `BagLoader` explains it."""

    seed: int = 0
    layout: Layout = "packed"
    sample: Sampler | None = None
    augment: Augmentation | None = None
    with_coords: bool = True
    on_error: Literal["raise", "skip"] = "raise"


@dataclass
class _Piece:
    """What is taken of one slide: its bags in the grid's spaces, the rows (None: all), and how many they are.

    `ready` holds the first space's features of those rows where choosing had to read them."""

    slide_id: str
    bags: list[Bag]
    rows: NDArray[np.int64] | None
    count: int
    ready: NDArray[Any] | None = None


class _FailedError(Exception):
    """Reading the bag at one place of a batch failed."""

    def __init__(self, place: int, error: SlidelakeError) -> None:
        super().__init__(place, error)
        self.place, self.error = place, error


class BatchMaker:
    """Makes batches of a cohort. Threads may share it: a batch depends on nothing but its draws and its epoch.

    `targets[i]` is bag i's target and `groups[i]` its class. `skipped` says which bags could not be read, and why.
    """

    def __init__(
        self,
        source: BagSource,
        cohort: Cohort,
        rules: BatchRules,
        rooms: Rooms,
        *,
        targets: NDArray[Any] | None = None,
        groups: Sequence[Hashable] | None = None,
    ) -> None:
        self._source, self._cohort, self._rules, self._rooms = source, cohort, rules, rooms
        self._targets, self._groups = targets, groups
        self._grids = grids_of(cohort.spaces)
        self._members: dict[Hashable, list[int]] = {}
        for number, group in enumerate(groups or ()):
            self._members.setdefault(group, []).append(number)
        self.skipped: dict[str, str] = {}

    def make(self, draws: Sequence[Draw], epoch: int, step: int) -> Batch:
        """The batch of these bags; raises what a bag raises, or takes others in its place (`on_error="skip"`)."""
        draws = list(draws)
        gone: list[int] = []
        while True:
            try:
                return self._make(draws, epoch, step)
            except _FailedError as exc:
                place, error = exc.place, exc.error
            # Raised out here, the error is the bag's own, with its own cause.
            failed = draws[place]
            if not self._skips(error, self._cohort.entries[failed.bag].bag_id):
                raise error
            gone.append(failed.bag)
            draws[place] = self._substitute(failed, epoch, gone, error)

    def _skips(self, error: SlidelakeError, bag_id: str) -> bool:
        """Whether to go on without this bag; it is written down then."""
        if self._rules.on_error == "raise" or not isinstance(error, StoreError | UnknownSlideError):
            return False
        self.skipped[bag_id] = str(error)
        log.warning("a bag is skipped", extra={"slide_id": bag_id, "error": str(error)})
        return True

    def _substitute(self, failed: Draw, epoch: int, gone: Sequence[int], error: SlidelakeError) -> Draw:
        """Another bag, of the same class where there are classes, so that every rank keeps its steps.

        It depends on the bag alone, not on what other threads met before."""
        entry = self._cohort.entries[failed.bag]
        there = self._members[self._groups[failed.bag]] if self._groups else range(len(self._cohort.entries))
        others = [number for number in there if number not in gone]
        if not others or len(gone) > _SUBSTITUTES:
            raise StoreError(
                "this bag cannot be read, nor any that stood in its place",
                remedy=f"Run slidelake verify. The last reason was: {error}",
                slide=entry.bag_id,
            )
        rng = bag_rng(self._rules.seed, epoch, entry.bag_id, failed.turn, "substitute")
        return Draw(others[int(rng.integers(len(others)))], failed.turn + len(gone))

    def _make(self, draws: Sequence[Draw], epoch: int, step: int) -> Batch:
        entries = [self._cohort.entries[each.bag] for each in draws]
        parts = {grid: self._read_grid(grid, draws, entries, epoch) for grid in self._grids}
        one = next(iter(parts.values()))
        features = {space: part.features[space] for part in parts.values() for space in part.features}
        ordered = {space: features[space] for space in self._cohort.spaces}

        def each(name: str) -> Any:
            if len(parts) == 1:
                return getattr(one, name)
            found = {space: getattr(part, name) for grid, part in parts.items() for space in grid}
            return None if all(value is None for value in found.values()) else found

        return Batch(
            features=next(iter(ordered.values())) if len(ordered) == 1 else ordered,
            cu_seqlens=each("cu_seqlens"),
            bag_ids=tuple(entry.bag_id for entry in entries),
            slide_ids=tuple(slide for entry in entries for slide in entry.slide_ids),
            patient_ids=tuple(entry.patient_id for entry in entries),
            slide_seqlens=each("slide_seqlens"),
            targets=self._targets_of(draws),
            coords=each("coords"),
            rows=each("rows"),
            mask=each("mask"),
            epoch=epoch,
            step=step,
        )

    def _targets_of(self, draws: Sequence[Draw]) -> "torch.Tensor | None":
        if self._targets is None:
            return None
        return self._rooms.tensor(self._targets[[each.bag for each in draws]])

    def _read_grid(
        self, spaces: tuple[str, ...], draws: Sequence[Draw], entries: Sequence[BagEntry], epoch: int
    ) -> "_GridPart":
        """Everything of a batch that lies on one grid."""
        picked = []
        for place, (each, entry) in enumerate(zip(draws, entries, strict=True)):
            with _at(place):
                picked.append(self._pick(entry, spaces, epoch, each.turn))
        lengths = [sum(piece.count for piece in pieces) for pieces in picked]
        layout, rooms = self._rules.layout, self._rooms
        features = {}
        for number, space in enumerate(spaces):
            room = rooms.features(layout, lengths, *_kind(picked, number))
            for place, (pieces, view) in enumerate(zip(picked, room.views, strict=True)):
                with _at(place):
                    self._fill(pieces, number, view)
                    self._augment(view, draws[place], space, epoch)
            features[space] = room.value
        coords = None
        if self._rules.with_coords:
            room = rooms.make(layout, lengths, (2,), np.dtype(np.int32), 0)
            for place, (pieces, view) in enumerate(zip(picked, room.views, strict=True)):
                with _at(place):
                    self._each_piece(
                        pieces, lambda p, v: self._source.read(p.bags[0], "coords", p.rows, v), view
                    )
            coords = room.value
        numbers = rooms.make(layout, lengths, (), np.dtype(np.int64), -1)
        for pieces, view in zip(picked, numbers.views, strict=True):
            self._each_piece(pieces, _number, view)
        cu_seqlens = rooms.tensor(borders(lengths))
        slides = cu_seqlens
        if any(len(pieces) > 1 for pieces in picked):
            slides = rooms.tensor(borders([piece.count for pieces in picked for piece in pieces]))
        return _GridPart(
            features,
            cu_seqlens,
            slides,
            coords,
            numbers.value,
            rooms.mask(lengths) if layout == "padded" else None,
        )

    def _fill(self, pieces: Sequence[_Piece], number: int, view: NDArray[Any]) -> None:
        def read(piece: _Piece, out: NDArray[Any]) -> None:
            if piece.ready is not None and number == 0:
                out[...] = piece.ready
            else:
                self._source.read(piece.bags[number], "features", piece.rows, out)

        self._each_piece(pieces, read, view)

    @staticmethod
    def _each_piece(pieces: Sequence[_Piece], read: Any, view: NDArray[Any]) -> None:
        start = 0
        for piece in pieces:
            if piece.count:
                read(piece, view[start : start + piece.count])
            start += piece.count

    # Choosing rows

    def _pick(self, entry: BagEntry, spaces: tuple[str, ...], epoch: int, turn: int) -> list[_Piece]:
        pieces = []
        for slide_id in entry.slide_ids:
            bags = self._source.bags(slide_id, spaces)
            valid = self._source.valid_rows(bags)
            pieces.append(_Piece(slide_id, bags, valid, len(bags[0]) if valid is None else len(valid)))
        if self._rules.sample is None:
            return pieces
        rng = bag_rng(self._rules.seed, epoch, entry.bag_id, turn, f"sample {split_space(spaces[0])[0]}")
        return self._sample(self._rules.sample, pieces, spaces[0], rng)

    def _sample(
        self, sampler: Sampler, pieces: list[_Piece], space: str, rng: np.random.Generator
    ) -> list[_Piece]:
        """The pieces with the rows that the sampler chooses among all of the bag's, its slides counted end to end."""
        starts = np.cumsum([0, *(len(piece.bags[0]) for piece in pieces)])
        rows = [np.arange(p.count) if p.rows is None else p.rows for p in pieces]
        every = np.concatenate([mine + start for mine, start in zip(rows, starts, strict=False)])
        read: dict[str, NDArray[Any]] = {}

        def features() -> NDArray[Any]:
            if "features" not in read:
                read["features"] = np.concatenate(
                    [self._source.read(p.bags[0], "features", p.rows) for p in pieces]
                )
            return read["features"]

        def scores() -> NDArray[np.float32]:
            name = str(getattr(sampler, "aggregator", ""))
            return np.concatenate(
                [
                    self._source.scores(piece.slide_id, space, name)[:, mine]
                    for piece, mine in zip(pieces, rows, strict=True)
                ],
                axis=1,
            )

        chosen = sampler.choose(Candidates(every, lambda: self._coords(pieces), features, scores), rng)
        places = np.searchsorted(every, chosen)
        if len(chosen) and (
            (np.diff(chosen) <= 0).any() or places[-1] >= len(every) or (every[places] != chosen).any()
        ):
            raise UsageError(
                f"{sampler!r} chose rows that are not candidates, or not in ascending order",
                remedy="A sampler returns some of candidates.rows, sorted, none twice.",
            )
        cuts = np.searchsorted(chosen, starts)
        sampled = []
        for number, piece in enumerate(pieces):
            mine = slice(cuts[number], cuts[number + 1])
            count = mine.stop - mine.start
            whole = piece.rows is None and count == piece.count
            ready = read["features"][places[mine]] if "features" in read else None
            local = None if whole else chosen[mine] - starts[number]
            sampled.append(_Piece(piece.slide_id, piece.bags, local, int(count), ready))
        return sampled

    def _coords(self, pieces: Sequence[_Piece]) -> NDArray[np.int32]:
        """(n, 2) int32 of all the pieces; each slide of a patient lies to the right of the one before."""
        found, right = [], 0
        for piece in pieces:
            mine = np.array(self._source.read(piece.bags[0], "coords", piece.rows))
            if len(pieces) > 1 and len(mine):
                mine[:, 0] += right - mine[:, 0].min()
                right = int(mine[:, 0].max()) * 2 - right + 1 if len(mine) > 1 else right + 1
            found.append(mine)
        return np.concatenate(found)

    # Augmentation

    def _augment(self, view: NDArray[Any], each: Draw, space: str, epoch: int) -> None:
        augment = self._rules.augment
        if augment is None:
            return
        bag_id = self._cohort.entries[each.bag].bag_id
        rng = bag_rng(self._rules.seed, epoch, bag_id, each.turn, f"augment {space}")
        mate = self._mate(each, space, epoch) if augment.needs_mate else None
        changed = augment.apply(view, rng, mate)
        if changed.shape != view.shape:
            raise UsageError(
                f"{augment!r} made {changed.shape} of features of shape {view.shape}",
                remedy="An augmentation keeps the number of rows; to leave rows out, take a sampler.",
                slide=bag_id,
            )
        view[...] = changed

    def _mate(self, each: Draw, space: str, epoch: int) -> NDArray[Any] | None:
        """Features of another bag of the same class, sampled likewise; None where the class has no other."""
        group = self._groups[each.bag] if self._groups is not None else None
        others = [number for number in self._members.get(group, ()) if number != each.bag]
        bag_id = self._cohort.entries[each.bag].bag_id
        rng = bag_rng(self._rules.seed, epoch, bag_id, each.turn, "mate")
        for number in rng.permutation(len(others))[:_SUBSTITUTES].tolist():
            mate = self._cohort.entries[others[number]]
            try:
                return self._features_of(mate, space, epoch, each.turn)
            except SlidelakeError as error:
                if not self._skips(error, mate.bag_id):
                    raise
        return None

    def _features_of(self, entry: BagEntry, space: str, epoch: int, turn: int) -> NDArray[Any]:
        spaces = next(grid for grid in self._grids if space in grid)
        pieces = self._pick(entry, spaces, epoch, turn)
        number = spaces.index(space)
        room = self._rooms.features("packed", [sum(p.count for p in pieces)], *_kind([pieces], number))
        self._fill(pieces, number, room.views[0])
        return room.views[0]


@dataclass
class _GridPart:
    features: dict[str, Any]
    cu_seqlens: Any
    slide_seqlens: Any
    coords: Any
    rows: Any
    mask: Any


class _at:  # noqa: N801 - reads as the statement it makes
    """Says at which place of the batch something failed."""

    def __init__(self, place: int) -> None:
        self._place = place

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, SlidelakeError):
            raise _FailedError(self._place, error) from error


def _number(piece: _Piece, out: NDArray[np.int64]) -> None:
    out[...] = np.arange(piece.count) if piece.rows is None else piece.rows


def _kind(picked: Sequence[Sequence[_Piece]], number: int) -> tuple[int, np.dtype[Any]]:
    """D and the dtype that holds all the bags' features; raises UsageError where D differs."""
    entries: list[tuple[str, Mapping[str, Any]]] = [
        (piece.slide_id, piece.bags[number].commit.arrays["features"])
        for pieces in picked
        for piece in pieces
    ]
    dim = int(entries[0][1]["shape"][1])
    for slide_id, entry in entries:
        if entry["shape"][1] != dim:
            raise UsageError(
                f"its features have {entry['shape'][1]} dimensions, others of the space {dim}",
                remedy="Encode it again: one space is one encoder.",
                slide=slide_id,
            )
    return dim, np.result_type(*{np.dtype(entry["dtype"]) for _, entry in entries})
