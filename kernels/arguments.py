"""What `gated_attention_pool` takes, checked once at the border: back ends trust it."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from slidelake.errors import KernelError
from slidelake.kernels.tracing import traced

#: Where a border tensor on a device keeps its values, with the version that they are of.
_HOST = "_slidelake_host_borders"
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class PoolArguments:
    """Checked arguments of gated attention pooling: T rows, B bags, D features, L hidden units, K branches.

    `U` and `bU` are None together: the attention is then wᵀ tanh(V h + bV), without a gate. `seed` is an
    int wherever `dropout_p` is above 0.
    """

    h: Tensor  # (T, D)
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
) -> PoolArguments:
    """Return the arguments as back ends take them; KernelError names the first one that is wrong."""
    named: dict[str, Tensor | None] = {"V": V, "bV": bV, "U": U, "bU": bU, "w": w, "bw": bw}
    _check_tensors({"h": h, "cu_seqlens": cu_seqlens, **named, "mask": mask})
    _check_shapes(h, named)
    _check_dtypes(h, named)
    _check_rows(h, cu_seqlens, mask)
    if not 0.0 <= dropout_p < 1.0:
        raise KernelError(
            f"dropout_p is {dropout_p}", remedy="Pass a share of at least 0 and below 1; 0 in evaluation."
        )
    if dropout_p > 0 and h.shape[0] >= 2**32:
        raise KernelError(
            f"h has {h.shape[0]} rows, and dropout counts them in 32 bits", remedy="Pass fewer rows at a time."
        )
    if dropout_p > 0 and seed is None:
        # Drawn from torch's own generator, so that torch.manual_seed governs runs that pass no seed.
        seed = int(torch.randint(0, 2**63 - 1, ()).item())
    if seed is not None and not 0 <= seed < 2**64:
        raise KernelError(f"seed is {seed}", remedy="Pass an integer of at least 0 and below 2**64.")
    return PoolArguments(
        h, V, bV, U, bU, w, bw, _wide(cu_seqlens), mask, float(dropout_p), seed or 0
    )


def check_cu_seqlens(cu_seqlens: Tensor, rows: int) -> None:
    """Refuse bag borders that are not a rising list from 0 to `rows`; reads the values (on a GPU: waits)."""
    if cu_seqlens.ndim != 1 or len(cu_seqlens) == 0:
        raise KernelError(
            f"cu_seqlens has shape {_shape(cu_seqlens)}",
            remedy="Pass (B + 1,) bag borders that start at 0, as pack_bags makes them.",
        )
    if cu_seqlens.dtype not in (torch.int32, torch.int64):
        raise KernelError(f"cu_seqlens is {cu_seqlens.dtype}", remedy="Pass int32 or int64.")
    if traced(cu_seqlens):
        return  # values are not known while tracing
    if cu_seqlens.dtype == torch.int32 and rows >= 2**31:
        raise KernelError(
            f"cu_seqlens is torch.int32, which cannot count {rows} rows",
            remedy="Pass int64: cu_seqlens.to(torch.int64).",
        )
    borders = host_borders(cu_seqlens)
    if borders[0] != 0:
        raise KernelError(f"cu_seqlens starts at {borders[0]}", remedy="Let the first bag start at row 0.")
    falls = np.flatnonzero(np.diff(borders) < 0)
    if len(falls):
        bag = int(falls[0])
        raise KernelError(
            f"cu_seqlens falls from {borders[bag]} to {borders[bag + 1]} at bag {bag}",
            remedy="Pass borders that rise; an empty bag repeats its border.",
        )
    if borders[-1] != rows:
        raise KernelError(
            f"cu_seqlens ends at {borders[-1]}, but there are {rows} rows",
            remedy="Let the last border be the number of rows of h.",
        )


def host_borders(cu_seqlens: Tensor) -> np.ndarray:
    """(B + 1,) int64 values of the borders on the host.

    Read once for each tensor that lies on a device: the values stay with the tensor for as long as nothing writes
    to it, so that a model that pools the same bags in several places waits for the device once.
    """
    if cu_seqlens.device.type == "cpu":
        return cu_seqlens.detach().numpy().astype(np.int64)
    if cu_seqlens.is_inference():  # such tensors do not tell when they are written to
        return cu_seqlens.cpu().numpy().astype(np.int64)
    known = getattr(cu_seqlens, _HOST, None)
    if known is None or known[0] != cu_seqlens._version:
        known = (cu_seqlens._version, cu_seqlens.cpu().numpy().astype(np.int64))
        setattr(cu_seqlens, _HOST, known)
    values: np.ndarray = known[1]
    return values


def _wide(cu_seqlens: Tensor) -> Tensor:
    """The borders in 64 bits; what is known of their values goes along."""
    wide = cu_seqlens.to(torch.int64)
    if wide is not cu_seqlens and hasattr(cu_seqlens, _HOST) and not traced(cu_seqlens):
        setattr(wide, _HOST, (wide._version, getattr(cu_seqlens, _HOST)[1]))
    return wide


def _check_tensors(named: dict[str, object]) -> None:
    device: torch.device | None = None
    for name, value in named.items():
        if value is None and name in ("U", "bU", "mask"):
            continue
        if not isinstance(value, Tensor):
            raise KernelError(
                f"{name} is a {type(value).__name__}",
                remedy="Pass a torch tensor (torch.from_numpy for arrays).",
            )
        device = device or value.device
        if value.device != device:
            raise KernelError(
                f"{name} is on {value.device}, h on {device}", remedy=f"Move it: {name}.to({str(device)!r})."
            )


def _check_shapes(h: Tensor, named: dict[str, Tensor | None]) -> None:
    V, w = named["V"], named["w"]
    if V is None or w is None:  # the caller has refused these already
        raise AssertionError("V and w are tensors here")
    if h.ndim != 2 or h.shape[1] == 0:
        raise KernelError(
            f"h has shape {_shape(h)}",
            remedy="Pass (T, D): the bags' rows end to end, as pack_bags makes them.",
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
    dim, hidden, branches = h.shape[1], V.shape[0], w.shape[0]
    wanted = {
        "V": ("(L, D)", (hidden, dim)),
        "bV": ("(L,)", (hidden,)),
        "U": ("(L, D)", (hidden, dim)),
        "bU": ("(L,)", (hidden,)),
        "w": ("(K, L)", (branches, hidden)),
        "bw": ("(K,)", (branches,)),
    }
    for name, (letters, shape) in wanted.items():
        value = named[name]
        if value is not None and tuple(value.shape) != shape:
            raise KernelError(
                f"{name} has shape {_shape(value)}",
                remedy=f"Pass {letters} = {shape}: D is h's {dim}, L is V's {hidden}, K is w's {branches}.",
            )


def _check_dtypes(h: Tensor, named: dict[str, Tensor | None]) -> None:
    if h.dtype not in FLOATS:
        raise KernelError(f"h is {h.dtype}", remedy="Pass float16, bfloat16, float32 or float64.")
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
                f"{name} is {value.dtype}, h is {h.dtype}",
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
