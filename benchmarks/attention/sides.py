"""The sides that are compared: ours by back end and mode, and what people write in torch, eager and compiled."""
# ruff: noqa: N803 - the paper's names

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from benchmarks.attention.inputs import Inputs
from slidelake.kernels import backend_names, gated_attention_pool

__all__ = ["OURS", "Bind", "Compiled", "Side", "available", "plain_pool", "side"]

WAYS = ("dynamic", "static", "autotuned")

#: From the inputs to a call without arguments that gives pooled (B, K, D), differentiable; what a side may prepare
#: once and for all (padding, another dtype) is prepared here, outside the time.
Bind = Callable[[Inputs], Callable[[], Tensor]]

#: name → (back end, save) of `gated_attention_pool`.
OURS = {
    "reference": ("eager", "auto"),
    "chunked_recompute": ("chunked", "recompute"),
    "chunked_store": ("chunked", "store"),
    "triton_recompute": ("triton", "recompute"),
    "triton_store": ("triton", "store"),
    # What a user gets who says nothing, and who asks for bounded memory.
    "auto": ("auto", "auto"),
    "auto_recompute": ("auto", "recompute"),
}


@dataclass(frozen=True)
class Side:
    """One way to the result, on features and parameters of `dtype`."""

    name: str
    bind: Bind
    dtype: torch.dtype
    #: Products of float32 are made of numbers rounded to TF32's 10 bits of mantissa.
    tf32: bool = False

    def context(self) -> AbstractContextManager[Any]:
        return _tf32() if self.tf32 else nullcontext()


@contextmanager
def _tf32() -> Iterator[None]:
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


def plain_pool(
    h: Tensor, V: Tensor, bV: Tensor, U: Tensor, bU: Tensor, w: Tensor, bw: Tensor
) -> tuple[Tensor, Tensor]:
    """pooled (K, D) and scores (N, K) of one bag, as published code writes it: seven calls of torch."""
    hidden = torch.tanh(F.linear(h, V, bV)) * torch.sigmoid(F.linear(h, U, bU))
    scores = F.linear(hidden, w, bw)
    return torch.softmax(scores, 0).T @ h, scores


def padded_pool(
    h: Tensor, counts: Tensor, V: Tensor, bV: Tensor, U: Tensor, bU: Tensor, w: Tensor, bw: Tensor
) -> Tensor:
    """pooled (B, K, D) of bags padded to the longest, h (B, N, D), each with the first `counts` (B,) rows."""
    hidden = torch.tanh(F.linear(h, V, bV)) * torch.sigmoid(F.linear(h, U, bU))
    scores = F.linear(hidden, w, bw)  # (B, N, K)
    absent = torch.arange(h.shape[1], device=h.device)[None, :] >= counts[:, None]
    attention = torch.softmax(scores.masked_fill(absent[..., None], -torch.inf), 1)
    return attention.transpose(1, 2) @ h


def available(device: str, *, interpreted: bool) -> set[str]:
    """The names of our sides that run on `device`; Triton needs a GPU, or its interpreter on the CPU."""
    known = {"auto", *backend_names()}
    if torch.device(device).type != "cuda" and not interpreted:
        known.discard("triton")
    return {name for name, (backend, _) in OURS.items() if backend in known}


def side(name: str, compiled: "Compiled") -> Side:
    """The side of a name: ours (`OURS`), "eager", "compile_dynamic", "compile_static", "compile_autotuned"; over many
    bags "loop_eager", "loop_compiled", "padded_eager". In bfloat16, or with "_fp32" or "_tf32" at the end in float32.
    """
    bare = name.removesuffix("_tf32").removesuffix("_fp32")
    binds: dict[str, Bind] = {
        **{ours: partial(_ours, *how) for ours, how in OURS.items()},
        **{f"compile_{way}": partial(compiled.bind, way) for way in WAYS},
        "eager": partial(_each_bag, plain_pool),
        "loop_eager": partial(_each_bag, plain_pool),
        "loop_compiled": partial(compiled.bind, "dynamic"),
        "padded_eager": _padded,
    }
    if bare not in binds:
        raise ValueError(f"no side is called {name!r}; sides: {', '.join(binds)}")
    dtype = torch.bfloat16 if bare == name else torch.float32
    return Side(name, binds[bare], dtype, tf32=name.endswith("_tf32"))


