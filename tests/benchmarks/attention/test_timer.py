"""Quantiles, turns, and what is called untimed."""

import math

import pytest
import torch

from benchmarks.attention.timer import DeviceTimer, extra_bytes, quantiles


@pytest.mark.parametrize("values", [[3.0], [2.0, 1.0], [5.0, 1.0, 4.0, 2.0], list(range(17))], ids=len)
def test_quantiles_are_torchs(values):
    at = (0.5, 0.2, 0.8, 0.0, 1.0)
    wanted = torch.quantile(torch.tensor(values, dtype=torch.float64), torch.tensor(at, dtype=torch.float64))
    assert quantiles(values, at) == pytest.approx(wanted.tolist())


def test_quantiles_of_nothing():
    with pytest.raises(ValueError, match="no values"):
        quantiles([])


def test_sides_are_called_in_turns_and_what_is_before_them_is_given_on():
    order = []
    timer = DeviceTimer("cpu", budget_s=0.0, least=3)
    found = timer.interleaved(
        {"ours": lambda graph: order.append(graph), "theirs": lambda: order.append("t")},
        {"ours": lambda: "o"},
    )
    assert "".join(order) == "oo" + "tt" + "ot" * 3
    assert {name: len(each.rounds) for name, each in found.items()} == {"ours": 3, "theirs": 3}
    assert all(second >= 0 for each in found.values() for second in each.rounds)


def test_rounds_fill_the_budget_within_bounds():
    timer = DeviceTimer("cpu", budget_s=1.0, least=5, most=50)
    assert [timer.rounds(once) for once in (1.0, 0.1, 0.05, 1e-6, 0.0)] == [5, 10, 20, 50, 50]


def test_memory_of_the_cpu_is_not_claimed():
    assert math.isnan(extra_bytes("cpu", lambda: None))
