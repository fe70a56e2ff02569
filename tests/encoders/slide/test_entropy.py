"""AEM's term: right for packed bags, left-out rows and empty bags, and differentiable."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from slidelake.encoders.slide import create_slide_model
from slidelake.encoders.slide.entropy import attention_entropy, negative_entropy
from slidelake.encoders.slide.model import SlideOutput
from slidelake.encoders.slide.testing_bags import make_bags
from slidelake.errors import UsageError

BORDERS = torch.tensor([0, 5, 5, 9, 12])


def output_of(scores: torch.Tensor, borders: torch.Tensor = BORDERS) -> SlideOutput:
    lse = torch.stack([scores[:, a:b].logsumexp(1) for a, b in pairwise(borders.tolist())])
    return SlideOutput(torch.zeros(len(lse), 1), torch.zeros(len(lse), 1, 1), scores, lse, {})


def scores_with_gaps() -> torch.Tensor:
    scores = torch.randn(2, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    scores[:, [1, 6, 9, 10, 11]] = -torch.inf  # rows left out, and all of the last bag
    return scores


def test_entropy_is_that_of_a_softmax_of_each_bag():
    scores = scores_with_gaps()
    found = attention_entropy(output_of(scores), BORDERS)
    wanted = torch.zeros(4, 2, dtype=torch.float64)
    for bag, rows in ((0, [0, 2, 3, 4]), (2, [5, 7, 8])):
        wanted[bag] = torch.distributions.Categorical(logits=scores[:, rows]).entropy()
    torch.testing.assert_close(found, wanted)
    # Two of four bags have rows: the others have no part in the mean.
    torch.testing.assert_close(negative_entropy(output_of(scores), BORDERS), -wanted[[0, 2]].mean())


def test_uniform_attention_has_the_largest():
    found = attention_entropy(output_of(torch.zeros(1, 12)), BORDERS)[:, 0]
    torch.testing.assert_close(found, torch.tensor([math.log(5), 0.0, math.log(4), math.log(3)]))


def test_its_gradient_is_right_through_scores_and_lse():
    kept = scores_with_gaps() > -torch.inf
    free = torch.randn(
        2, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    ).requires_grad_()
    filled = free.masked_fill(~kept, -torch.inf)

    def through(scores: torch.Tensor) -> torch.Tensor:
        # logsumexp of nothing but −inf has a gradient of NaN; kernels give −inf there without one.
        lse = [
            scores[:, rows].logsumexp(1) if rows else torch.full((2,), -torch.inf, dtype=torch.float64)
            for rows in ([0, 2, 3, 4], [], [5, 7, 8], [])
        ]
        empty = torch.zeros(4, 1)
        return negative_entropy(SlideOutput(empty, empty, scores, torch.stack(lse), {}), BORDERS)

    assert torch.autograd.gradcheck(lambda x: through(x.masked_fill(~kept, -torch.inf)), (free,))
    (gradient,) = torch.autograd.grad(through(filled), free)
    assert gradient.isfinite().all()
    assert (gradient[~kept] == 0).all()


def test_adding_it_spreads_the_attention_of_a_trained_model():
    bags = make_bags((60, 0, 40))
    bags = replace(bags, mask=torch.arange(100) % 5 > 0)
    made = {}
    for weight in (0.0, 0.5):
        torch.manual_seed(0)
        model = create_slide_model("abmil", dim=24, outputs=2, hidden=16)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        for _ in range(30):
            output = model(bags)
            task = torch.nn.functional.cross_entropy(output.logits, torch.tensor([0, 1, 1]))
            loss = task + weight * negative_entropy(output, bags.cu_seqlens)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        made[weight] = negative_entropy(model(bags), bags.cu_seqlens).item()
    assert made[0.5] < made[0.0] - 0.05


def test_a_model_without_attention_is_refused():
    bags = make_bags()
    output = create_slide_model("mean", dim=24, outputs=2)(bags)
    with pytest.raises(UsageError, match="no attention"):
        negative_entropy(output, bags.cu_seqlens)