class Compiled:
    """`plain_pool` under `torch.compile`, once for each way; made anew for each (D, L, K).

    Dynamo keeps its compilations by the code that they were made from, and runs it eagerly after a number of them:
    `forget` before other shapes, and an error instead of the eager fallback, keep eager times out of these rows.
    """

    def __init__(self, device: str) -> None:
        # On the CPU the sweep is a rehearsal: traced and differentiated ahead of time, without a C++ compiler.
        self._backend = "inductor" if torch.device(device).type == "cuda" else "aot_eager"
        self._made: dict[str, Callable[..., Any]] = {}

    def forget(self) -> None:
        torch._dynamo.reset()
        self._made.clear()

    def bind(self, way: str, inputs: Inputs) -> Callable[[], Tensor]:
        """`way`: "dynamic" (the number of rows is marked so), "static", or "autotuned" (static, all that Inductor
        tries for the fastest kernels but CUDA graphs, which would need inputs at a fixed address)."""
        if way not in self._made:
            torch._dynamo.config.fail_on_recompile_limit_hit = True
            tuned = way == "autotuned" and self._backend == "inductor"
            self._made[way] = torch.compile(
                plain_pool,
                fullgraph=True,
                dynamic=None if way == "dynamic" else False,
                backend=self._backend,
                mode="max-autotune-no-cudagraphs" if tuned else None,
            )
            if way == "dynamic":
                _compile_dynamic(self._made[way], inputs)
        return _each_bag(self._made[way], inputs)


def _compile_dynamic(pool: Callable[..., Any], inputs: Inputs) -> None:
    # The mark stays on a tensor, and "static" would refuse it: an alias of the first bag bears it. Later calls need
    # none, whatever their number of rows.
    alias = inputs.h[: inputs.lengths[0]].detach().requires_grad_(inputs.h.requires_grad)
    torch._dynamo.mark_dynamic(alias, 0)
    with torch.no_grad():
        pool(alias, *inputs.parameters)
    pool(alias, *inputs.parameters)[0].sum().backward(inputs=inputs.parameters)
    for each in inputs.parameters:
        each.grad = None


def _ours(backend: str, save: str, inputs: Inputs) -> Callable[[], Tensor]:
    def pool() -> Tensor:
        # Borders that no call has seen, as a new batch brings them: what a back end keeps with them does not help.
        borders = inputs.cu_seqlens.clone()
        return gated_attention_pool(inputs.h, *inputs.parameters, borders, backend=backend, save=save)[0]

    return pool


def _each_bag(pool: Callable[..., Any], inputs: Inputs) -> Callable[[], Tensor]:
    if len(inputs.lengths) == 1:
        return lambda: pool(inputs.h, *inputs.parameters)[0][None]
    borders = list(pairwise(accumulate(inputs.lengths, initial=0)))
    return lambda: torch.stack([pool(inputs.h[start:stop], *inputs.parameters)[0] for start, stop in borders])


def _padded(inputs: Inputs) -> Callable[[], Tensor]:
    counts = torch.tensor(inputs.lengths, device=inputs.h.device)

    def pad() -> Tensor:
        return pad_sequence(list(torch.split(inputs.h, list(inputs.lengths))), batch_first=True)

    if inputs.h.requires_grad:  # the padding is a part of the graph
        return lambda: padded_pool(pad(), counts, *inputs.parameters)
    bags = pad()
    return lambda: padded_pool(bags, counts, *inputs.parameters)
