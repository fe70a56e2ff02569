"""The reference that every side is checked against, itself against autograd in float64."""

import pytest
import torch

from benchmarks.attention import inputs as inputs_module
from benchmarks.attention.inputs import log_uniform_lengths, make_inputs, reference, relative_error
from benchmarks.attention.sides import Compiled, side


@pytest.mark.parametrize("block", [7, 1 << 16])
@pytest.mark.parametrize("features", [False, True])
def test_reference_is_that_of_autograd(features, block, monkeypatch):
    monkeypatch.setattr(inputs_module, "_BLOCK", block)
    inputs = make_inputs((40, 1, 23), (12, 8, 3), dtype=torch.float32, device="cpu", features=features)
    double = inputs.to(torch.float64)
    pooled = side("loop_eager", Compiled("cpu")).bind(double)()
    wanted = [pooled, *torch.autograd.grad(pooled, double.leaves, double.cotangent.double())]
    found = reference(inputs, gradients=True)
    assert len(found) == len(wanted) == 7 + features
    for a, b in list(zip(found, wanted, strict=True))[:-1]:  # bw: rounding around 0
        assert relative_error(a, b.detach()) < 1e-5
    assert found[-1].abs().max() < 1e-4
    assert torch.equal(reference(inputs, gradients=False)[0], found[0])


@pytest.mark.parametrize(
    "name",
    [
        "loop_eager_fp32",
        "padded_eager_fp32",
        pytest.param("loop_compiled_fp32", marks=pytest.mark.long),
        "reference_fp32",
    ],
)
def test_sides_over_many_bags_agree(name):
    inputs = make_inputs((40, 1, 23), (12, 8, 3), dtype=torch.float32, device="cpu")
    pooled = side(name, Compiled("cpu")).bind(inputs)()
    assert relative_error(pooled.detach(), reference(inputs, gradients=False)[0]) < 1e-5


def test_error_of_what_cannot_be_compared():
    one = torch.ones(2, 3)
    assert relative_error(one, one) == 0
    assert relative_error(one * 1.5, one) == pytest.approx(0.5)
    assert relative_error(one[:1], one) == float("inf")
    assert relative_error(one * float("nan"), one) == float("inf")


def test_lengths_span_their_range_evenly_in_the_logarithm():
    lengths = log_uniform_lengths(64, 1_000, 100_000)
    assert len(lengths) == 64
    assert (min(lengths), max(lengths)) == (1_000, 100_000)
    assert sum(each < 10_000 for each in lengths) == 32
    assert lengths == log_uniform_lengths(64, 1_000, 100_000)
    assert list(lengths) != sorted(lengths)


def test_unknown_side():
    with pytest.raises(ValueError, match=r"no side is called 'cuda'; sides: .*eager"):
        side("cuda", Compiled("cpu"))
