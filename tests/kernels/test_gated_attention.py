"""The eager back end against the float64 loop, its gradients, and the masks of dropout."""

import inspect

import pytest
import torch

from slidelake.kernels import attention_weights, dropout, gated_attention_pool
from slidelake.kernels.dropout import dropout_masks, philox_words
from slidelake.kernels.testing import (
    Case,
    GatedAttentionConformance,
    loop_reference,
    make_case,
    relative_error,
)


class TestEager(GatedAttentionConformance):
    backend = "eager"


@pytest.mark.parametrize("gated", [True, False], ids=["gated", "tanh"])
@pytest.mark.parametrize("output", [0, 1, 2], ids=["pooled", "scores", "lse"])
def test_gradcheck(output, gated):
    case = make_case((3, 1, 0, 4), (5, 3, 2), gated=gated, dtype=torch.float64)
    mask = torch.tensor([True, True, False, True, True, True, False, True])
    leaves = [x.requires_grad_() for x in case.parameters()]

    def call(*values):
        parts = values if gated else (*values[:3], None, None, *values[3:])
        options = {"mask": mask, "dropout_p": 0.3, "seed": 4, "backend": "eager"}
        found = gated_attention_pool(*parts, case.cu_seqlens, **options)[output]
        return found[found.isfinite()]

    assert torch.autograd.gradcheck(call, leaves)


def test_signature_is_the_documented_one():
    """A call with every argument named, and the back end chosen by itself."""
    case = make_case()
    found = gated_attention_pool(
        **case._asdict(), mask=None, dropout_p=0.0, seed=None, backend="auto", save="auto"
    )
    assert list(inspect.signature(gated_attention_pool).parameters) == [
        *("h", "V", "bV", "U", "bU", "w", "bw", "cu_seqlens"),
        *("mask", "dropout_p", "seed", "backend", "save"),
    ]
    bags, (branches, rows, dim) = len(case.cu_seqlens) - 1, (2, len(case.h), 96)
    assert [tuple(x.shape) for x in found] == [(bags, branches, dim), (branches, rows), (bags, branches)]


def test_meets_the_limits_of_the_softmax():
    """One row: attention 1, pooled the row itself; equal rows: the mean."""
    case = make_case((1,))
    pooled, scores, lse = gated_attention_pool(*case)
    assert torch.equal(pooled[0], case.h.expand(2, -1))
    assert torch.allclose(scores.T, lse)
    same = case._replace(h=case.h.expand(64, -1), cu_seqlens=torch.tensor([0, 64]))
    _, scores, lse = gated_attention_pool(*same)
    assert torch.allclose(attention_weights(scores, lse, same.cu_seqlens), torch.tensor(1 / 64))


def test_infinite_score_bias_free_of_pooled():
    """The scores carry bw, the softmax does not feel it: bw of 1e8 would otherwise eat every digit."""
    case = make_case()
    shifted = case._replace(bw=case.bw + 1e8)
    assert torch.equal(gated_attention_pool(*shifted)[0], gated_attention_pool(*case)[0])


@pytest.mark.parametrize(
    ("seed", "counter", "words"),
    [
        (0, 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (2**64 - 1, 2**32 - 1, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ],
)
def test_philox_known_answers(seed, counter, words):
    """The test vectors that come with Random123, the authors' library."""
    counters = (torch.tensor([counter]),) * 4
    assert tuple(int(x) for x in philox_words(seed, counters)) == words


def test_philox_known_answer_of_unlike_words():
    """Random123's third vector: the digits of π as counter and key."""
    counters = tuple(torch.tensor([c]) for c in (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344))
    words = philox_words(0x299F31D0_A4093822, counters)
    assert tuple(int(x) for x in words) == (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)


@pytest.mark.parametrize("seed", [9, 2**64 - 1])
def test_masks_made_on_the_cpu_are_those_of_torch(seed):
    """The compiled generator against the one that GPUs and tracers use."""
    limit = round(0.25 * 2**32)
    for first, stream in ((0, 0), (2**31 - 3, 1)):
        wanted = torch.empty((2, 7, 33), dtype=torch.bool)
        dropout._fill_by_torch(seed, limit, first, stream, wanted)
        found = dropout_masks(seed, 0.25, 7, 33, device=torch.device("cpu"), first_row=first, stream=stream)
        assert torch.equal(torch.stack(found), wanted)
    assert not any(mask.any() for mask in dropout_masks(seed, 1 - 1e-12, 7, 33, device=torch.device("cpu")))


def test_dropout_masks_depend_on_row_and_unit_alone():
    small = dropout_masks(9, 0.25, 100, 30, device=torch.device("cpu"))
    large = dropout_masks(9, 0.25, 10_000, 64, device=torch.device("cpu"))
    for few, many in zip(small, large, strict=True):
        assert torch.equal(few, many[:100, :30])
        # 640,000 draws: five standard deviations are 0.0027.
        assert abs(many.float().mean().item() - 0.75) < 0.0027
    assert abs((large[0] == large[1]).float().mean().item() - (0.75**2 + 0.25**2)) < 0.004


def test_dropout_drops_units_of_both_branches_and_scales_the_rest():
    case = make_case((50,), (12, 6, 2), dtype=torch.float64)
    h, V, bV, U, bU, w, bw, _ = case
    kept = dropout_masks(3, 0.4, 50, 6, device=h.device)
    hidden = torch.tanh(h @ V.T + bV) * kept[0] / 0.6
    gate = torch.sigmoid(h @ U.T + bU) * kept[1] / 0.6
    scores = gated_attention_pool(*case, dropout_p=0.4, seed=3, backend="eager")[1]
    assert relative_error(scores, w @ (hidden * gate).T + bw[:, None]) < 1e-13


def test_reference_knows_the_closed_form():
    """The loop itself, against numbers worked out by hand: two rows of one feature, scores tanh(x) σ(0)."""
    one = torch.ones(1, 1, dtype=torch.float64)
    zero = torch.zeros(1, dtype=torch.float64)
    h = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    pooled, scores, lse = loop_reference(Case(h, one, zero, 0 * one, zero, one, zero, torch.tensor([0, 2])))
    second = 0.5 * torch.tanh(torch.tensor(1.0, dtype=torch.float64))
    assert torch.allclose(scores, torch.stack([0 * second, second])[None])
    assert torch.allclose(pooled.squeeze(), torch.sigmoid(second))
    assert torch.allclose(lse.squeeze(), torch.log1p(torch.exp(second)))
