"""A cohort: the bags of many slides in one space as one lazy array, with where each row comes from."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import UsageError
from slidelake.store.commits import Commit, latest_commit
from slidelake.store.ids import split_space
from slidelake.store.layout import SlideState, Subject
from slidelake.store.listing import readers
from slidelake.store.names import match_space
from slidelake.store.views.blocks import Block, Rows, block_rows_for, lazy_array, slim
from slidelake.store.views.selection import Bounds, Where, bounds_of, choose_slides, columns_of, good_rows

if TYPE_CHECKING:
    import dask.array as da
    import pandas as pd
    import xarray

    from slidelake.store.feature_store import FeatureStore
    from slidelake.store.views.kmeans import KMeans
    from slidelake.store.views.statistics import Statistics

__all__ = ["Cohort", "cohort"]

# Few slides are asked for one by one; for more, one listing is quicker.
_FEW = 100


def cohort(
    store: "FeatureStore",
    space: str | None = None,
    *,
    slides: Sequence[str] | None = None,
    where: Where | None = None,
    quality: Mapping[str, tuple[int | None, int | None]] | None = None,
    snapshot: str | None = None,
    block_rows: int | None = None,
) -> "Cohort":
    """The bags of a space as one lazy array. Reads commits (several at a time) and no array, but for the small
    columns that `quality` names and `valid` of bags that have rows which are not.

    `slides` (ids) and `where` choose slides: `{"site": "larynx", "stage": ["I", "II"]}` by the catalog's
    columns, or a function of the catalog's table that returns bools. `quality` keeps rows by the grid's uint8
    columns, both ends taken: `{"tissue": (128, None), "blur": (None, 200)}`. Rows that are not valid are left
    out. `block_rows` bounds the rows of a block (default: 32 MiB of features); a block never spans two bags.

    Raises UnknownSpaceError, UnknownSlideError, FilterError, UsageError (bags of several dimensions).
    """
    if block_rows is not None and block_rows < 1:
        raise UsageError(f"block_rows={block_rows}", remedy="Give 1 or more.")
    if snapshot is not None:
        store = store.at(snapshot)
    bounds = bounds_of(quality)
    frame = store.catalog()
    space = match_space(space, sorted({each for spaces in frame["spaces"] for each in spaces}))
    frame = choose_slides(frame, store.url, space, slides, where)
    wanted = frame["slide_id"].tolist()
    states = {each: store.state(each) for each in wanted} if len(wanted) <= _FEW else store.states()
    look = partial(_look, store, split_space(space), bounds)
    with ThreadPoolExecutor(readers(store.objects)) as pool:
        found = list(pool.map(look, (states.get(each, SlideState(each)) for each in wanted)))
    # A slide that went since the catalog was made is not there; the others are.
    frame = frame[[each is not None for each in found]].reset_index(drop=True)
    return Cohort(store, space, frame, [each for each in found if each is not None], bounds, block_rows)


def _look(
    store: "FeatureStore", space: tuple[str, str], bounds: Bounds, state: SlideState
) -> tuple[Commit, Commit | None, NDArray[np.int32] | None] | None:
    """A slide's bag, its grid where columns are asked for, and the rows to take (None: all)."""
    bag = latest_commit(store.objects, state, Subject("bag", *space))
    if bag is None:
        return None
    grid = latest_commit(store.objects, state, Subject("grid", space[0])) if bounds else None
    kept = good_rows(store.objects, bag, grid, bounds)
    return slim(bag), slim(grid) if grid is not None else None, kept


