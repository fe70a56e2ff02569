"""Passes over all rows of a cohort in bounded memory: groups of blocks, each gone through batch by batch.

A group is one dask task, so it runs on threads, processes or a cluster as dask is set up. The number of groups
is fixed, and partial results are joined in a fixed tree: the same blocks give the same bits on any machine
with the same linear algebra.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import UsageError
from slidelake.store.views.blocks import Block

if TYPE_CHECKING:
    from slidelake.store.views.cohort import Cohort

__all__ = ["Weighted", "batches", "check_weight", "over_all"]

Result = TypeVar("Result")
#: A block, and what each of its rows weighs.
Weighted = tuple[Block, float]

_GROUPS = 32
# Doubles of a batch that stays in the cache while it is gone over, but enough rows for the joining of (D, D)
# matrices to cost little beside their making.
_BATCH_BYTES, _BATCH_ROWS = 4 << 20, 1024


def check_weight(weight: str) -> str:
    """`patch` or `slide`; raises UsageError for anything else."""
    if weight not in ("patch", "slide"):
        raise UsageError(
            f"weight={weight!r}", remedy="Use 'patch' (each row the same) or 'slide' (each slide the same)."
        )
    return weight


def over_all(
    cohort: "Cohort",
    weight: str,
    of_group: Callable[[Sequence[Weighted]], Result],
    join: Callable[[Result, Result], Result],
) -> Result:
    """`join` of what `of_group` makes of each group of blocks; both picklable. The cohort is not empty."""
    from dask.base import tokenize
    from dask.delayed import Delayed
    from threadpoolctl import threadpool_limits  # scikit-learn's own

    groups = _groups(cohort, weight)
    name = f"pass-{tokenize(object())}"
    graph: dict[Any, Any] = {(name, 0, n): (partial(of_group, group),) for n, group in enumerate(groups)}
    level, count = 0, len(groups)
    while count > 1:
        for n in range(0, count, 2):
            two = [(name, level, each) for each in (n, n + 1) if each < count]
            graph[name, level + 1, n // 2] = (join, *two) if len(two) == 2 else two[0]
        level, count = level + 1, (count + 1) // 2
    # Dask wants text as the key of a result.
    graph[name] = (name, level, 0)
    whole: Any = Delayed
    # Dask has a thread for each core; more of them inside the matrix products only wait for one another (ten
    # times slower on a busy machine with two cores).
    with threadpool_limits(1):
        result: Result = whole(name, graph).compute()
    return result


def batches(
    blocks: Sequence[Weighted], dim: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The rows in order as (n, D) doubles, with (n,) weights: parts of one buffer, valid until the next.

    Small bags are put together, large blocks cut: the matrix products see batches of one size.
    """
    size = max(_BATCH_ROWS, _BATCH_BYTES // (8 * dim))
    x, w, filled = np.empty((size, dim)), np.empty(size), 0
    for block, weight in blocks:
        features = block.features(block.bag.arrays["features"]["dtype"])
        start = 0
        while start < len(features):
            count = min(size - filled, len(features) - start)
            x[filled : filled + count] = features[start : start + count]
            w[filled : filled + count] = weight
            filled, start = filled + count, start + count
            if filled == size:
                yield x, w
                filled = 0
        # Let go of before the next one is read.
        del features
    if filled:
        yield x[:filled], w[:filled]


def _groups(cohort: "Cohort", weight: str) -> list[list[Weighted]]:
    """Runs of blocks of about the same number of rows."""
    rows = cohort.slides["rows"].to_numpy()
    share = 1.0 / np.maximum(rows, 1) if weight == "slide" else np.ones(len(rows))
    groups: list[list[Weighted]] = []
    seen, last = 0, -1
    for block in cohort.blocks:
        group = seen * _GROUPS // len(cohort)
        if group != last:
            groups.append([])
            last = group
        groups[-1].append((block, float(share[block.slide])))
        seen += len(block)
    return groups
