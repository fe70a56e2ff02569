"""Device code of the backward pass: the gradients of the two branches' arguments, and from them the features'.

No atomics: every sum has one order."""
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-untyped-decorators

import triton
import triton.language as tl

from slidelake.kernels.triton_tiles import (
    FEW,
    attention,
    column,
    dot,
    dropout_scale,
    hidden_sums,
    load_rows,
    locate_tile,
    tanh,
)


@triton.jit
def branch_gradients(
    h_ptr, V_ptr, U_ptr, bV_ptr, bU_ptr, w_ptr, borders_ptr, mask_ptr,
    scores_ptr, lse_ptr, saved_ptr, grad_pooled_ptr, shift_ptr, grad_scores_ptr, grad_hidden_ptr, partial_ptr,
    T: tl.int64, bags: tl.int64, steps: tl.int32, chunk_start: tl.int64, chunk_stop: tl.int64,
    seed: tl.int64, limit: tl.uint32, scale: tl.float32,
    D: tl.constexpr, L: tl.constexpr, K: tl.constexpr, STRIDE: tl.constexpr,
    GATED: tl.constexpr, MASKED: tl.constexpr, DROPOUT: tl.constexpr, STORED: tl.constexpr,
    THROUGH_POOLED: tl.constexpr, THROUGH_SCORES: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_L: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_K: tl.constexpr,
    PRECISION: tl.constexpr, FINE: tl.constexpr, UPCAST: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """One program: BLOCK_M rows of one bag.

        ds = a (gz · h + shift) + gs      shift = grad_lse − gz · z, one number a bag and branch
        dv = Σ_k ds_k w_k · q (1 − p²)    du = Σ_k ds_k w_k · p q (1 − q)      p = tanh, q = σ

    Writes dv and du side by side into `grad_hidden` (chunk, 2 L), and adds the tile's share of the gradients of w,
    bV and bU to its slot of `partial` (programs, K + 2, L): the same slot's earlier chunks were before it on
    the stream.
    """
    program = tl.program_id(0).to(tl.int64)
    bag, first, stop = locate_tile(borders_ptr, bags, steps, program, chunk_start, chunk_stop, BLOCK_M)
    if first >= stop:
        return
    rows = tl.arange(0, BLOCK_M)
    branches = tl.arange(0, BLOCK_K)
    inside = rows < (stop - first).to(tl.int32)
    counted = inside
    if MASKED:
        counted = tl.load(mask_ptr + first + rows, mask=inside, other=0) != 0
    real = counted[:, None] & (branches < K)[None, :]
    x_ptr = h_ptr + first * STRIDE
    a = attention(scores_ptr, lse_ptr, first, rows, branches, bag, real, T, K)

    along = tl.zeros((BLOCK_M, BLOCK_K), tl.float32)
    if THROUGH_POOLED:
        for d in range(0, D, BLOCK_D):
            columns = d + tl.arange(0, BLOCK_D)
            x = load_rows(x_ptr, rows, columns, counted, STRIDE, D).to(tl.float32)
            if K <= FEW:
                for k in tl.static_range(K):
                    gz = tl.load(grad_pooled_ptr + (bag * K + k) * D + columns, mask=columns < D, other=0.0)
                    found = tl.sum(x * gz[None, :], 1)
                    along = tl.where(branches[None, :] == k, along + found[:, None], along)
            else:
                gz = tl.load(
                    grad_pooled_ptr + bag * K * D + branches[None, :] * D + columns[:, None],
                    mask=(branches < K)[None, :] & (columns < D)[:, None],
                    other=0.0,
                )
                along = dot(x, gz, along, FINE, False)
    shift = tl.load(shift_ptr + bag * K + branches, mask=branches < K, other=0.0)
    ds = a * (along + shift[None, :])
    if THROUGH_SCORES:
        ds += tl.load(grad_scores_ptr + first + branches[None, :] * T + rows[:, None], mask=real, other=0.0)
    ds = tl.where(real, ds, 0.0)  # a shift of an empty bag may be anything

    for l in range(0, L, BLOCK_L):
        units = l + tl.arange(0, BLOCK_L)
        kept = inside[:, None] & (units < L)[None, :]
        if STORED:
            place = saved_ptr + first * L + rows[:, None] * L + units[None, :]
            known = counted[:, None] & (units < L)[None, :]
            p = tl.load(place, mask=known, other=0.0).to(tl.float32)
            q = tl.full((BLOCK_M, BLOCK_L), 1.0, tl.float32)
            if GATED:
                q = tl.load(place + T * L, mask=known, other=0.0).to(tl.float32)
        else:
            v, u = hidden_sums(
                x_ptr, V_ptr, U_ptr, bV_ptr, bU_ptr, rows, units, counted,
                D, L, STRIDE, GATED, BLOCK_M, BLOCK_L, BLOCK_D, PRECISION, UPCAST,
            )  # fmt: skip
            p = tanh(v, EXACT)
            q = tl.full((BLOCK_M, BLOCK_L), 1.0, tl.float32)
            if GATED:
                q = tl.sigmoid(u)
        dv = 1.0 - p * p
        du = 1.0 - q
        if DROPOUT:
            q *= dropout_scale(seed, limit, scale, first + rows, units, GATED)
        g = p * q
        dg = tl.zeros((BLOCK_M, BLOCK_L), tl.float32)
        if K <= FEW:
            for k in tl.static_range(K):
                ds_k = column(ds, branches, k)
                weight = tl.load(w_ptr + k * L + units, mask=units < L, other=0.0).to(tl.float32)
                dg += ds_k[:, None] * weight[None, :]
                add_to(partial_ptr + (program * (K + 2) + k) * L, units, tl.sum(ds_k[:, None] * g, 0), L)
        else:
            weights = tl.load(
                w_ptr + branches[:, None] * L + units[None, :],
                mask=(branches < K)[:, None] & (units < L)[None, :],
                other=0.0,
            ).to(tl.float32)
            dg = dot(ds, weights, dg, FINE, False)
            place = partial_ptr + program * (K + 2) * L + branches[:, None] * L + units[None, :]
            there = (branches < K)[:, None] & (units < L)[None, :]
            before = tl.load(place, mask=there, other=0.0)
            tl.store(place, dot(tl.trans(ds), g, before, FINE, False), mask=there)
        dv *= dg * q
        add_to(partial_ptr + (program * (K + 2) + K) * L, units, tl.sum(dv, 0), L)
        place = grad_hidden_ptr + (first - chunk_start) * L * (1 + GATED) + rows[:, None] * L * (1 + GATED)
        place += units[None, :]
        tl.store(place, dv.to(grad_hidden_ptr.dtype.element_ty), mask=kept)
        if GATED:
            du *= dg * g
            add_to(partial_ptr + (program * (K + 2) + K + 1) * L, units, tl.sum(du, 0), L)
            tl.store(place + L, du.to(grad_hidden_ptr.dtype.element_ty), mask=kept)


@triton.jit
def add_to(row_ptr, units, found, L: tl.constexpr):
    """Add a block to a row of `partial`."""
    tl.store(row_ptr + units, tl.load(row_ptr + units, mask=units < L, other=0.0) + found, mask=units < L)


@triton.jit
def feature_gradients(
    V_ptr, U_ptr, borders_ptr, mask_ptr, scores_ptr, lse_ptr, grad_pooled_ptr, grad_hidden_ptr, grad_h_ptr,
    T: tl.int64, bags: tl.int64, steps: tl.int32, chunk_start: tl.int64, chunk_stop: tl.int64,
    D: tl.constexpr, L: tl.constexpr, K: tl.constexpr,
    GATED: tl.constexpr, MASKED: tl.constexpr, THROUGH_POOLED: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_L: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_K: tl.constexpr,
    PRECISION: tl.constexpr, FINE: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    """One program: dh = Σ_k a_k gz_k + dv V + du U for BLOCK_M rows of one bag and BLOCK_D features."""
    number = tl.program_id(0).to(tl.int64)
    # Programs of one tile are neighbours: they read its gradients from the cache.
    SIDES: tl.constexpr = (D + BLOCK_D - 1) // BLOCK_D
    bag, first, stop = locate_tile(
        borders_ptr, bags, steps, number // SIDES, chunk_start, chunk_stop, BLOCK_M
    )
    if first >= stop:
        return
    rows = tl.arange(0, BLOCK_M)
    branches = tl.arange(0, BLOCK_K)
    columns = (number % SIDES) * BLOCK_D + tl.arange(0, BLOCK_D)
    inside = rows < (stop - first).to(tl.int32)
    WIDTH: tl.constexpr = L * (1 + GATED)
    grad_hidden_ptr += (first - chunk_start) * WIDTH
    sums = tl.zeros((BLOCK_M, BLOCK_D), tl.float32)
    for l in range(0, L, BLOCK_L):
        units = l + tl.arange(0, BLOCK_L)
        edges = (units < L)[:, None] & (columns < D)[None, :]
        place = units[:, None] * D + columns[None, :]
        dv = load_rows(grad_hidden_ptr, rows, units, inside, WIDTH, L)
        sums = dot(dv, tl.load(V_ptr + place, mask=edges, other=0.0), sums, PRECISION, UPCAST)
        if GATED:
            du = load_rows(grad_hidden_ptr + L, rows, units, inside, WIDTH, L)
            sums = dot(du, tl.load(U_ptr + place, mask=edges, other=0.0), sums, PRECISION, UPCAST)
    if THROUGH_POOLED:
        counted = inside
        if MASKED:
            counted = tl.load(mask_ptr + first + rows, mask=inside, other=0) != 0
        real = counted[:, None] & (branches < K)[None, :]
        a = attention(scores_ptr, lse_ptr, first, rows, branches, bag, real, T, K)
        if K <= FEW:
            for k in tl.static_range(K):
                # Where no row counts, the gradient of `pooled` may be anything.
                width = tl.where(tl.load(lse_ptr + bag * K + k) == float("-inf"), 0, D)
                gz = tl.load(grad_pooled_ptr + (bag * K + k) * D + columns, mask=columns < width, other=0.0)
                sums += column(a, branches, k)[:, None] * gz[None, :]
        else:
            lse = tl.load(lse_ptr + bag * K + branches, mask=branches < K, other=float("-inf"))
            gz = tl.load(
                grad_pooled_ptr + bag * K * D + branches[:, None] * D + columns[None, :],
                mask=(lse != float("-inf"))[:, None] & (columns < D)[None, :],
                other=0.0,
            )
            sums = dot(a, gz, sums, FINE, False)
    tl.store(
        grad_h_ptr + first * D + rows[:, None] * D + columns[None, :],
        sums.to(grad_h_ptr.dtype.element_ty),
        mask=inside[:, None] & (columns < D)[None, :],
    )