class Cohort:
    """The rows of many bags end to end, T in all, slide by slide. Made by `cohort`; picklable.

    `len()` is T. `slides` is a table: the catalog's columns, then `patches` (N of the bag), `rows` (those
    taken) and `first_row` (where they begin).
    """

    def __init__(
        self,
        store: "FeatureStore",
        space: str,
        frame: "pd.DataFrame",
        found: Sequence[tuple[Commit, Commit | None, NDArray[np.int32] | None]],
        bounds: Bounds,
        block_rows: int | None,
    ) -> None:
        self.store = store
        self.space = space
        self.quality = dict(bounds)
        self._found = list(found)
        patches = [int(bag.arrays["features"]["shape"][0]) for bag, _, _ in found]
        rows = [n if kept is None else len(kept) for n, (_, _, kept) in zip(patches, found, strict=True)]
        first = np.concatenate([[0], np.cumsum(rows, dtype=np.int64)])
        self.slides = frame.assign(patches=patches, rows=rows, first_row=first[:-1])
        self._rows = int(first[-1])
        self.dim, self.dtype = _one_shape([bag for bag, _, _ in found], space)
        self.block_rows = block_rows or block_rows_for(self.dim * self.dtype.itemsize)

    def __len__(self) -> int:
        return self._rows

    def __repr__(self) -> str:
        return (
            f"Cohort({self.space}: {len(self.slides)} slides, {len(self):,} rows of {self.dim} {self.dtype})"
        )

    @property
    def bags(self) -> list[Commit]:
        """The bags' commits, in the order of `slides`, without their provenance and attributes."""
        return [bag for bag, _, _ in self._found]

    @property
    def shape(self) -> tuple[int, int]:
        """(T, D)"""
        return len(self), self.dim

    @cached_property
    def patients(self) -> list[str]:
        """The patients, in the order of their numbers."""
        return sorted(set(self.slides["patient_id"]))

    @cached_property
    def blocks(self) -> list[Block]:
        """The parts that tasks read, in the order of the rows."""
        numbers = {patient: number for number, patient in enumerate(self.patients)}
        blocks = []
        for number, ((bag, grid, kept), patient) in enumerate(
            zip(self._found, self.slides["patient_id"], strict=True)
        ):
            rows = int(bag.arrays["features"]["shape"][0]) if kept is None else len(kept)
            for start in range(0, rows, self.block_rows):
                stop = min(start + self.block_rows, rows)
                part: Rows = (start, stop) if kept is None else kept[start:stop]
                blocks.append(Block(self.store.objects, bag, grid, part, number, numbers[patient]))
        return blocks

    def rows_of(self, slide_id: str) -> slice:
        """Where a slide's rows lie; raises UsageError for a slide that is not in the cohort."""
        place = self.slides.index[self.slides["slide_id"] == slide_id]
        if not len(place):
            raise UsageError(f"{slide_id} is not in the cohort", remedy="cohort.slides lists its slides.")
        first, rows = (int(self.slides.at[place[0], name]) for name in ("first_row", "rows"))
        return slice(first, first + rows)

    @cached_property
    def features(self) -> "da.Array":
        """(T, D) in the dtype of the bags: float16 stays float16."""
        return self._lazy("features", self.dtype, self.dim, partial(Block.features, dtype=self.dtype.name))

    @cached_property
    def coords(self) -> "da.Array":
        """(T, 2) int32: level-0 px of each patch's top-left corner, x before y."""
        return self._lazy("coords", np.dtype(np.int32), 2, Block.coords)

    def column(self, name: str) -> "da.Array":
        """(T,) uint8: a column of the grid (`tissue`, `blur`, …). Reads the grids' commits at the first call."""
        missing = [
            bag.slide_id
            for (bag, _, _), names in zip(self._found, self._columns, strict=True)
            if name not in names
        ]
        if missing:
            raise UsageError(
                f"the grid has no column {name}",
                remedy=f"Name one of: {', '.join(self.column_names)}.",
                slide=missing[0],
            )
        return self._lazy(name, np.dtype(np.uint8), None, partial(Block.column, name=name))

    @property
    def column_names(self) -> list[str]:
        """The columns that the grids of all slides have."""
        sets = [set(names) for names in self._columns]
        return sorted(set.intersection(*sets)) if sets else []

    def numbers(self, what: str) -> "da.Array":
        """(T,) int32: `row` of the bag, number of the `slide` in `slides`, or of the `patient` in `patients`."""
        return self._lazy(what, np.dtype(np.int32), None, partial(Block.numbers, what=what))

    def to_xarray(self, columns: bool = True) -> "xarray.Dataset":
        """All of it as a Dataset over dask arrays.

        `features (patch, feature)`; along `patch` the coordinates `slide` and `patient` (numbers into
        `slide_id` and `patient_id`, which are not written out for each of millions of rows), `row` of the bag,
        `x`, `y` in level-0 px and, with `columns`, the grid's columns.
        """
        import xarray

        along = {
            "slide": self.numbers("slide"),
            "patient": self.numbers("patient"),
            "row": self.numbers("row"),
            "x": self.coords[:, 0],
            "y": self.coords[:, 1],
            **({name: self.column(name) for name in self.column_names} if columns else {}),
        }
        coords: dict[str, Any] = {name: ("patch", values) for name, values in along.items()}
        coords["slide_id"] = ("slides", np.asarray(self.slides["slide_id"], dtype=object).astype(str))
        coords["patient_id"] = ("patients", np.asarray(self.patients, dtype=str))
        dataset = xarray.Dataset({"features": (("patch", "feature"), self.features)}, coords)
        dataset["slide"].attrs["description"] = "number of the slide in slide_id"
        dataset["patient"].attrs["description"] = "number of the patient in patient_id"
        for name in ("x", "y"):
            dataset[name].attrs.update(units="px", description="level-0 pixel of the patch's top-left corner")
        dataset.attrs.update(space=self.space, store=self.store.url)
        return dataset

    @cached_property
    def rows_per_slide(self) -> NDArray[np.int64]:
        """(S,) rows taken of each slide."""
        rows: NDArray[np.int64] = self.slides["rows"].to_numpy(np.int64)
        return rows

    def slide_of(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
        """The number of the slide, in `slides`, that each of some rows of the cohort belongs to."""
        return np.searchsorted(self.slides["first_row"].to_numpy(), rows, side="right") - 1

    def sample(self, count: int, *, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Some rows, drawn evenly without replacement: their (n,) numbers in the cohort, ascending, and (n, D)
        doubles. The same for a seed whatever the blocks; all rows where there are no more than `count`."""
        from slidelake.store.views.sample import draw

        return draw(self, count, seed)

    def statistics(self, weight: str = "patch") -> "Statistics":
        """Mean and covariance of the features, and what follows from them: see `Statistics`."""
        from slidelake.store.views.statistics import compute

        return compute(self, weight)

    def kmeans(self, k: int, *, seed: int = 0, **options: Any) -> "KMeans":
        """k clusters of the features: see `slidelake.store.views.kmeans.fit` for the options."""
        from slidelake.store.views.kmeans import fit

        return fit(self, k, seed=seed, **options)

    @cached_property
    def _columns(self) -> list[list[str]]:
        """The columns of each slide's grid; completes the grids' commits where they are not read yet."""
        grid_id, _ = split_space(self.space)
        lacking = {bag.slide_id for bag, grid, _ in self._found if grid is None}
        if lacking:
            states = self.store.states() if len(lacking) > _FEW else {s: self.store.state(s) for s in lacking}

            def complete(found: tuple[Commit, Commit | None, Any]) -> tuple[Commit, Commit | None, Any]:
                bag, grid, kept = found
                state = states.get(bag.slide_id)
                if grid is None and state is not None and state.epoch == bag.epoch:
                    read = latest_commit(self.store.objects, state, Subject("grid", grid_id))
                    grid = slim(read) if read is not None else None
                return bag, grid, kept

            with ThreadPoolExecutor(readers(self.store.objects)) as pool:
                self._found = list(pool.map(complete, self._found))
            self.__dict__.pop("blocks", None)
        return [columns_of(grid) if grid is not None else [] for _, grid, _ in self._found]

    def _lazy(
        self, name: str, dtype: "np.dtype[Any]", width: int | None, read: Callable[[Block], NDArray[Any]]
    ) -> "da.Array":
        from dask.base import tokenize

        mark = tokenize(self.store.url, [bag.key for bag, _, _ in self._found], self.quality, self.block_rows)
        return lazy_array(f"cohort-{name}-{mark}", self.blocks, read, dtype, width)


def _one_shape(bags: Sequence[Commit], space: str) -> tuple[int, "np.dtype[Any]"]:
    """D, and the dtype that holds them all."""
    dims: dict[int, str] = {}
    for bag in bags:
        dims.setdefault(int(bag.arrays["features"]["shape"][1]), bag.slide_id)
    if len(dims) != 1:
        told = (
            ", ".join(f"{slide_id} has {dim}" for dim, slide_id in sorted(dims.items())) or "it has no bags"
        )
        raise UsageError(
            f"the bags of {space} are not of one dimension ({told})",
            remedy="Choose those that are with slides= or where=.",
        )
    return next(iter(dims)), np.result_type(*{bag.arrays["features"]["dtype"] for bag in bags})
