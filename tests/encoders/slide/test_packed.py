"""Sums, maxima, softmaxes and ranks over packed bags, against one bag at a time."""

from itertools import pairwise

import pytest
import torch

from slidelake.encoders.slide.packed import (
    bag_max,
    bag_mean,
    bag_of_row,
    highest_row,
    ranked_rows,
    row_counts,
    rows_at,
    softmax_pool,
    take_or_zero,
)

BORDERS = torch.tensor([0, 700, 700, 701, 1300, 1303], dtype=torch.int32)
ROWS = 1303


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def masked():
    mask = torch.arange(ROWS) % 3 > 0
    mask[1300:] = False  # a whole bag
    return mask


def bags_of(values, mask=None):
    """Each bag's rows that count, in float64."""
    kept = torch.ones(ROWS, dtype=torch.bool) if mask is None else mask
    return [values[a:b][kept[a:b]].double() for a, b in pairwise(BORDERS.tolist())]


@pytest.mark.parametrize("mask", [None, masked()], ids=["all rows", "some rows"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=lambda d: str(d)[6:])
def test_mean_and_maximum_of_each_bag(dtype, mask):
    features = drawn(ROWS, 5).to(dtype)
    if mask is not None:
        features[~mask] = torch.nan
    zero = torch.zeros(5, dtype=torch.float64)
    means = torch.stack([bag.mean(0) if len(bag) else zero for bag in bags_of(features, mask)])
    maxima = torch.stack([bag.amax(0) if len(bag) else zero for bag in bags_of(features, mask)])
    found = bag_mean(features, BORDERS, mask)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), means, rtol=1e-5, atol=1e-6)
    assert torch.equal(bag_max(features, BORDERS, mask).double(), maxima)
    assert row_counts(BORDERS, mask).tolist() == [len(bag) for bag in bags_of(features, mask)]


def test_the_mean_of_many_half_floats_neither_overflows_nor_drifts():
    features = torch.full((30_000, 2), 60_000.0, dtype=torch.float16)
    found = bag_mean(features, torch.tensor([0, 30_000]))
    torch.testing.assert_close(found, features[:1].float(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("pool", [bag_mean, bag_max])
def test_pooling_is_differentiable(pool):
    features = drawn(ROWS, 3).requires_grad_()
    mask = masked()
    (gradient,) = torch.autograd.grad(pool(features, BORDERS, mask).square().sum(), features)
    wanted = torch.zeros_like(gradient)
    for (a, b), kept in zip(
        pairwise(BORDERS.tolist()), [mask[a:b] for a, b in pairwise(BORDERS.tolist())], strict=True
    ):
        if kept.any():
            rows = features[a:b].detach()[kept].requires_grad_()
            value = rows.mean(0) if pool is bag_mean else rows.amax(0)
            (of_rows,) = torch.autograd.grad(value.square().sum(), rows)
            wanted[a:b][kept] = of_rows
    torch.testing.assert_close(gradient, wanted)


def test_softmax_pooling_with_rows_left_out_branch_by_branch():
    values, scores = drawn(ROWS, 4), 5 * drawn(2, ROWS, seed=1)
    scores[0, ::3] = -torch.inf
    scores[1, 1300:] = -torch.inf
    pooled, lse = softmax_pool(values, scores, BORDERS)
    for bag, (a, b) in enumerate(pairwise(BORDERS.tolist())):
        for branch in range(2):
            s = scores[branch, a:b]
            if (s > -torch.inf).any():
                torch.testing.assert_close(
                    pooled[bag, branch], s.softmax(0) @ values[a:b], rtol=1e-4, atol=1e-5
                )
                torch.testing.assert_close(lse[bag, branch], s.logsumexp(0))
            else:
                assert (pooled[bag, branch] == 0).all()
                assert lse[bag, branch] == -torch.inf


def test_ranks_within_each_bag():
    scores = drawn(2, ROWS).round(decimals=1)  # with many equals
    scores[:, masked().logical_not()] = -torch.inf
    ranked, counts = ranked_rows(scores, BORDERS)
    for branch in range(2):
        for bag, (a, b) in enumerate(pairwise(BORDERS.tolist())):
            of_bag = scores[branch, a:b]
            order = sorted(range(a, b), key=lambda row: (-scores[branch, row].item(), row))
            assert ranked[branch, a:b].tolist() == order
            assert counts[branch, bag] == (of_bag > -torch.inf).sum()
    highest = highest_row(scores, BORDERS)
    assert torch.equal(highest[:, [0, 2, 3]], ranked[:, [0, 700, 701]].where(counts[:, [0, 2, 3]] > 0, -1))
    assert (highest[:, [1, 4]] == -1).all()


def test_rows_by_number():
    values = drawn(6, 2)
    found = take_or_zero(values, torch.tensor([[5, -1], [0, 0]]))
    assert torch.equal(found[0, 0], values[5])
    assert (found[0, 1] == 0).all()
    assert torch.equal(found[1], values[[0, 0]])
    assert take_or_zero(values[:0], torch.tensor([-1])).tolist() == [[0.0, 0.0]]
    places = torch.tensor([[[2, -1]]])
    assert rows_at(torch.tensor([[4, 3, 1]]), places).tolist() == [[[1, -1]]]
    assert bag_of_row(torch.tensor([0, 2, 2, 3]), 3).tolist() == [0, 0, 2]
