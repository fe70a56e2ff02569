"""The order of an epoch: a pure function of the bags' rows, the seed and the epoch. Nothing is read.

Batches are made for the whole world and dealt to the ranks in turn, and chance that belongs to a bag is keyed
by (seed, epoch, bag), so the number of ranks, workers or threads changes neither batches nor samples.
"""

from bisect import bisect_right, insort
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import xxhash

from slidelake.errors import UsageError
from slidelake.store.streaming.balance import draw

__all__ = ["Draw", "Plan", "PlanRules", "bag_rng", "make_plan"]

# Bags that wait to be fitted into batches: with so many at hand a batch is filled to within a few per cent,
# and a bag is at most some hundred places from where the shuffle put it.
_POOL = 256
_NEAR = 0.01
#: Padding that bucketing aims below.
WASTE = 0.05


class Draw(NamedTuple):
    """One bag in a batch: its number in the cohort, and how often it was drawn before in this epoch."""

    bag: int
    turn: int


@dataclass(frozen=True)
class PlanRules:
    """What shapes batches. `budget`: rows of a batch at most (a larger bag is alone); `padded`: batches are
    rectangles, as long as their longest bag, and a budget counts the padding too."""

    seed: int = 0
    shuffle: bool = True
    bags_per_batch: int | None = 1
    budget: int | None = None
    padded: bool = False
    drop_last: bool = False
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        for name in ("bags_per_batch", "budget"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                said = "patches_per_batch" if name == "budget" else name
                raise UsageError(f"{said} is {value!r}", remedy="Give a whole number from 1 up.")
        if not (0 <= self.rank < self.world_size):
            raise UsageError(
                f"rank {self.rank} of {self.world_size} cannot be",
                remedy="Ranks count from 0 to world_size - 1.",
            )
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise UsageError(f"the seed is {self.seed!r}", remedy="Give a whole number.")


@dataclass(frozen=True)
class Plan:
    """One rank's batches of one epoch, in order; `waste` is the share of the whole epoch's batches that is
    padding (padded) or budget left unfilled (packed with a budget), 0 where there is neither."""

    epoch: int
    steps: list[tuple[Draw, ...]]
    waste: float


def make_plan(
    rows: Sequence[int],
    rules: PlanRules,
    epoch: int,
    *,
    groups: Sequence[Hashable] | None = None,
    within: Sequence[Hashable] | None = None,
) -> Plan:
    """The batches of one epoch for the rank that `rules` names.

    `rows[i]` are bag i's rows. With `groups` as many bags as there are are drawn so that each group is seen
    equally often (balance.py); `within` does the same inside a group. Every rank gets the same number of steps:
    the last round is filled up with batches of the epoch's beginning, or left out with `drop_last`.
    """
    rng = _rng("plan", rules.seed, epoch)
    draws = _draws(len(rows), rules, rng, groups, within)
    if rules.budget is not None and not rules.padded:
        batches = _fill(draws, rows, rules)
    elif rules.padded and rules.shuffle and (rules.budget is not None or (rules.bags_per_batch or 1) > 1):
        batches = _bucket(draws, rows, rules, rng)
    else:
        batches = _cut(draws, rows, rules)
    if (
        rules.drop_last
        and batches
        and rules.budget is None
        and len(batches[-1]) < (rules.bags_per_batch or 1)
    ):
        batches = batches[:-1]
    waste = _waste(batches, rows, rules)
    return Plan(epoch, _deal(batches, rules), waste)


def bag_rng(seed: int, epoch: int, bag_id: str, turn: int, purpose: str) -> np.random.Generator:
    """The generator for what happens to one bag in one epoch."""
    return _rng(purpose, seed, epoch, bag_id, turn)


def _rng(*key: Hashable) -> np.random.Generator:
    text = "\0".join(map(str, key)).encode()
    return np.random.Generator(np.random.PCG64(xxhash.xxh3_128_intdigest(text)))


def _draws(
    count: int,
    rules: PlanRules,
    rng: np.random.Generator,
    groups: Sequence[Hashable] | None,
    within: Sequence[Hashable] | None,
) -> list[Draw]:
    if groups is not None and count:
        order = draw(groups, count, rng, within=within)
    else:
        order = rng.permutation(count) if rules.shuffle else np.arange(count)
    seen: dict[int, int] = {}
    draws = []
    for bag in order.tolist():
        turn = seen.get(bag, 0)
        seen[bag] = turn + 1
        draws.append(Draw(bag, turn))
    return draws


def _cut(draws: Sequence[Draw], rows: Sequence[int], rules: PlanRules) -> list[tuple[Draw, ...]]:
    """Batches of neighbours, closed where the next bag would not go in."""
    batches: list[tuple[Draw, ...]] = []
    batch: list[Draw] = []
    longest = total = 0
    for each in draws:
        longest, total = max(longest, rows[each.bag]), total + rows[each.bag]
        size = longest * (len(batch) + 1) if rules.padded else total
        full = rules.bags_per_batch is not None and len(batch) == rules.bags_per_batch
        if batch and (full or (rules.budget is not None and size > rules.budget)):
            batches.append(tuple(batch))
            batch, longest, total = [], rows[each.bag], rows[each.bag]
        batch.append(each)
    if batch:
        batches.append(tuple(batch))
    return batches


def _size(batch: Sequence[Draw], rows: Sequence[int], padded: bool) -> int:
    lengths = [rows[each.bag] for each in batch]
    return max(lengths) * len(lengths) if padded else sum(lengths)


def _fill(draws: Sequence[Draw], rows: Sequence[int], rules: PlanRules) -> list[tuple[Draw, ...]]:
    """Packed batches under a budget: the next bag in order begins one, and of the bags that wait the largest
    that still goes in follows, until none does."""
    budget = rules.budget or 0
    most = rules.bags_per_batch or len(draws)
    if not rules.shuffle:
        return _cut(draws, rows, rules)
    coming = iter(range(len(draws)))
    waiting: list[tuple[int, int]] = []  # (rows, place in the order), sorted
    queue: list[int] = []  # places in the order, of which some are gone
    gone: set[int] = set()
    head = 0
    batches: list[tuple[Draw, ...]] = []
    while True:
        while len(waiting) < _POOL and (place := next(coming, None)) is not None:
            insort(waiting, (rows[draws[place].bag], place))
            queue.append(place)
        if not waiting:
            return batches
        while queue[head] in gone:
            gone.discard(queue[head])
            head += 1
        first = queue[head]
        head += 1
        waiting.pop(bisect_right(waiting, (rows[draws[first].bag], first)) - 1)
        batch, left = [draws[first]], budget - rows[draws[first].bag]
        while left >= 0 and len(batch) < most:
            at = bisect_right(waiting, (left, len(draws))) - 1
            if at < 0:
                break
            length, place = waiting.pop(at)
            gone.add(place)
            batch.append(draws[place])
            left -= length
        batches.append(tuple(batch))


def _bucket(
    draws: Sequence[Draw], rows: Sequence[int], rules: PlanRules, rng: np.random.Generator
) -> list[tuple[Draw, ...]]:
    """Padded batches of bags of like length: windows of the shuffled order are sorted by length, cut into
    batches, and these shuffled. The window is the smallest that wastes little, so that batches mix as they may."""
    most = rules.bags_per_batch or 0
    # Which bags are dropped is chance, not length.
    spare = len(draws) % most if rules.drop_last and most and rules.budget is None else 0
    draws = draws[: len(draws) - spare]
    # Lengths that differ by less are one length: bags meet others in the next epoch, even where all are sorted.
    near = rng.uniform(1 - _NEAR, 1 + _NEAR, len(draws))
    lengths = {each: rows[each.bag] * factor for each, factor in zip(draws, near.tolist(), strict=True)}
    window = 8 * (most or 16)
    while True:
        batches: list[tuple[Draw, ...]] = []
        for start in range(0, len(draws), window):
            part = sorted(draws[start : start + window], key=lengths.__getitem__)
            batches += _cut(part, rows, rules)
        if window >= len(draws) or _waste(batches, rows, rules) < WASTE:
            return [batches[number] for number in rng.permutation(len(batches))]
        window *= 2


def _waste(batches: Sequence[Sequence[Draw]], rows: Sequence[int], rules: PlanRules) -> float:
    if rules.padded:
        room = sum(_size(batch, rows, True) for batch in batches)
    elif rules.budget is not None:
        # What is left at the end is no fault of the packing, but it is counted too.
        room = sum(max(rules.budget, _size(batch, rows, False)) for batch in batches)
    else:
        return 0.0
    used = sum(rows[each.bag] for batch in batches for each in batch)
    return 1 - used / room if room else 0.0


def _deal(batches: list[tuple[Draw, ...]], rules: PlanRules) -> list[tuple[Draw, ...]]:
    world = rules.world_size
    spare = len(batches) % world
    if spare and rules.drop_last:
        batches = batches[: len(batches) - spare]
    elif spare:
        # A world larger than the epoch goes round it more than once.
        missing = world - spare
        batches = batches + [batches[number % len(batches)] for number in range(missing)]
    return batches[rules.rank :: world]
