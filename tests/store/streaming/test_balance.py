"""Balanced drawing: groups equally often, members of a group evenly, by the seed."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slidelake.errors import UsageError
from slidelake.store.streaming import draw

groups_of = st.lists(st.sampled_from(["a", "b", "c", ("a", "P1"), 7]), min_size=1, max_size=40)


@given(groups_of, st.integers(0, 200), st.integers(0, 99))
@settings(deadline=None, max_examples=100)
def test_groups_and_members_are_drawn_evenly(groups: list[object], count: int, seed: int) -> None:
    drawn = draw(groups, count, np.random.default_rng(seed))  # type: ignore[arg-type]
    assert drawn.shape == (count,)
    assert drawn.dtype == np.int64
    np.testing.assert_array_equal(drawn, draw(groups, count, np.random.default_rng(seed)))  # type: ignore[arg-type]
    of_group = Counter(groups[n] for n in drawn)
    for part in (of_group[group] for group in set(groups)):
        assert abs(part - count / len(set(groups))) < 1
    of_member = Counter(drawn.tolist())
    for group in set(groups):
        times = [of_member[n] for n, each in enumerate(groups) if each == group]
        assert max(times) - min(times) <= 1


@given(groups_of, st.integers(1, 100))
@settings(deadline=None, max_examples=50)
def test_each_run_of_as_many_draws_as_groups_holds_every_group(groups: list[object], rounds: int) -> None:
    every = set(groups)
    drawn = draw(groups, rounds * len(every), np.random.default_rng(rounds))  # type: ignore[arg-type]
    for window in drawn.reshape(rounds, len(every)):
        assert {groups[n] for n in window} == every


def test_within_a_class_patients_have_equal_chances_whatever_their_slides() -> None:
    classes = ["tumour"] * 9 + ["normal"] * 3
    patients = ["P1"] * 8 + ["P2"] + ["P3", "P4", "P4"]
    drawn = draw(classes, 160, np.random.default_rng(0), within=patients)
    assert Counter(patients[n] for n in drawn) == {"P1": 40, "P2": 40, "P3": 40, "P4": 40}
    assert {Counter(drawn.tolist())[n] for n in range(8)} == {5}


def test_seeds_differ_and_the_order_is_mixed() -> None:
    groups = ["a", "b"] * 50
    one, two = (draw(groups, 100, np.random.default_rng(seed)) for seed in (1, 2))
    assert one.tolist() != two.tolist()
    assert sorted(one.tolist()) == list(range(100))
    assert one.tolist() != sorted(one.tolist())


def test_what_cannot_be_is_refused() -> None:
    rng = np.random.default_rng(0)
    assert len(draw([], 0, rng)) == 0
    with pytest.raises(UsageError, match="nothing to draw"):
        draw([], 1, rng)
    with pytest.raises(UsageError, match="-1 members"):
        draw(["a"], -1, rng)
    with pytest.raises(UsageError, match="member 1 has NaN"):
        draw([0.5, float("nan")], 1, rng)
    with pytest.raises(UsageError, match="1 inner groups"):
        draw(["a", "b"], 1, rng, within=["P1"])
