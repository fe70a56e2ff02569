"""Where a batch's bags come from: opened once, their valid rows, their arrays read into a given place."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import GridMismatchError, SlidelakeError, StoreError, UnknownSlideError
from slidelake.store.bag import Bag
from slidelake.store.checksums import checksum
from slidelake.store.commits import Commit, latest_commit
from slidelake.store.ids import split_space
from slidelake.store.layout import SlideState
from slidelake.store.streaming.cohort import Cohort

if TYPE_CHECKING:
    from slidelake.store.feature_store import FeatureStore
    from slidelake.store.streaming.array_cache import ArrayCache

__all__ = ["BagSource", "grids_of"]

log = logging.getLogger(__name__)


class BagSource:
    """The bags of a cohort by slide and space; threads may share it, and it pickles without what it opened.

    A bag is known by the commit that the cohort names, so an epoch reads what the loader was made on, even
    if another generation came since.
    """

    def __init__(self, store: "FeatureStore", cohort: Cohort, cache: "ArrayCache | None" = None) -> None:
        self._store, self._cohort, self._cache = store, cohort, cache
        self._bags: dict[tuple[str, str], Bag] = {}
        self._all_valid: dict[int, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_bags": {}, "_all_valid": {}}

    def bag(self, slide_id: str, space: str) -> Bag:
        """One slide's bag in one space, opened at most once; raises UnknownSlideError if its commit is gone."""
        found = self._bags.get((slide_id, space))
        if found is None:
            key = self._cohort.keys[slide_id, space]
            state = SlideState(slide_id, key.epoch, {key.subject: key})
            commit = latest_commit(self._store.objects, state, key.subject)
            if commit is None or (commit.key != key.key and not self._store.objects.exists(key.key)):
                # An older generation, which a snapshot pins, is not what the loader was made on.
                raise UnknownSlideError(
                    f"its bag in {space} is gone since the loader was made",
                    remedy="It was deleted meanwhile: make the loader again.",
                    slide=slide_id,
                )
            found = self._bags[slide_id, space] = Bag(self._store.objects, _slim(commit))
        return found

    def bags(self, slide_id: str, spaces: Sequence[str]) -> list[Bag]:
        """A slide's bags in spaces of one grid; raises GridMismatchError where their rows are not the same patches."""
        bags = [self.bag(slide_id, space) for space in spaces]
        if any(bag.commit.grid_checksum != bags[0].commit.grid_checksum for bag in bags[1:]):
            raise GridMismatchError(
                f"the rows of {' and '.join(spaces)} are not the same patches",
                remedy="Make the older bag again: its coordinates are not the grid's.",
                slide=slide_id,
            )
        return bags

    def valid_rows(self, bags: Sequence[Bag]) -> NDArray[np.int64] | None:
        """Numbers of the rows that are valid in all the bags; None where all are, which the commits alone tell."""
        invalid = [bag for bag in bags if not self._whole(bag)]
        if not invalid:
            return None
        valid = np.logical_and.reduce([self.read(bag, "valid") != 0 for bag in invalid])
        return np.flatnonzero(valid)

    def rows_of(self, slide_id: str, spaces: Sequence[str]) -> int:
        """How many rows of a slide are valid in all the spaces, which lie on one grid."""
        bags = self.bags(slide_id, spaces)
        valid = self.valid_rows(bags)
        return len(bags[0]) if valid is None else len(valid)

    def read(
        self,
        bag: Bag,
        name: str = "features",
        rows: NDArray[np.int64] | None = None,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """An array of a bag, or the rows of these numbers; fresh, or into `out`, which may be of another dtype.

        Raises what says which slide it was, whatever went wrong.
        """
        with _named(bag):
            if out is not None and out.dtype != np.dtype(bag.commit.arrays[name]["dtype"]):
                out[...] = self._read(bag, name, rows, None)
                return out
            return self._read(bag, name, rows, out)

    def _read(
        self, bag: Bag, name: str, rows: NDArray[np.int64] | None, out: NDArray[Any] | None
    ) -> NDArray[Any]:
        if self._cache is not None:
            return self._cache.through(bag, name, lambda cached: _take(cached, name, rows, out))
        return _take(bag, name, rows, out)

    def scores(self, slide_id: str, space: str, aggregator: str) -> NDArray[np.float32]:
        """(K, N) stored scores of an aggregator; raises UnknownSlideError where it has none of this slide."""
        pooled = self._store.pooled(slide_id, space, aggregator)
        mine = self.bag(slide_id, space)
        if pooled.scores is None:
            raise UnknownSlideError(
                f"{aggregator} stored no scores", remedy="Use an aggregator with attention.", slide=slide_id
            )
        if pooled.commit.grid_checksum != mine.commit.grid_checksum:
            raise GridMismatchError(
                f"the scores of {aggregator} are for other patches than the bag's",
                remedy="Pool the bag again.",
                slide=slide_id,
            )
        return pooled.scores

    def _whole(self, bag: Bag) -> bool:
        n = len(bag)
        ones = self._all_valid.get(n)
        if ones is None:
            ones = self._all_valid[n] = checksum(np.ones(n, np.uint8))
        return bool(bag.commit.arrays["valid"]["checksum"] == ones)


def grids_of(spaces: Sequence[str]) -> list[tuple[str, ...]]:
    """The spaces by their grids, in order."""
    found: dict[str, list[str]] = {}
    for space in spaces:
        found.setdefault(split_space(space)[0], []).append(space)
    return [tuple(each) for each in found.values()]


def _take(bag: Bag, name: str, rows: NDArray[np.int64] | None, out: NDArray[Any] | None) -> NDArray[Any]:
    return bag.read(name, out) if rows is None else bag.rows(rows, name, out)


def _slim(commit: Commit) -> Commit:
    """A commit without what a loader does not look at: a large cohort's stay in memory."""
    body = {**commit.body, "provenance": {}, "attributes": {}}
    return Commit(commit.key, body, commit.subject, commit.slide_id, commit.epoch, commit.generation)


class _named:  # noqa: N801 - reads as the statement it makes
    """Gives what a disk or a server raises the slide's name; our own errors have it."""

    def __init__(self, bag: Bag) -> None:
        self._bag = bag

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, SlidelakeError):
            raise StoreError(
                f"{self._bag.path} cannot be read ({type(error).__name__}: {error})",
                remedy="Look at the disk or the connection; slidelake verify says whether the store is sound.",
                slide=self._bag.slide_id,
            ) from error
