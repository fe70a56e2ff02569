"""MHIM: the contract, which rows are masked, and how the teacher follows."""

from dataclasses import replace
from itertools import pairwise
from typing import ClassVar

import pytest
import torch

from slidelake.encoders.slide import create_slide_model
from slidelake.encoders.slide.mhim import MHIM, choose_masked
from slidelake.encoders.slide.testing import LearnsPlantedRows, SlideModelTests
from slidelake.encoders.slide.testing_bags import make_bags
from slidelake.errors import UsageError


class TestMHIM(SlideModelTests, LearnsPlantedRows):
    name = "mhim"
    options: ClassVar = {"hidden": 16, "attention": 12}
    learning: ClassVar = {"hidden": 32, "attention": 16, "mask_random": 0.2, "schedule_steps": 30}
    attention_share = 0.4


BORDERS = torch.tensor([0, 100, 100, 140, 141], dtype=torch.int32)


def counts(masked: torch.Tensor) -> list[int]:
    return [int(masked[start:stop].sum()) for start, stop in pairwise(BORDERS.tolist())]


def salience() -> torch.Tensor:
    return torch.randn(141, generator=torch.Generator().manual_seed(0))


def test_the_most_salient_rows_are_masked_by_chance_from_the_top() -> None:
    scores = salience()
    masked = choose_masked(scores, BORDERS, high=0.1, high_random=0.5, low=0.0, random=0.0)
    # 10 of the top 20, 4 of the top 8; the bag of one row would be empty and is let alone.
    assert counts(masked) == [10, 0, 4, 0]
    assert masked[:100][scores[:100].argsort(descending=True)[20:]].sum() == 0
    drawn = torch.stack([choose_masked(scores, BORDERS, high=0.1, high_random=0.5, low=0.0, random=0.0)
                         for _ in range(200)])  # fmt: skip
    share = drawn[:, :100].float().mean(0)[scores[:100].argsort(descending=True)[:20]]
    assert share.min() > 0.3
    assert share.max() < 0.7


def test_all_of_the_most_and_of_the_least_salient() -> None:
    scores = salience()
    masked = choose_masked(scores, BORDERS, high=0.05, high_random=1.0, low=0.1, random=0.0)
    order = scores[:100].argsort(descending=True)
    assert masked[order[:5]].all()
    assert masked[order[-10:]].all()
    assert counts(masked) == [15, 0, 6, 0]


def test_rows_by_chance() -> None:
    torch.manual_seed(0)
    masked = choose_masked(salience(), BORDERS, high=0.0, high_random=0.5, low=0.0, random=0.3)
    assert counts(masked) == [30, 0, 12, 0]
    assert not torch.equal(
        masked, choose_masked(salience(), BORDERS, high=0.0, high_random=0.5, low=0.0, random=0.3)
    )


def make(**options: object) -> MHIM:
    torch.manual_seed(0)
    model = create_slide_model("mhim", dim=24, outputs=2, hidden=16, attention=8, **options)
    assert isinstance(model, MHIM)
    return model


def test_the_teacher_follows_after_each_step_without_gradients() -> None:
    model = make(momentum=0.5)
    bags = make_bags()
    before = [p.clone() for p in model.teacher.parameters()]
    with torch.no_grad():
        for parameter in model.student.parameters():
            parameter.add_(1.0)
    for step, rest in ((1, 2 / 11), (2, 2 / 11 * 3 / 12)):
        model.after_step()
        assert model.steps == step
        for slow, old, fast in zip(
            model.teacher.parameters(), before, model.student.parameters(), strict=True
        ):
            torch.testing.assert_close(fast - slow, rest * (fast - old))
    torch.autograd.backward(sum(model(bags).losses.values()))
    assert all(p.grad is None and not p.requires_grad for p in model.teacher.parameters())
    assert any(p.grad is not None and p.grad.any() for p in model.student.parameters())


def test_momentum_rises_to_what_was_asked() -> None:
    model = make(momentum=0.5)
    model.steps.fill_(1000)
    before = [p.clone() for p in model.teacher.parameters()]
    with torch.no_grad():
        for parameter in model.student.parameters():
            parameter.add_(1.0)
    model.after_step()
    for slow, old, fast in zip(model.teacher.parameters(), before, model.student.parameters(), strict=True):
        torch.testing.assert_close(fast - slow, 0.5 * (fast - old))


def test_training_masks_what_the_teacher_finds_salient_and_evaluation_nothing() -> None:
    model = make(mask_high=0.1, high_random=1.0, mask_random=0.0, dropout=0.0)
    bags = make_bags((50,))
    with torch.no_grad():
        seen = model.eval()(bags)
        left = model.train()(bags)
    assert seen.scores is not None
    assert left.scores is not None
    # The teacher is still the student's copy: it masks the student's own highest rows.
    top = seen.scores[0].argsort(descending=True)
    assert left.scores[0, top[:5]].isneginf().all()
    torch.testing.assert_close(left.scores[0, top[5:]], seen.scores[0, top[5:]])
    assert dict(seen.losses) == {}
    assert left.losses["consistency"] > 0


def test_fewer_salient_rows_are_masked_as_training_goes_on() -> None:
    model = make(mask_high=0.2, high_random=1.0, mask_random=0.0, schedule_steps=10)
    bags = replace(make_bags((50,)), mask=torch.arange(50) != 7)
    masked = []
    for _ in range(12):
        with torch.no_grad():
            made = model(bags)
        assert made.scores is not None
        masked.append(int(made.scores.isneginf().sum()) - 1)
        model.after_step()
    assert masked[0] == 10  # of 49 that count
    assert masked == sorted(masked, reverse=True)
    assert masked[-2:] == [0, 0]


def test_the_teacher_attends_without_dropout() -> None:
    model = make(dropout=0.5).train()
    assert not any(module.training for module in model.teacher.modules())


def test_options_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="mhim: high_random is 0"):
        make(high_random=0.0)
    with pytest.raises(UsageError, match="mhim: temperature is 0"):
        make(temperature=0)
