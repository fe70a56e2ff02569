"""Slide encoders on a GPU give what they give on the CPU, and train there."""

from dataclasses import fields

import pytest
import torch

from slidelake.encoders.slide import Bags, create_slide_model, slide_model_names
from slidelake.encoders.slide.testing_bags import make_bags

pytestmark = pytest.mark.gpu


def to_gpu(bags: Bags) -> Bags:
    parts = {each.name: getattr(bags, each.name) for each in fields(bags)}
    return Bags(**{name: value if value is None else value.cuda() for name, value in parts.items()})


@pytest.mark.parametrize("name", slide_model_names())
def test_a_gpu_agrees_with_the_cpu_and_trains(name):
    torch.manual_seed(0)
    model = create_slide_model(name, dim=64, outputs=3).eval()
    bags = make_bags((400, 1, 0, 2000), dim=64)
    with torch.no_grad():
        wanted = model(bags).logits
        found = model.cuda()(to_gpu(bags)).logits
    torch.testing.assert_close(found.cpu(), wanted, rtol=1e-2, atol=1e-2)  # a GPU may multiply in TF32
    targets = torch.tensor([0, 1, 2, 0])
    if "classification" not in model.tasks:
        targets = torch.tensor([[1.0, 1.0, 0.0], [2.0, 0.0, 1.0], [3.0, 1.0, 1.0], [4.0, 1.0, 2.0]])
    made = model.train()(to_gpu(bags), targets.cuda())
    loss = made.logits.square().mean() + sum(made.losses.values())
    loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
