"""The rate of learning and early stopping."""

import math
from itertools import pairwise

import pytest

from slidelake.encoders.training.schedule import Patience, rate_at


def test_the_rate_rises_then_falls_by_a_cosine() -> None:
    def rate(place: float) -> float:
        return rate_at(place, lr=2.0, warmup_epochs=2, epochs=10)

    assert [rate(0), rate(1), rate(2)] == [0, 1, 2]
    assert rate(6) == pytest.approx(1)
    assert rate(10) == pytest.approx(0, abs=1e-12)
    places = [2 + n / 10 for n in range(81)]
    assert all(rate(a) > rate(b) for a, b in pairwise(places))
    assert rate_at(0, lr=1.0, warmup_epochs=0, epochs=5) == 1


def test_patience() -> None:
    patience = Patience(2, larger_is_better=False)
    values = [3.0, 2.0, 2.0, math.nan]
    assert [patience.saw(n, value) for n, value in enumerate(values)] == [True, True, False, False]
    assert (patience.best, patience.best_epoch) == (2.0, 1)
    assert [patience.over(n) for n in range(2, 4)] == [False, True]
    assert not Patience(0, larger_is_better=True).over(100)


def test_nothing_measured_stops_nothing() -> None:
    patience = Patience(1, larger_is_better=True)
    assert not patience.saw(0, None)
    assert not patience.over(5)
