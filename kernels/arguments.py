"""What `gated_attention_pool` takes, checked once at the border: back ends trust it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from slidelake.errors import KernelError
from slidelake.kernels.borders import check_cu_seqlens, wide_borders

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class Projection:
    """What makes the rows that are pooled from those that are given: dropout(relu(weight · x + bias))."""

    weight: Tensor  # (D, D_in)
    bias: Tensor  # (D,)
    dropout_p: float


@dataclass(frozen=True)
class PoolArguments:
    """Checked arguments of gated attention pooling: T rows, B bags, D features, L hidden units, K branches.

    `U` and `bU` are None together: the attention is then wᵀ tanh(V h + bV), without a gate. `seed` is an
    int wherever a dropout is above 0. With a `projection`, h is (T, D_in) and what is pooled is what it makes of
    h's rows; without, D_in is D. Only the chunked back end takes one.
    """

    h: Tensor  # (T, D_in)
    V: Tensor  # (L, D)
    bV: Tensor  # (L,)  # noqa: N815 - the paper's names
    U: Tensor | None  # (L, D)
    bU: Tensor | None  # (L,)  # noqa: N815
    w: Tensor  # (K, L)
    bw: Tensor  # (K,)
    cu_seqlens: Tensor  # (B + 1,) int64
    mask: Tensor | None  # (T,) bool, True = the row counts
    dropout_p: float
    seed: int
    projection: Projection | None = None

    @property
    def compute_dtype(self) -> torch.dtype:
        """Accumulation is in 32 bits; in 64 where the inputs are (gradient checks)."""
        return torch.float64 if self.h.dtype == torch.float64 else torch.float32


def check_arguments(
    h: Tensor,
    V: Tensor,
    bV: Tensor,
    U: Tensor | None,
    bU: Tensor | None,
    w: Tensor,
    bw: Tensor,
    cu_seqlens: Tensor,
    *,
    mask: Tensor | None,
    dropout_p: float,
    seed: int | None,
    projection: Projection | None = None,
) -> PoolArguments:
    """Return the arguments as back ends take them; KernelError names the first one that is wrong.

    With a projection the rows are called x in messages, its weight and bias W1 and b1.
    """
    rows = "h" if projection is None else "x"
    named: dict[str, Tensor | None] = {"V": V, "bV": bV, "U": U, "bU": bU, "w": w, "bw": bw}
    shares = {"dropout_p": dropout_p}
    if projection is not None:
        named = {"W1": projection.weight, "b1": projection.bias, **named}
        shares["projection_dropout_p"] = projection.dropout_p
    _check_tensors({rows: h, "cu_seqlens": cu_seqlens, **named, "mask": mask})
    _check_shapes(h, named, rows)
    _check_dtypes(h, named, rows)
    _check_rows(h, cu_seqlens, mask)
    seed = _check_dropout(shares, seed, len(h), rows)
    return PoolArguments(
        *(h, V, bV, U, bU, w, bw, wide_borders(cu_seqlens), mask),
        dropout_p=float(dropout_p),
        seed=seed,
        projection=projection,
    )


def _check_dropout(shares: dict[str, float], seed: int | None, count: int, rows: str) -> int:
    """The seed; drawn where a unit can fall and none is given."""
    for name, share in shares.items():
        if not 0.0 <= share < 1.0:
            raise KernelError(
                f"{name} is {share}", remedy="Pass a share of at least 0 and below 1; 0 in evaluation."
            )
    drops = any(share > 0 for share in shares.values())
    if drops and count >= 2**32:
        raise KernelError(
            f"{rows} has {count} rows, and dropout counts them in 32 bits",
            remedy="Pass fewer rows at a time.",
        )
    if drops and seed is None:
        # Drawn from torch's own generator, so that torch.manual_seed governs runs that pass no seed.
        seed = int(torch.randint(0, 2**63 - 1, ()).item())
    if seed is not None and not 0 <= seed < 2**64:
        raise KernelError(f"seed is {seed}", remedy="Pass an integer of at least 0 and below 2**64.")
    return seed or 0


def _check_tensors(named: dict[str, object]) -> None:
    device: torch.device | None = None
    first = next(iter(named))
    for name, value in named.items():
        if value is None and name in ("U", "bU", "mask"):
            continue
        if not isinstance(value, Tensor):
            raise KernelError(
                f"{name} is a {type(value).__name__}",
                remedy="Pass a torch tensor (torch.from_numpy for arrays).",
            )
        if value.layout != torch.strided or value.device.type == "meta":
            kind = "on the meta device" if value.device.type == "meta" else f"a {value.layout} tensor"
            raise KernelError(f"{name} is {kind}", remedy="Pass a dense tensor that holds its values.")
        device = device or value.device
        if value.device != device:
            raise KernelError(
                f"{name} is on {value.device}, {first} on {device}",
                remedy=f"Move it: {name}.to({str(device)!r}).",
            )


def _check_shapes(h: Tensor, named: dict[str, Tensor | None], rows: str) -> None:
    V, w, W1 = named["V"], named["w"], named.get("W1")
    if V is None or w is None:  # the caller has refused these already
        raise AssertionError("V and w are tensors here")
    if h.ndim != 2 or h.shape[1] == 0:
        raise KernelError(
            f"{rows} has shape {_shape(h)}",
            remedy="Pass (T, D): the bags' rows end to end, as pack_bags makes them.",
        )
    if W1 is not None and (W1.ndim != 2 or W1.shape[0] == 0):
        raise KernelError(
            f"W1 has shape {_shape(W1)}", remedy="Pass (H, D_in), as torch.nn.Linear(D_in, H).weight is."
        )
    if V.ndim != 2 or V.shape[0] == 0:
        raise KernelError(
            f"V has shape {_shape(V)}", remedy="Pass (L, D), as torch.nn.Linear(D, L).weight is."
        )
    if w.ndim != 2 or w.shape[0] == 0:
        raise KernelError(
            f"w has shape {_shape(w)}", remedy="Pass (K, L), as torch.nn.Linear(L, K).weight is."
        )
    if (named["U"] is None) != (named["bU"] is None):
        given, absent = ("bU", "U") if named["U"] is None else ("U", "bU")
        raise KernelError(
            f"{given} is given without {absent}",
            remedy="Pass both for gated attention, or None for both for tanh attention.",
        )
    dim, hidden, branches = h.shape[1] if W1 is None else W1.shape[0], V.shape[0], w.shape[0]
    maker = rows if W1 is None else "W1"
    wanted = {
        "W1": ("(H, D_in)", (dim, h.shape[1])),
        "b1": ("(H,)", (dim,)),
        "V": ("(L, D)", (hidden, dim)),
        "bV": ("(L,)", (hidden,)),
        "U": ("(L, D)", (hidden, dim)),
        "bU": ("(L,)", (hidden,)),
        "w": ("(K, L)", (branches, hidden)),
        "bw": ("(K,)", (branches,)),
    }
    for name, (letters, shape) in wanted.items():
        value = named.get(name)
        if value is not None and tuple(value.shape) != shape:
            raise KernelError(
                f"{name} has shape {_shape(value)}",
                remedy=f"Pass {letters} = {shape}: D is {maker}'s {dim}, L is V's {hidden}, K is w's {branches}.",
            )


def _check_dtypes(h: Tensor, named: dict[str, Tensor | None], rows: str) -> None:
    if h.dtype not in FLOATS:
        raise KernelError(f"{rows} is {h.dtype}", remedy="Pass float16, bfloat16, float32 or float64.")
    first = named["V"]
    for name, value in named.items():
        if value is None or first is None:
            continue
        if value.dtype not in FLOATS:
            raise KernelError(
                f"{name} is {value.dtype}", remedy="Pass float16, bfloat16, float32 or float64."
            )
        if value.dtype != first.dtype:
            raise KernelError(
                f"{name} is {value.dtype}, V is {first.dtype}", remedy="Give all the parameters one dtype."
            )
        if (value.dtype == torch.float64) != (h.dtype == torch.float64):
            raise KernelError(
                f"{name} is {value.dtype}, {rows} is {h.dtype}",
                remedy="Use float64 for all or for none; 16-bit features go with 32-bit parameters.",
            )


def _check_rows(h: Tensor, cu_seqlens: Tensor, mask: Tensor | None) -> None:
    check_cu_seqlens(cu_seqlens, h.shape[0])
    if mask is None:
        return
    if mask.dtype != torch.bool:
        raise KernelError(
            f"mask is {mask.dtype}", remedy="Pass booleans, True where a row counts: bag.valid.bool()."
        )
    if tuple(mask.shape) != (h.shape[0],):
        raise KernelError(
            f"mask has shape {_shape(mask)}", remedy=f"Pass one boolean a row: ({h.shape[0]},)."
        )


def _shape(value: Tensor) -> str:
    return str(tuple(value.shape))
