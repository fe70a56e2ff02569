"""Device code that the forward and the backward kernels share: tiles of bags, activations, dropout, products.

Helpers take blocks that are already in registers or pointers to one row; row numbers are 64-bit, because T × D
passes 2**31 at a million rows of 2,560 features.
"""
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-untyped-decorators

import triton
import triton.language as tl

from slidelake.kernels import triton_configs

#: `triton_configs.FEW`, as device code may use it.
FEW = tl.constexpr(triton_configs.FEW)


@triton.jit
def locate_tile(borders_ptr, bags, steps, tile, chunk_start, chunk_stop, tile_rows):
    """The bag of a tile, and the tile's first and end row in [chunk_start, chunk_stop); empty if first >= end.

    Bag b's tiles begin at number start(b) // tile_rows + b, which leaves room for all of them and needs no prefix
    sum: the map from tile to bag costs no launch and no synchronisation. At most one tile a bag stays empty.
    `steps` is at least log2(bags), so that the search runs the same number of steps in every program.
    """
    low = tl.zeros((), tl.int64)
    high = low + bags - 1
    for _ in range(steps):
        middle = (low + high + 1) // 2
        start = tl.load(borders_ptr + middle)
        start = tl.minimum(tl.maximum(start, chunk_start), chunk_stop) - chunk_start
        reached = start // tile_rows + middle <= tile
        low = tl.where(reached, middle, low)
        high = tl.where(reached, high, middle - 1)
    start = tl.minimum(tl.maximum(tl.load(borders_ptr + low), chunk_start), chunk_stop)
    stop = tl.minimum(tl.maximum(tl.load(borders_ptr + low + 1), chunk_start), chunk_stop)
    first = start + (tile - (start - chunk_start) // tile_rows - low) * tile_rows
    return low, first, tl.minimum(first + tile_rows, stop)


@triton.jit
def dot(a, b, sums, PRECISION: tl.constexpr, UPCAST: tl.constexpr):
    """sums + a @ b in float32. UPCAST: the interpreter's bfloat16 products are silently wrong (triton#11584)."""
    if UPCAST:
        a = a.to(tl.float32)
        b = b.to(tl.float32)
    return tl.dot(a, b, sums, input_precision=PRECISION)


@triton.jit
def tanh(x, EXACT: tl.constexpr):
    """tanh in float32 from the exponential alone: libdevice has moved between versions of Triton.

    2 σ(2x) − 1 is good to 6e-8 absolutely, which near 0 is no digit at all. EXACT, for float32 features, takes the
    Taylor series there: below 0.25 its first term left out is 8e-9 of the value. 16-bit features are rounded
    more coarsely than the difference.
    """
    value = 2.0 * tl.sigmoid(2.0 * x) - 1.0
    if EXACT:
        y = x * x
        series = 1.0 + y * (-1 / 3 + y * (2 / 15 + y * (-17 / 315 + y * (62 / 2835))))
        value = tl.where(tl.abs(x) < 0.25, x * series, value)
    return value


@triton.jit
def column(block, branches, k):
    """Column k of a (rows, branches) block."""
    return tl.sum(tl.where(branches[None, :] == k, block, 0.0), 1)


@triton.jit
def attention(scores_ptr, lse_ptr, first, rows, branches, bag, real, T, K: tl.constexpr):
    """exp(score − lse) of a tile's rows, (rows, branches); 0 where `real` is not."""
    scores = tl.load(
        scores_ptr + first + branches[None, :] * T + rows[:, None], mask=real, other=float("-inf")
    )
    lse = tl.load(lse_ptr + bag * K + branches, mask=branches < K, other=0.0)
    # A bag without a counting row has lse −inf, and −inf − −inf is NaN.
    return tl.exp(scores - tl.where(lse == float("-inf"), 0.0, lse)[None, :])


@triton.jit
def dropout_scale(seed, limit, scale, rows, units, GATED: tl.constexpr):
    """What dropout multiplies tanh ⊙ σ with, (rows, units): `scale` where both branches are kept, else 0.

    The masks of `slidelake.kernels.dropout`, bit for bit: Philox of counter (row, unit, 0, 0), word 0 and word 1
    at least `limit`. Both branches' factors go together in the product, and so in every gradient of it.
    """
    row = rows.to(tl.uint32)[:, None]
    unit = units.to(tl.uint32)[None, :]
    zero = row * 0 + unit * 0
    first, second, _, _ = tl.philox(seed, row + zero, unit + zero, zero, zero)
    kept = first >= limit
    if GATED:
        kept = kept & (second >= limit)
    return tl.where(kept, scale, 0.0)


@triton.jit
def load_rows(base_ptr, rows, columns, counted, STRIDE: tl.constexpr, DIM: tl.constexpr):
    """A (rows, columns) block of row-major features from `base_ptr`; rows that do not count and columns past DIM: 0.

    `rows` are numbered from the tile's first row, so that offsets stay in 32 bits.
    """
    return tl.load(
        base_ptr + rows[:, None] * STRIDE + columns[None, :],
        mask=counted[:, None] & (columns < DIM)[None, :],
        other=0.0,
    )


@triton.jit
def load_weights(weight_ptr, units, columns, L: tl.constexpr, D: tl.constexpr):
    """Weights (L, D) as the right side of a product: a (columns, units) block, 0 past the edges."""
    return tl.load(
        weight_ptr + units[None, :] * D + columns[:, None],
        mask=(units < L)[None, :] & (columns < D)[:, None],
        other=0.0,
    )


@triton.jit
def hidden_sums(
    x_ptr, V_ptr, U_ptr, bV_ptr, bU_ptr, rows, units, counted,
    D: tl.constexpr, L: tl.constexpr, STRIDE: tl.constexpr, GATED: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_L: tl.constexpr, BLOCK_D: tl.constexpr,
    PRECISION: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    """V h + bV and U h + bU of a (BLOCK_M, BLOCK_L) block in float32; each block of h is read once for both.

    The sums begin at the biases: added at the end, they would want registers that the activations need.
    """
    zeros = tl.zeros((BLOCK_M, BLOCK_L), tl.float32)
    v = zeros + tl.load(bV_ptr + units, mask=units < L, other=0.0).to(tl.float32)[None, :]
    u = zeros
    if GATED:
        u += tl.load(bU_ptr + units, mask=units < L, other=0.0).to(tl.float32)[None, :]
    for d in range(0, D, BLOCK_D):
        columns = d + tl.arange(0, BLOCK_D)
        x = load_rows(x_ptr, rows, columns, counted, STRIDE, D)
        v = dot(x, load_weights(V_ptr, units, columns, L, D), v, PRECISION, UPCAST)
        if GATED:
            u = dot(x, load_weights(U_ptr, units, columns, L, D), u, PRECISION, UPCAST)
    return v, u
