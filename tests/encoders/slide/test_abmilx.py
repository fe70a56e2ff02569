"""ABMILX: the contract, and the refinement against its formula."""

import math
from typing import ClassVar

import pytest
import torch

from slidelake.encoders.slide import create_slide_model
from slidelake.encoders.slide.abmilx import ABMILX
from slidelake.encoders.slide.testing import LearnsPlantedRows, SlideModelTests
from slidelake.encoders.slide.testing_bags import make_bags
from slidelake.errors import UsageError
from tests.encoders.slide.largest_tensor import LargestTensor


class TestABMILX(SlideModelTests, LearnsPlantedRows):
    name = "abmilx"
    options: ClassVar = {"hidden": 16, "heads": 4}
    learning: ClassVar = {"hidden": 16, "heads": 2}

    def test_a_long_bag(self) -> None:
        """Its time is quadratic, its memory is not: of 4,000 rows, no tensor has more than `hidden` numbers a row."""
        model, bags = self.make_model().train(), self.make_bags((4000,))
        with LargestTensor() as watched:
            torch.autograd.backward(model(bags).logits.sum())
        assert watched.bytes <= 4000 * self.dim * 4
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


class TestWithoutRefinement(SlideModelTests):
    name = "abmilx"
    options: ClassVar = {"hidden": 16, "heads": 4, "refine": False}


@torch.no_grad()
def test_scores_are_refined_by_the_patches_that_are_alike() -> None:
    torch.manual_seed(0)
    model = create_slide_model("abmilx", dim=24, outputs=3, hidden=16, heads=4).eval()
    assert isinstance(model, ABMILX)
    assert model.refinement is not None
    bags = make_bags((30,))
    made = model(bags)
    assert made.scores is not None
    patches = model.projection(bags.features).view(30, 4, 4)
    for head in range(4):
        rows = patches[:, head]
        local = model.score(rows)[:, 0]
        normed = model.refinement.norm(rows)
        alike = (model.refinement.query(normed) @ model.refinement.key(normed).T / math.sqrt(4)).softmax(-1)
        refined = local + model.refinement.scale * (alike @ local)
        torch.testing.assert_close(made.scores[head], refined)
        torch.testing.assert_close(made.embedding[0, head], refined.softmax(-1) @ rows)


def test_heads_that_do_not_divide_the_width() -> None:
    with pytest.raises(UsageError, match="abmilx: hidden 30 is not a multiple of heads 4"):
        create_slide_model("abmilx", dim=8, outputs=2, hidden=30, heads=4)
