"""The parts that the Triton kernels are made of: tiles of bags, activations, dropout, sizes, configurations."""

import math

import pytest
import torch
import triton
import triton.language as tl

from slidelake.kernels import triton_autotune, triton_backward, triton_configs, triton_launch
from slidelake.kernels.dropout import dropout_masks
from slidelake.kernels.triton_configs import Config, Shape
from slidelake.kernels.triton_tiles import dropout_scale, locate_tile
from slidelake.kernels.triton_tiles import tanh as device_tanh

pytestmark = pytest.mark.filterwarnings("ignore:(invalid value|overflow):RuntimeWarning")
DEVICE = "cpu" if triton_launch.INTERPRETED else "cuda"


@triton.jit
def _locate_all(borders_ptr, found_ptr, bags, steps, start, stop, ROWS: tl.constexpr):
    program = tl.program_id(0).to(tl.int64)
    bag, first, end = locate_tile(borders_ptr, bags, steps, program, start, stop, ROWS)
    tl.store(found_ptr + program * 3, bag)
    tl.store(found_ptr + program * 3 + 1, first)
    tl.store(found_ptr + program * 3 + 2, end)


@pytest.mark.parametrize(
    ("lengths", "rows"),
    [
        ((5,), 4),
        ((0, 0, 3, 0), 4),
        ((1, 1, 1, 1, 1, 1, 1), 4),
        ((4, 8, 3, 0, 9, 16), 4),
        ((0, 17, 1, 0, 0, 2, 31, 15, 0), 16),
        ((0,), 4),
    ],
    ids=str,
)
@pytest.mark.parametrize("chunk", [(0, None), (3, 11)], ids=["all", "chunk"])
def test_tiles_cover_every_row_once_and_cross_no_bag(lengths, rows, chunk):
    borders = torch.tensor([0, *torch.tensor(lengths).cumsum(0)], device=DEVICE)
    total = sum(lengths)
    start, stop = min(chunk[0], total), min(total if chunk[1] is None else chunk[1], total)
    bags, programs = len(lengths), (stop - start) // rows + len(lengths)
    found = torch.full((programs, 3), -9, device=DEVICE)
    _locate_all[(programs,)](borders, found, bags, bags.bit_length(), start, stop, rows)
    seen = []
    for bag, first, end in found.tolist():
        seen.extend(range(first, end))
        if first < end:
            assert end - first <= rows
            assert borders[bag] <= first
            assert end <= borders[bag + 1]
    assert seen == list(range(start, stop))


@triton.jit
def _tanh_of(x_ptr, y_ptr, EXACT: tl.constexpr):
    place = tl.arange(0, 1024)
    tl.store(y_ptr + place, device_tanh(tl.load(x_ptr + place), EXACT))


@pytest.mark.parametrize("exact", [True, False])
def test_tanh(exact):
    """To a few units of float32 of the value where it is asked for, else of 1."""
    size = torch.logspace(-30, 2, 512, dtype=torch.float64)
    x = torch.cat([-size.flip(0), size]).to(DEVICE, torch.float32)
    y = torch.empty_like(x)
    _tanh_of[(1,)](x, y, exact)
    wanted = torch.tanh(x.double())
    error = (y.double() - wanted).abs()
    assert (error / wanted.abs()).max() < 4e-7 if exact else error.max() < 2e-7
    ends = torch.full((1024,), math.inf, device=DEVICE)
    ends[::2] = -math.inf
    _tanh_of[(1,)](ends, y, exact)
    assert torch.equal(y, ends.sign())


@triton.jit
def _scales(
    out_ptr, seed: tl.int64, limit: tl.uint32, scale: tl.float32, first: tl.int64, GATED: tl.constexpr
):
    rows, units = tl.arange(0, 64), tl.arange(0, 32)
    found = dropout_scale(seed, limit, scale, first + rows, units, GATED)
    tl.store(out_ptr + rows[:, None] * 32 + units[None, :], found)


