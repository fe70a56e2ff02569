"""The order of an epoch: every bag once, batches that waste little, ranks with equal steps."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slidelake.errors import UsageError
from slidelake.store.streaming.plan import Draw, PlanRules, bag_rng, make_plan

SKEWED = np.random.default_rng(7).lognormal(8, 1, 2000).astype(int).clip(20, 120_000).tolist()


def bags(steps: list[tuple[Draw, ...]]) -> list[int]:
    return [each.bag for step in steps for each in step]


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(st.integers(0, 3000), max_size=60),
    seed=st.integers(0, 5),
    shuffle=st.booleans(),
    bags_per_batch=st.one_of(st.none(), st.integers(1, 9)),
    budget=st.one_of(st.none(), st.integers(1, 5000)),
    padded=st.booleans(),
    world_size=st.integers(1, 5),
)
def test_every_bag_comes_once_and_no_batch_is_too_large(
    rows: list[int],
    seed: int,
    shuffle: bool,
    bags_per_batch: int | None,
    budget: int | None,
    padded: bool,
    world_size: int,
) -> None:
    if bags_per_batch is None and budget is None:
        bags_per_batch = 1
    ranks = [
        make_plan(rows, PlanRules(seed, shuffle, bags_per_batch, budget, padded, False, rank, world_size), 3)
        for rank in range(world_size)
    ]
    assert len({len(plan.steps) for plan in ranks}) == 1
    one = make_plan(rows, PlanRules(seed, shuffle, bags_per_batch, budget, padded), 3)
    assert sorted(bags(one.steps)) == list(range(len(rows)))
    for batch in one.steps:
        lengths = [rows[each.bag] for each in batch]
        size = max(lengths) * len(lengths) if padded else sum(lengths)
        assert bags_per_batch is None or len(batch) <= bags_per_batch
        assert budget is None or size <= budget or len(batch) == 1
    # Dealt in turn, the ranks' batches are the one rank's, and a few again from the beginning.
    dealt = [plan.steps[step] for step in range(len(ranks[0].steps)) for plan in ranks]
    assert dealt[: len(one.steps)] == one.steps
    assert len(dealt) - len(one.steps) < world_size
    for number, extra in enumerate(dealt[len(one.steps) :]):
        assert extra == one.steps[number % len(one.steps)]


def test_drop_last() -> None:
    for padded in (False, True):
        rules = [PlanRules(0, True, 4, None, padded, True, rank, 3) for rank in range(3)]
        plans = [make_plan([5] * 30, each, 0) for each in rules]
        assert [len(plan.steps) for plan in plans] == [2, 2, 2]
        seen = [bag for plan in plans for bag in bags(plan.steps)]
        assert len(seen) == len(set(seen)) == 24
    # What is dropped is chance, not the longest bags, also where lengths are bucketed.
    lengths = list(range(1, 32))
    gone = set()
    for epoch in range(30):
        plan = make_plan(lengths, PlanRules(0, True, 4, None, True, True), epoch)
        gone |= set(range(31)) - set(bags(plan.steps))
    assert len(gone) > 20


@pytest.mark.parametrize("bags_per_batch", [4, 8, 64])
def test_padded_batches_are_of_bags_of_like_length(bags_per_batch: int) -> None:
    plan = make_plan(SKEWED, PlanRules(0, True, bags_per_batch, None, True), 0)
    # With 64 of 2,000 bags to a batch the longest are too few of a kind: sorting them all is the best there is.
    ordered = sorted(SKEWED)
    groups = [ordered[start : start + bags_per_batch] for start in range(0, 2000, bags_per_batch)]
    best = 1 - sum(SKEWED) / sum(group[-1] * len(group) for group in groups)
    assert plan.waste < max(0.05, best + 0.015)
    padding = sum(max(SKEWED[e.bag] for e in step) * len(step) for step in plan.steps)
    assert plan.waste == pytest.approx(1 - sum(SKEWED) / padding)
    assert make_plan(SKEWED, PlanRules(0, False, bags_per_batch, None, True), 0).waste > 3 * plan.waste
    # Batches are not always the same ones.
    other = make_plan(SKEWED, PlanRules(0, True, bags_per_batch, None, True), 1)
    assert len({frozenset(bags([s])) for s in plan.steps} & {frozenset(bags([s])) for s in other.steps}) < 5


@pytest.mark.parametrize("budget", [30_000, 120_000, 400_000])
def test_packed_batches_fill_their_budget(budget: int) -> None:
    plan = make_plan(SKEWED, PlanRules(0, True, None, budget), 0)
    assert plan.waste < 0.05
    unfilled = make_plan(SKEWED, PlanRules(0, False, None, budget), 0)
    assert plan.waste <= unfilled.waste
    padded = make_plan(SKEWED, PlanRules(0, True, None, budget, True), 0)
    loose = make_plan(SKEWED, PlanRules(0, False, None, budget, True), 0)
    assert padded.waste < max(0.05, loose.waste / 3)
    assert max(sum(SKEWED[e.bag] for e in s) for s in plan.steps) <= max(budget, *SKEWED)


def test_the_same_seed_and_epoch_give_the_same_plan_and_others_another() -> None:
    rows = list(range(50, 90))
    rules = PlanRules(seed=1, bags_per_batch=3)
    assert make_plan(rows, rules, 4) == make_plan(rows, rules, 4)
    assert make_plan(rows, rules, 4).steps != make_plan(rows, rules, 5).steps
    assert make_plan(rows, rules, 4).steps != make_plan(rows, PlanRules(seed=2, bags_per_batch=3), 4).steps
    assert bags(make_plan(rows, PlanRules(shuffle=False), 4).steps) == list(range(40))
    draws = {
        bag_rng(*key, purpose="x").integers(2**60)
        for key in [
            (0, 0, "a", 0),
            (1, 0, "a", 0),
            (0, 1, "a", 0),
            (0, 0, "b", 0),
            (0, 0, "a", 1),
            (10, 0, "", 0),
        ]
    }
    assert len(draws) == 6


def test_balanced_drawing_counts_turns() -> None:
    groups = ["rare"] * 2 + ["common"] * 18
    plan = make_plan([10] * 20, PlanRules(seed=0), 0, groups=groups)
    drawn = [groups[bag] for bag in bags(plan.steps)]
    assert drawn.count("rare") == drawn.count("common") == 10
    assert sorted(each.turn for step in plan.steps for each in step if each.bag == 0) == [0, 1, 2, 3, 4]


def test_no_bags() -> None:
    assert make_plan([], PlanRules(), 0).steps == []
    assert make_plan([], PlanRules(world_size=2, budget=5), 0).waste == 0
    assert make_plan([0, 0], PlanRules(bags_per_batch=2, padded=True), 0).waste == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bags_per_batch": 0}, "bags_per_batch is 0"),
        ({"budget": -5}, "patches_per_batch is -5"),
        ({"budget": True}, "patches_per_batch is True"),
        ({"rank": 2, "world_size": 2}, "rank 2 of 2"),
        ({"rank": -1}, "rank -1 of 1"),
        ({"seed": 1.5}, "seed is 1.5"),
    ],
)
def test_what_cannot_be(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        PlanRules(**wrong)


def test_ten_thousand_bags_are_planned_at_once() -> None:
    began = time.process_time()
    rows = SKEWED * 5
    for rules in (PlanRules(bags_per_batch=8, padded=True), PlanRules(bags_per_batch=None, budget=200_000)):
        make_plan(rows, rules, 0)
    # Far above what it takes; quadratic work would take minutes.
    assert time.process_time() - began < 20
