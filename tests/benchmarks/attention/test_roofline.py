"""The least work of the pooling, against counts made by hand and by torch."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.attention.inputs import make_inputs
from benchmarks.attention.roofline import Cost, Roofline, Shape, cost, gemm_flops, yardstick_flops
from benchmarks.attention.sides import plain_pool

SHAPE = Shape(rows=1000, dim=64, hidden=32, branches=2, itemsize=2)


def test_forward_by_hand():
    """Per row: two products of 64 × 32, scores of 32 × 2, sums of 64 × 2; a multiplication and an addition each."""
    found = cost(SHAPE, "forward", features=False)
    assert found.flops == 1000 * (2 * 2 * 64 * 32 + 2 * 32 * 2 + 2 * 64 * 2)
    assert found.bytes == 1000 * 64 * 2 + 2 * 32 * 64 * 2 + 1000 * 2 * 4


@pytest.mark.parametrize("features", [False, True])
@pytest.mark.parametrize("mode", ["forward", "backward", "both"])
def test_products_are_those_that_torch_counts(mode, features):
    """Plain torch does no product twice: what its autograd runs is the least work."""
    inputs = make_inputs((1000,), (64, 32, 2), dtype=torch.float32, device="cpu", features=features)
    with FlopCounterMode(display=False) as counted:
        pooled = plain_pool(inputs.h, *inputs.parameters)[0]
        forward = counted.get_total_flops()
        torch.autograd.grad(pooled, inputs.leaves, inputs.cotangent[0])
        both = counted.get_total_flops()
    wanted = {"forward": forward, "backward": both - forward, "both": both}[mode]
    assert cost(SHAPE, mode, features=features).flops == wanted


def test_large_products_alone():
    assert gemm_flops(SHAPE, "forward", features=True) == yardstick_flops(SHAPE) == 4.0 * 1000 * 64 * 32
    assert gemm_flops(SHAPE, "both", features=True) == 3 * yardstick_flops(SHAPE)
    assert gemm_flops(SHAPE, "both", features=False) == 2 * yardstick_flops(SHAPE)


def test_the_larger_of_two_times():
    device = Roofline(flops_per_s=100.0, bytes_per_s=10.0)
    assert device.seconds(Cost(flops=200.0, bytes=5.0)) == 2.0
    assert device.seconds(Cost(flops=20.0, bytes=50.0)) == 5.0
    assert Cost(1, 2) + Cost(3, 4) == Cost(4, 6)
