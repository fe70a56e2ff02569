"""OTSurv: the contract, the transport against Sinkhorn and finite differences, and a cohort whose risk was planted."""

import math
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from slidelake.encoders.slide import create_slide_model
from slidelake.encoders.slide.model import Bags
from slidelake.encoders.slide.otsurv_transport import transport_plan
from slidelake.encoders.slide.testing import SlideModelTests
from slidelake.encoders.slide.testing_bags import make_bags
from slidelake.errors import UsageError
from slidelake.kernels import pack_bags


class TestOTSurv(SlideModelTests):
    name = "otsurv"
    options: ClassVar = {"hidden": 16, "prototypes": 5}
    still = ()


class TestAllOfTheMass(SlideModelTests):
    name = "otsurv"
    options: ClassVar = {"hidden": 16, "prototypes": 5, "ramp_steps": 0}
    still = ()


def by_sinkhorn(cost: Tensor, mass: float, epsilon: float, relaxation: float) -> Tensor:
    """The plan by matrix scaling until nothing moves, in 64 bits."""
    rows, count = cost.shape
    kernel = torch.cat([(-cost.double() / epsilon).exp(), torch.ones(rows, 1)], 1)
    wanted = torch.cat([torch.full((count,), mass / count), torch.tensor([1 - mass])]).double()
    power = torch.full((count + 1,), relaxation / (relaxation + epsilon)).double()
    power[-1] = 1
    column = torch.ones(count + 1).double()
    for _ in range(20_000):
        row = (1 / rows) / (kernel @ column)
        new = (wanted / (kernel.T @ row)) ** power
        moved = (new - column).abs().max()
        column = new
        if moved < 1e-13:
            break
    return (row[:, None] * kernel * column)[:, :count]


@pytest.mark.parametrize("mass", [0.1, 0.6, 1.0])
def test_the_plan_is_what_matrix_scaling_finds(mass: float) -> None:
    torch.manual_seed(0)
    cost = torch.rand(200, 6)
    cost[:120, 2] *= 0.3  # most patches lie near one prototype
    plan = transport_plan(cost, mass=mass, epsilon=0.1, relaxation=1.0).exp()
    torch.testing.assert_close(plan.double(), by_sinkhorn(cost, mass, 0.1, 1.0), rtol=1e-3, atol=1e-8)
    torch.testing.assert_close(plan.sum(), torch.tensor(mass))
    assert (plan.sum(1) <= 1 / 200 + 1e-7).all()


def test_prototypes_may_share_unevenly_as_far_as_they_are_let() -> None:
    torch.manual_seed(0)
    cost = torch.rand(200, 6)
    cost[:120, 2] *= 0.3
    received = [
        transport_plan(cost, mass=1.0, epsilon=0.1, relaxation=relaxation).exp().sum(0).max()
        for relaxation in (0.01, 1.0, 100.0)
    ]
    assert received[0] > received[1] > received[2]
    torch.testing.assert_close(received[2], torch.tensor(1 / 6), rtol=0.01, atol=0)


@pytest.mark.parametrize("mass", [0.3, 1.0])
def test_gradients_of_the_plan_are_exact(mass: float) -> None:
    torch.manual_seed(0)
    cost = torch.rand(12, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda cost: transport_plan(cost, mass=mass, epsilon=0.1, relaxation=1.0), cost, atol=1e-5
    )


@pytest.mark.parametrize("epsilon", [0.01, 1.0])
@pytest.mark.parametrize("relaxation", [0.01, 100.0])
def test_hard_settings_still_carry_the_mass(epsilon: float, relaxation: float) -> None:
    torch.manual_seed(0)
    cost = (torch.rand(300, 1) + 0.02 * torch.rand(300, 16)).clamp(max=1)
    for mass in (0.01, 0.5, 0.999):
        plan = transport_plan(cost, mass=mass, epsilon=epsilon, relaxation=relaxation)
        assert plan.isfinite().all()
        assert math.isclose(plan.exp().sum().item(), mass, rel_tol=1e-3)


@torch.no_grad()
def test_more_mass_is_carried_after_each_step_first_of_the_nearest_patches() -> None:
    torch.manual_seed(0)
    model = create_slide_model("otsurv", dim=24, outputs=1, ramp_steps=4).eval()
    bags = make_bags((50, 30))
    shares = []
    for _ in range(6):
        made = model(bags)
        assert made.scores is not None
        assert made.lse is not None
        torch.testing.assert_close(made.lse.exp().sum(1), torch.ones(2), rtol=1e-4, atol=0)
        shares.append((made.scores[:, :50].exp().sum(0) * 50).max().item())
        model.after_step()
    # Uneven while little is carried; at the end each row gives all it has.
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 1.1
    assert math.isclose(shares[-1], 1.0, rel_tol=1e-4)


def test_it_learns_a_planted_risk() -> None:
    """Risk is the share of a kind of tissue; Cox's loss on times that follow it; concordance on others."""

    def cohort(seed: int) -> tuple[Bags, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        risk = torch.rand(40, generator=generator)
        parts = []
        for each in risk:
            rows = torch.randn(60, 12, generator=generator)
            rows[: int(60 * each), 0] += 5
            parts.append(rows)
        return Bags(*pack_bags(parts)), risk

    torch.manual_seed(0)
    model = create_slide_model("otsurv", dim=12, outputs=1, hidden=16, prototypes=4, ramp_steps=15).train()
    bags, risk = cohort(1)
    order = (-risk).argsort()  # who dies first has the highest risk
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    for _ in range(40):
        hazard = model(bags).logits[order, 0]
        at_risk = hazard.flip(0).logcumsumexp(0).flip(0)
        loss = (at_risk - hazard).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        model.after_step()
    bags, risk = cohort(2)
    with torch.no_grad():
        hazard = model.eval()(bags).logits[:, 0]
    concordant = ((hazard[:, None] - hazard) * (risk[:, None] - risk) > 0).float().sum() / (40 * 39)
    assert concordant > 0.9


def test_it_is_for_survival_alone() -> None:
    model = create_slide_model("otsurv", dim=4, outputs=1)
    model.check_task("survival")
    with pytest.raises(UsageError, match=r"otsurv.*classification.*only on survival"):
        model.check_task("classification")
