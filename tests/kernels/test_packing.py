"""Packing is lossless, and sums over packed bags are those of the bags."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slidelake.errors import KernelError
from slidelake.kernels import pack_bags, unpack_bags
from slidelake.kernels import segments as segments_module
from slidelake.kernels.packing import bag_of_row
from slidelake.kernels.segments import segment_max, segment_sum

LENGTHS = st.lists(st.integers(0, 9), min_size=1, max_size=8)


def bags_of(lengths, dim=3):
    generator = np.random.default_rng(sum(lengths))
    return [generator.normal(size=(rows, dim)).astype(np.float32) for rows in lengths]


@given(LENGTHS)
def test_unpacking_gives_the_bags_back(lengths):
    bags = bags_of(lengths)
    packed = pack_bags(bags)
    assert packed.cu_seqlens.dtype == torch.int32
    assert packed.cu_seqlens.tolist() == np.cumsum([0, *lengths]).tolist()
    for bag, back in zip(bags, unpack_bags(*packed), strict=True):
        np.testing.assert_array_equal(bag, back.numpy())
    for bag, back in zip(bags, unpack_bags(packed.features.T, packed.cu_seqlens, dim=1), strict=True):
        np.testing.assert_array_equal(bag.T, back.numpy())


@given(LENGTHS)
def test_bag_of_row(lengths):
    cu_seqlens = pack_bags(bags_of(lengths)).cu_seqlens
    assert bag_of_row(cu_seqlens, sum(lengths)).tolist() == [
        b for b, n in enumerate(lengths) for _ in range(n)
    ]


@settings(deadline=None)
@given(LENGTHS, st.sampled_from([1, 2, 4, 1024]), st.booleans())
def test_segment_sum_and_max(lengths, block, weighted):
    """Any length of block: bags shorter, longer and as long as it, empty ones at either end and between."""
    packed = pack_bags([bag.astype(np.float64) for bag in bags_of(lengths)])
    borders = packed.cu_seqlens.long()
    weights = torch.arange(len(packed.features), dtype=torch.float64) if weighted else None
    before, segments_module._BLOCK = segments_module._BLOCK, block
    try:
        found = segment_sum(packed.features, borders, weights)
    finally:
        segments_module._BLOCK = before
    scaled = packed.features if weights is None else packed.features * weights[:, None]
    wanted = torch.stack([bag.sum(0) for bag in unpack_bags(scaled, borders)])
    torch.testing.assert_close(found, wanted)
    top = segment_max(packed.features.T, bag_of_row(borders, sum(lengths)), len(lengths))
    for bag, column in zip(unpack_bags(*packed), top.T, strict=True):
        assert torch.equal(column, bag.amax(0) if len(bag) else torch.full((3,), -torch.inf).double())


@pytest.mark.parametrize(
    ("bags", "says"),
    [
        ([], "no bag to pack"),
        ([np.zeros(3, np.float32)], r"bag 0 has shape \(3,\)"),
        ([np.zeros((2, 3), np.float32), np.zeros((2, 4), np.float32)], r"bag 1 has shape \(2, 4\)"),
        ([np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float16)], r"bag 1 is torch\.float16"),
    ],
)
def test_bags_that_cannot_be_packed(bags, says):
    with pytest.raises(KernelError, match=says) as caught:
        pack_bags(bags)
    assert caught.value.remedy


def test_unpacking_refuses_borders_of_another_array():
    features, cu_seqlens = pack_bags(bags_of([2, 3]))
    with pytest.raises(KernelError, match="ends at 5"):
        unpack_bags(features[:4], cu_seqlens)
    with pytest.raises(KernelError, match="dim is 2"):
        unpack_bags(features, cu_seqlens, dim=2)
