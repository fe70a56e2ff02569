"""Projected rows that are not kept: the same numbers and gradients, in memory that does not grow with their width."""

from typing import Any

import pytest
import torch
from torch import Tensor

from slidelake.encoders.slide import Bags, SlideModel, create_slide_model, projected_pool
from tests.encoders.slide.largest_tensor import LargestTensor

SHORT: dict[str, dict[str, Any]] = {
    "abmil": {"projection": 48, "hidden": 16},
    "clam-sb": {"projection": 48, "hidden": 16, "dropout": 0.0},
    "clam-mb": {"projection": 48, "hidden": 16, "dropout": 0.0, "subtyping": True},
}


def make(name: str, **options: Any) -> SlideModel:
    torch.manual_seed(0)
    return create_slide_model(name, dim=12, outputs=2, **SHORT[name] | options).train()


def make_bags(*, half: bool = False) -> Bags:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(90, 12, generator=generator)
    mask = torch.rand(90, generator=generator) > 0.2
    features[~mask] = torch.nan
    return Bags(features.half() if half else features, torch.tensor([0, 5, 5, 40, 90]), mask)


def loss_and_gradients(model: SlideModel, bags: Bags) -> list[Tensor]:
    found = model(bags, torch.tensor([0, 1, 1, 0]))
    loss = found.logits.square().sum() + sum(found.losses.values())
    return [found.logits, found.scores, *torch.autograd.grad(loss, list(model.parameters()))]  # type: ignore[list-item]


@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
@pytest.mark.parametrize("name", SHORT)
def test_the_same_numbers_and_gradients(name: str, half: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model, bags = make(name), make_bags(half=half)
    kept = loss_and_gradients(model, bags)
    monkeypatch.setattr(projected_pool, "MOST_KEPT_BYTES", 0)
    for found, wanted in zip(loss_and_gradients(model, bags), kept, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_nothing_of_the_projection_s_size_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("clam-sb", projection=256, dropout=0.25)
    bags = Bags(torch.randn(60_000, 12), torch.tensor([0, 60_000]))
    targets = torch.tensor([1])
    monkeypatch.setattr(projected_pool, "MOST_KEPT_BYTES", 1 << 20)
    with LargestTensor() as largest:
        found = model(bags, targets)
        (found.logits.sum() + found.losses["instances"]).backward()
    assert largest.bytes < 60_000 * 256 * 4 / 3


def test_dropout_is_drawn_from_torch_s_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    model, bags = make("clam-sb", dropout=0.5), make_bags()
    monkeypatch.setattr(projected_pool, "MOST_KEPT_BYTES", 0)
    runs = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        runs.append(model(bags).logits)
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    model.eval()
    assert torch.equal(model(bags).logits, model(bags).logits)
