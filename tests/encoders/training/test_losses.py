"""Losses against other people's programs and against sums written out."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from lifelines import CoxPHFitter

from slidelake.encoders.training.losses import (
    class_weights,
    cox_loss,
    cross_entropy,
    discrete_time_loss,
    regression_loss,
    survival_curves,
)


# lifelines 0.30 calls pandas in a way that pandas 4 will not take.
@pytest.mark.filterwarnings("ignore:Starting with pandas version 4")
@pytest.mark.parametrize("decimals", [None, 0], ids=["no ties", "many ties"])
def test_cox_is_what_lifelines_maximises(decimals: int | None) -> None:
    """At lifelines' own optimum (Efron's ties too) the values agree, and the gradient along the covariate is 0."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    times = rng.exponential(5 * np.exp(-0.8 * x)) + 0.5
    times = times if decimals is None else times.round(decimals)
    events = (rng.random(200) < 0.7).astype(int)
    fitted = CoxPHFitter().fit(pd.DataFrame({"x": x, "t": times, "e": events}), "t", "e")
    beta = torch.tensor(float(fitted.params_["x"]), dtype=torch.float64, requires_grad=True)
    loss = cox_loss(beta * torch.from_numpy(x), torch.from_numpy(times), torch.from_numpy(events))
    assert float(loss.detach()) * events.sum() == pytest.approx(-fitted.log_likelihood_, rel=1e-9)
    [gradient] = torch.autograd.grad(loss, beta)
    assert abs(float(gradient)) < 1e-5


def test_cox_by_hand() -> None:
    risks = torch.tensor([0.0, 1.0, 2.0])
    times, events = torch.tensor([3.0, 1.0, 2.0]), torch.tensor([1.0, 1.0, 0.0])
    # At time 1 all three are at risk; at time 3 only the first.
    wanted = (math.log(sum(math.exp(r) for r in (0, 1, 2))) - 1 + 0) / 2
    assert float(cox_loss(risks, times, events)) == pytest.approx(wanted, rel=1e-6)
    shifted = cox_loss(risks + 50, times, events)
    assert float(shifted) == pytest.approx(wanted, rel=1e-4)


def test_cox_without_events_is_0_with_gradient_0() -> None:
    risks = torch.randn(4, requires_grad=True)
    loss = cox_loss(risks, torch.rand(4), torch.zeros(4))
    loss.backward()
    assert float(loss.detach()) == 0
    assert risks.grad is not None
    assert not risks.grad.any()


def test_cox_stays_finite_where_risks_are_far_apart() -> None:
    risks = torch.tensor([0.0, 900.0, -900.0, 900.0], requires_grad=True)
    loss = cox_loss(risks, torch.tensor([1.0, 1.0, 2.0, 1.0]), torch.ones(4))
    loss.backward()
    assert torch.isfinite(loss)
    assert risks.grad is not None
    assert bool(torch.isfinite(risks.grad).all())


def test_discrete_time_by_hand() -> None:
    logits = torch.tensor([[0.3, -0.2, 0.5]]).double()
    hazard = torch.sigmoid(logits)[0]

    def loss(event: int, interval: int) -> float:
        return float(discrete_time_loss(logits, torch.tensor([event]), torch.tensor([float(interval)])))

    assert loss(1, 0) == pytest.approx(-math.log(hazard[0]))
    assert loss(1, 2) == pytest.approx(-math.log((1 - hazard[0]) * (1 - hazard[1]) * hazard[2]))
    assert loss(0, 2) == pytest.approx(-math.log((1 - hazard[0]) * (1 - hazard[1])))
    assert loss(0, 0) == 0  # nothing is known of the first interval
    assert survival_curves(logits)[0].tolist() == pytest.approx(np.cumprod(1 - hazard.numpy()).tolist())
    # The chances of an event in each interval and of none at all make a whole.
    chances = [math.exp(-loss(1, k)) for k in range(3)] + [float(survival_curves(logits)[0, -1])]
    assert sum(chances) == pytest.approx(1)


def test_weighted_classes_count_equally() -> None:
    targets = torch.tensor([0] * 8 + [1] * 2)
    weights = class_weights(targets, 3)
    assert weights.tolist() == pytest.approx([10 / 16, 10 / 4, 0])
    assert float(weights[targets].mean()) == pytest.approx(1)
    losses = cross_entropy(torch.zeros(10, 3), targets, weights)
    assert float(losses[:8].sum()) == pytest.approx(float(losses[8:].sum()))


def test_regression_losses() -> None:
    predicted, targets = torch.tensor([[0.0, 3.0]]), torch.tensor([[0.5, 0.0]])
    assert regression_loss(predicted, targets, "mse").tolist() == [(0.25 + 9) / 2]
    assert regression_loss(predicted, targets, "huber").tolist() == [(0.125 + 2.5) / 2]