@pytest.mark.parametrize("gated", [True, False], ids=["gated", "tanh"])
@pytest.mark.parametrize("seed", [0, 7, 2**63 - 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize(("share", "first"), [(0.25, 0), (0.5, 2**31 - 64)])
def test_dropout_masks_bit_for_bit(share, first, seed, gated):
    found = torch.empty(64, 32, device=DEVICE)
    signed = seed - 2**64 if seed >= 2**63 else seed
    _scales[(1,)](found, signed, round(share * 2**32), 2.5, first, gated)
    tanh, gate = dropout_masks(seed, share, 64, 32, device=found.device, first_row=first)
    assert torch.equal(found, torch.where(tanh & gate if gated else tanh, 2.5, 0.0))


@pytest.mark.parametrize("bags", [1, 64, 4096])
@pytest.mark.parametrize("width", [384, 1024, 8 * 2560])
@pytest.mark.parametrize("rows", [0, 1, 4097, 10**6, 2 * 10**8])
def test_partial_sums_are_bounded(rows, width, bags):
    """They fit the budget, or there are only as many as keep the device busy, and one a bag."""
    count = triton_launch.rows_per_program(rows, bags, width, 128)
    programs = rows // count + bags
    assert count % 128 == 0
    enough = max(triton_launch.ENOUGH_PROGRAMS, bags + triton_launch.ENOUGH_PROGRAMS // 2)
    assert programs <= enough or programs * width * 4 <= triton_launch.PARTIAL_BYTES
    assert count == 128 or 2 * rows // count + bags > triton_launch.ENOUGH_PROGRAMS // 2  # no fewer than that


@pytest.mark.parametrize("row_bytes", [80, 1024, 12288])
def test_chunks_of_the_backward_are_bounded(row_bytes):
    for rows in (1, 100, 10**6, 10**9):
        chunk = triton_backward.rows_per_chunk(rows, row_bytes)
        assert 1 <= chunk <= rows
        assert chunk * row_bytes <= triton_backward.WORKSPACE_BYTES
        assert chunk == rows or 2 * chunk * row_bytes > triton_backward.WORKSPACE_BYTES


@pytest.mark.parametrize("arch", sorted(triton_configs.SHARED_MEMORY))
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=lambda d: str(d)[6:])
def test_every_shape_has_a_configuration(dtype, arch):
    """And no block reaches more than a power of two beyond what it covers."""
    for dim, hidden, branches in ((17, 7, 8), (384, 128, 1), (1000, 200, 2), (2560, 512, 5)):
        shape = Shape(dim, hidden, branches, dtype, arch)
        for flag in (False, True):
            lines = (
                triton_configs.forward_configs(shape, store=flag, dropout=not flag),
                triton_configs.backward_configs(shape, stored=flag, dropout=flag),
                triton_configs.features_configs(shape),
            )
            for line in lines:
                assert len(set(line)) == len(line) <= 8
                for config in line:
                    assert config.block_l <= max(16, 2 * hidden)
                    assert config.block_d <= max(16, 2 * dim)


def test_configurations_are_timed_only_where_asked_for(monkeypatch):
    """Once a kind and range of rows; never again for another number of rows in the range."""
    slow, fast = Config(64, 64, 32, 4, 2), Config(32, 32, 32, 4, 2)
    timed = []

    def clock(function):
        function()
        return 1.0 if timed[-1] == slow else 0.5

    def choose(rows, kind="forward"):
        return triton_autotune.choose((slow, fast), kind, rows, timed.append, clock)

    monkeypatch.setattr(triton_autotune, "_chosen", {})
    monkeypatch.delenv(triton_autotune.VARIABLE, raising=False)
    assert choose(1000) == slow
    assert timed == []
    monkeypatch.setenv(triton_autotune.VARIABLE, "1")
    assert [choose(1000), choose(8192), choose(17)] == [fast] * 3
    assert timed == [slow, fast]
    choose(8193)
    choose(1000, kind="backward")
    choose(10**6)
    assert timed == [slow, fast] * 4
    assert triton_autotune.choose((slow,), "one", 5, timed.append, clock) == slow
