"""Drawing bags so that each class (or each patient within a class) is seen equally often."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import UsageError

__all__ = ["draw"]


def draw(
    groups: Sequence[Hashable],
    count: int,
    rng: np.random.Generator,
    *,
    within: Sequence[Hashable] | None = None,
) -> NDArray[np.int64]:
    """(count,) int64: member numbers, drawn so that each group has an equal chance.

    `groups[i]` is member i's group: its class, say. Of G groups, each G draws in a row hold every group once, in
    random order, so the groups' counts differ by at most one. Within a group every member is drawn once before
    any is drawn again. With `within` (the members' patients, say) the same holds one step further in: within a
    group each patient has an equal chance, however many slides it has. Raises UsageError where there is nothing
    to draw from, or a group is NaN.
    """
    if count < 0:
        raise UsageError(f"{count} members cannot be drawn", remedy="Give a number from 0 up.")
    if within is not None and len(within) != len(groups):
        raise UsageError(
            f"{len(within)} inner groups were given for {len(groups)} members", remedy="Give one a member."
        )
    if count == 0:
        return np.empty(0, np.int64)
    if not len(groups):
        raise UsageError("there is nothing to draw from", remedy="Give at least one member.")
    members = _members(groups)
    sequence = _rounds(len(members), count, rng)
    chosen = np.empty(count, np.int64)
    places = np.split(
        np.argsort(sequence, kind="stable"), np.cumsum(np.bincount(sequence, minlength=len(members)))[:-1]
    )
    for mine, at in zip(members, places, strict=True):
        if within is None:
            chosen[at] = mine[_rounds(len(mine), len(at), rng)]
        else:
            chosen[at] = mine[draw([within[member] for member in mine], len(at), rng)]
    return chosen


def _members(groups: Sequence[Hashable]) -> list[NDArray[np.int64]]:
    """The members of each group, groups by first appearance."""
    found: dict[Hashable, list[int]] = {}
    for number, group in enumerate(groups):
        if _is_nan(group):
            raise UsageError(f"member {number} has NaN for a group", remedy="Leave out what has no label.")
        found.setdefault(group, []).append(number)
    return [np.array(each, np.int64) for each in found.values()]


def _is_nan(group: Any) -> bool:
    return isinstance(group, float | np.floating) and bool(np.isnan(group))


def _rounds(size: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(count,) int64 of 0 … size - 1: all of them in random order, then all again in another, and so on."""
    rounds = -(-count // size)
    order: NDArray[np.int64] = rng.permuted(np.tile(np.arange(size), (rounds, 1)), axis=1)
    return order.ravel()[:count]
