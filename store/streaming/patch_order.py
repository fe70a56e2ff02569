"""The order in which single patches come: blocks of neighbours in random order, mixed row by row within groups."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from slidelake.store.streaming.balance import draw
from slidelake.store.streaming.plan import bag_rng

__all__ = ["PatchOrder"]


class PatchOrder:
    """One epoch's order of a cohort's patches, a pure function of its arguments.

    Patches are numbered through the cohort: slide s has starts[s] … starts[s + 1] - 1. The sequence of those that come
    (all, or with `groups`, one a patch, as many drawn so that groups come equally often) is cut into blocks of at
    most `block` patches of one slide; blocks are shuffled and gathered into groups of at most `mixed` patches (or one
    block), and these are mixed. Without `shuffle` all stays in order.
    """

    def __init__(
        self,
        starts: NDArray[np.int64],
        *,
        epoch: int,
        seed: int,
        shuffle: bool,
        block: int,
        mixed: int,
        groups: NDArray[np.int64] | None = None,
    ) -> None:
        self._seed, self._epoch, self._shuffle = seed, epoch, shuffle
        self._chosen: NDArray[np.int64] | None = None
        if groups is not None:
            self._chosen = np.sort(draw(groups.tolist(), len(groups), self._rng("balance patches")))
            starts = np.searchsorted(self._chosen, starts)
        blocks = [
            (first, min(first + block, end))
            for start, end in pairwise(starts.tolist())
            for first in range(start, end, block)
        ]
        if shuffle:
            blocks = [blocks[number] for number in self._rng("blocks").permutation(len(blocks))]
        self._groups: list[list[tuple[int, int]]] = []
        size = mixed
        for first, end in blocks:
            if size + end - first > mixed:
                self._groups.append([])
                size = 0
            self._groups[-1].append((first, end))
            size += end - first
        self._ends = np.cumsum([0, *(sum(end - first for first, end in each) for each in self._groups)])

    def pieces(self, first: int, end: int) -> list[tuple[int, int, int]]:
        """The parts of groups, (group, first, end), that make places first … end - 1; past the last it begins anew."""
        total = int(self._ends[-1])
        found = []
        while first < end:
            here = first % total
            group = int(np.searchsorted(self._ends, here, side="right")) - 1
            start = int(self._ends[group])
            count = min(end - first, int(self._ends[group + 1]) - here)
            found.append((group, here - start, here - start + count))
            first += count
        return found

    def patches(self, group: int, first: int, end: int) -> NDArray[np.int64]:
        """The patches at some places of a group, in the order in which they come."""
        places = np.concatenate([np.arange(start, stop) for start, stop in self._groups[group]])
        if self._shuffle:
            places = self._rng("mix", group).permutation(places)
        places = places[first:end]
        return places if self._chosen is None else self._chosen[places]

    def _rng(self, purpose: str, turn: int = 0) -> np.random.Generator:
        return bag_rng(self._seed, self._epoch, "", turn, purpose)
