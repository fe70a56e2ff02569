"""The fused forward pass: scores, softmax and weighted sum of a tile of rows while it is at hand, then one small
kernel that puts the tiles of each bag together in a fixed order. Nothing of size (T, L) is written."""
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-untyped-decorators

import torch
import triton
import triton.language as tl

from slidelake.kernels.arguments import PoolArguments
from slidelake.kernels.fused import Pooled
from slidelake.kernels.triton_autotune import choose
from slidelake.kernels.triton_configs import Config, combine_config, forward_configs
from slidelake.kernels.triton_launch import Launch, rows_per_program
from slidelake.kernels.triton_tiles import (
    FEW,
    dot,
    dropout_scale,
    hidden_sums,
    load_rows,
    locate_tile,
    tanh,
)


@triton.jit
def pool_tiles(
    h_ptr, V_ptr, U_ptr, bV_ptr, bU_ptr, w_ptr, borders_ptr, mask_ptr,
    scores_ptr, saved_ptr, top_ptr, total_ptr, sum_ptr,
    T: tl.int64, bags: tl.int64, steps: tl.int32, program_rows: tl.int64,
    seed: tl.int64, limit: tl.uint32, scale: tl.float32,
    D: tl.constexpr, L: tl.constexpr, K: tl.constexpr, STRIDE: tl.constexpr,
    GATED: tl.constexpr, MASKED: tl.constexpr, DROPOUT: tl.constexpr, STORE: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_L: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_K: tl.constexpr,
    PRECISION: tl.constexpr, FINE: tl.constexpr, UPCAST: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """One program: up to `program_rows` rows of one bag, BLOCK_M at a time.

    Writes the rows' scores (K, T), and of its rows the largest score `top` (P, K), the sum of exp(score − top)
    `total` (P, K) and the sum of exp(score − top) · h `sum` (P, K, D). STORE: also tanh and σ, `saved` (2, T, L).
    """
    program = tl.program_id(0).to(tl.int64)
    _, first, stop = locate_tile(borders_ptr, bags, steps, program, 0, T, program_rows)
    rows = tl.arange(0, BLOCK_M)
    branches = tl.arange(0, BLOCK_K)
    top = tl.full((BLOCK_K,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK_K,), tl.float32)
    size = (stop - first).to(tl.int32)
    # Hoisting out of the outer loops would only fill registers that the products need.
    for offset in tl.range(0, size, BLOCK_M, disable_licm=True):
        tile = first + offset
        inside = rows < size - offset
        counted = inside
        if MASKED:
            counted = tl.load(mask_ptr + tile + rows, mask=inside, other=0) != 0
        x_ptr = h_ptr + tile * STRIDE
        raw = tl.zeros((BLOCK_M, BLOCK_K), tl.float32)
        for l in tl.range(0, L, BLOCK_L, disable_licm=True):
            units = l + tl.arange(0, BLOCK_L)
            v, u = hidden_sums(
                x_ptr, V_ptr, U_ptr, bV_ptr, bU_ptr, rows, units, counted,
                D, L, STRIDE, GATED, BLOCK_M, BLOCK_L, BLOCK_D, PRECISION, UPCAST,
            )  # fmt: skip
            g = tanh(v, EXACT)
            gate = tl.sigmoid(u)
            if STORE:
                place = saved_ptr + tile * L + rows[:, None] * L + units[None, :]
                kept = inside[:, None] & (units < L)[None, :]
                tl.store(place, g.to(saved_ptr.dtype.element_ty), mask=kept)
                if GATED:
                    tl.store(place + T * L, gate.to(saved_ptr.dtype.element_ty), mask=kept)
            if GATED:
                g *= gate
            if DROPOUT:
                g *= dropout_scale(seed, limit, scale, tile + rows, units, GATED)
            if K <= FEW:
                for k in tl.static_range(K):
                    weight = tl.load(w_ptr + k * L + units, mask=units < L, other=0.0).to(tl.float32)
                    score = tl.sum(g * weight[None, :], 1)
                    raw = tl.where(branches[None, :] == k, raw + score[:, None], raw)
            else:
                weights = tl.load(
                    w_ptr + branches[None, :] * L + units[:, None],
                    mask=(branches < K)[None, :] & (units < L)[:, None],
                    other=0.0,
                ).to(tl.float32)
                raw = dot(g, weights, raw, FINE, False)
        raw = tl.where(counted[:, None], raw, float("-inf"))
        tl.store(
            scores_ptr + tile + branches[None, :] * T + rows[:, None],
            raw,
            mask=inside[:, None] & (branches < K)[None, :],
        )
        new_top = tl.maximum(top, tl.max(raw, 0))
        # Where no row has counted yet the shift is 0: −inf − −inf is NaN.
        shift = tl.where(new_top == float("-inf"), 0.0, new_top)
        p = tl.exp(raw - shift[None, :])  # (BLOCK_M, BLOCK_K)
        shrink = tl.exp(top - shift)
        total = total * shrink + tl.sum(p, 0)
        top = new_top
        known = tl.where(first < tile, D, 0)  # the first tile finds no sums in memory
        # On the matrix units, whose sides are 16 at least: multiply-add would want the rows' sums of every block
        # put together across the warps. Two terms of p carry 16 bits and more of it against exact 16-bit features.
        whole = tl.trans(p)
        high = whole.to(h_ptr.dtype.element_ty)
        low = (whole - high.to(tl.float32)).to(h_ptr.dtype.element_ty)
        for d in range(0, D, BLOCK_D):
            columns = d + tl.arange(0, BLOCK_D)
            x = load_rows(x_ptr, rows, columns, counted, STRIDE, D)
            place = sum_ptr + program * K * D + branches[:, None] * D + columns[None, :]
            real = (branches < K)[:, None] & (columns < D)[None, :]
            sums = tl.load(place, mask=real & (columns < known)[None, :], other=0.0) * shrink[:, None]
            if EXACT:
                sums = dot(whole, x, sums, FINE, False)
            else:
                sums = dot(high, x, sums, PRECISION, UPCAST)
                sums = dot(low, x, sums, PRECISION, UPCAST)
            tl.store(place, sums, mask=real)
        # The next tile reads these sums, perhaps in other threads.
        tl.debug_barrier()
    tl.store(top_ptr + program * K + branches, top, mask=branches < K)
    tl.store(total_ptr + program * K + branches, total, mask=branches < K)


@triton.jit
def combine_tiles(
    top_ptr, total_ptr, sum_ptr, borders_ptr, pooled_ptr, lse_ptr,
    program_rows: tl.int64,
    D: tl.constexpr, K: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """One program: BLOCK_D features of one branch of one bag, from what the bag's programs left, in their order."""
    bag = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1)
    columns = tl.program_id(2) * BLOCK_D + tl.arange(0, BLOCK_D)
    start = tl.load(borders_ptr + bag)
    stop = tl.load(borders_ptr + bag + 1)
    slot = start // program_rows + bag  # as `locate_tile` has it
    count = (stop - start + program_rows - 1) // program_rows
    top = tl.full((), float("-inf"), tl.float32)
    total = tl.zeros((), tl.float32)
    sums = tl.zeros((BLOCK_D,), tl.float32)
    for number in range(0, count, BLOCK_P):
        parts = number + tl.arange(0, BLOCK_P)
        place = (slot + parts) * K + k
        there = parts < count
        tops = tl.load(top_ptr + place, mask=there, other=float("-inf"))
        totals = tl.load(total_ptr + place, mask=there, other=0.0)
        found = tl.load(
            sum_ptr + place[:, None] * D + columns[None, :],
            mask=there[:, None] & (columns < D)[None, :],
            other=0.0,
        )
        new_top = tl.maximum(top, tl.max(tops, 0))
        shift = tl.where(new_top == float("-inf"), 0.0, new_top)
        share = tl.exp(tops - shift)
        shrink = tl.exp(top - shift)
        total = total * shrink + tl.sum(totals * share, 0)
        sums = sums * shrink + tl.sum(found * share[:, None], 0)
        top = new_top
    empty = total == 0.0
    divisor = tl.where(empty, 1.0, total)
    tl.store(pooled_ptr + (bag * K + k) * D + columns, sums / divisor, mask=columns < D)
    if tl.program_id(2) == 0:
        tl.store(lse_ptr + bag * K + k, top + tl.log(divisor))  # an empty bag's top is −inf


def forward(arguments: PoolArguments, *, store: bool) -> Pooled:
    """What `slidelake.kernels.fused.Forward` says, on a GPU or in Triton's interpreter."""
    launch = Launch(arguments)
    dropout = arguments.dropout_p > 0
    configs = forward_configs(launch.shape, store=store, dropout=dropout)
    kind = ("forward", launch.shape, launch.gated, store, dropout)
    config = choose(configs, kind, len(launch.h), lambda config: _forward(launch, config, store))
    return _forward(launch, config, store)


def _forward(launch: Launch, config: Config, store: bool) -> Pooled:
    rows, dim, hidden, branches, bags = launch.sizes
    h = launch.h
    pooled = h.new_empty((bags, branches, dim), dtype=torch.float32)
    scores = h.new_empty((branches, rows), dtype=torch.float32)
    lse = h.new_empty((bags, branches), dtype=torch.float32)
    saved = h.new_empty((1 + launch.gated, rows, hidden) if store else (0,))
    if bags == 0:
        return Pooled(pooled, scores, lse, saved)
    program_rows = rows_per_program(rows, bags, branches * dim, config.block_m)
    programs = rows // program_rows + bags
    top = h.new_empty((programs, branches), dtype=torch.float32)
    total = torch.empty_like(top)
    sums = h.new_empty((programs, branches, dim), dtype=torch.float32)
    with launch.device():
        pool_tiles[(programs,)](
            *launch.inputs(), scores, saved, top, total, sums,
            rows, bags, launch.steps, program_rows, *launch.dropout(),
            **launch.constants(pool_tiles), **config.constants(), STORE=store, **config.options(),
        )  # fmt: skip
        combine = combine_config(launch.shape)
        combine_tiles[(bags, branches, triton.cdiv(dim, combine.block_d))](
            top, total, sums, launch.borders, pooled, lse, program_rows,
            D=dim, K=branches, BLOCK_P=combine.block_m, BLOCK_D=combine.block_d, **combine.options(),
        )  # fmt: skip
    return Pooled(pooled, scores, lse, saved)
