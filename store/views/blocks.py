"""One block of a cohort: some rows of one slide's committed arrays, read where and when a task runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slidelake.store.bag import Bag, Grid
from slidelake.store.commits import Commit
from slidelake.store.objects import Objects

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["Block", "Rows", "block_rows_for", "lazy_array", "slim"]

# A task holds one block, and a double-precision copy of a part of it.
_BLOCK_BYTES = 32 << 20
_CHUNK_ROWS = 1024

#: Which rows of a slide: a range (start, stop), or their numbers, ascending.
Rows = tuple[int, int] | NDArray[np.int32]


@dataclass(frozen=True)
class Block:
    """Rows of one slide. Small and picklable: it opens what it reads, in the task that reads it."""

    objects: Objects
    #: Commits of the arrays' groups: the bag's, and the grid's where its columns are wanted.
    bag: Commit
    grid: Commit | None
    rows: Rows
    #: The slide's number in the cohort, and its patient's.
    slide: int
    patient: int

    def __len__(self) -> int:
        return self.rows[1] - self.rows[0] if isinstance(self.rows, tuple) else len(self.rows)

    @property
    def slide_id(self) -> str:
        return self.bag.slide_id

    def features(self, dtype: str) -> NDArray[Any]:
        """(B, D) features. Raises DamagedStoreError, which names the slide."""
        return self._read(Bag(self.objects, self.bag), "features").astype(dtype, copy=False)

    def coords(self) -> NDArray[np.int32]:
        """(B, 2) int32, level-0 px."""
        return self._read(Bag(self.objects, self.bag), "coords")

    def column(self, name: str) -> NDArray[np.uint8]:
        """(B,) uint8: one of the grid's columns, or `valid`."""
        if name == "valid":
            return self._read(Bag(self.objects, self.bag), name)
        if self.grid is None:
            raise RuntimeError("this block was made without its grid")
        return self._read(Grid(self.objects, self.grid), name)

    def numbers(self, what: str) -> NDArray[np.int32]:
        """(B,) int32: `row` of the bag, number of the `slide` or of the `patient`."""
        if what != "row":
            return np.full(len(self), getattr(self, what), np.int32)
        return np.arange(*self.rows, dtype=np.int32) if isinstance(self.rows, tuple) else self.rows

    def some(self, within: NDArray[np.intp]) -> "Block":
        """Only some of its rows, given by their places within the block, ascending."""
        return replace(self, rows=self.numbers("row")[within])

    def _read(self, reader: Bag | Grid, name: str) -> NDArray[Any]:
        array = reader.reader(name)
        if isinstance(self.rows, tuple):
            whole = self.rows == (0, array.shape[0])
            return array.read() if whole else array.rows(np.arange(*self.rows))
        return array.rows(self.rows)


def slim(commit: Commit) -> Commit:
    """The commit without provenance and attributes: tasks need only places, shapes and checksums."""
    return replace(commit, body={**commit.body, "provenance": {}, "attributes": {}})


def block_rows_for(row_bytes: int) -> int:
    """Rows of a block by default: 32 MiB, in whole chunks, so that no reader takes one apart twice."""
    return max(_CHUNK_ROWS, _BLOCK_BYTES // row_bytes // _CHUNK_ROWS * _CHUNK_ROWS)


def lazy_array(
    label: str,
    blocks: Sequence[Block],
    read: Callable[[Block], NDArray[Any]],
    dtype: "np.dtype[Any]",
    width: int | None,
) -> "da.Array":
    """The blocks' rows end to end as a dask array, (T,) or (T, width), one task a block.

    `label` names it among all of dask's arrays. Made without a look at the store: 10,000 slides are 10,000 small
    tuples.
    """
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph

    # Dask's own types know neither its arrays' class nor its tasks.
    make: Any = da.Array
    join: Any = HighLevelGraph.from_collections
    tail = () if width is None else (width,)
    array: da.Array
    if not blocks:
        array = da.zeros((0, *tail), dtype=dtype)
        return array
    zeros = (0,) * len(tail)
    graph = {(label, n, *zeros): (partial(read, block),) for n, block in enumerate(blocks)}
    chunks = (tuple(map(len, blocks)), *((n,) for n in tail))
    array = make(join(label, graph, dependencies=[]), label, chunks=chunks, dtype=dtype)
    return array
