"""The figures of the chunked back end on a CPU: memory, and time beside the eager back end."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks.attention.inputs import Inputs, make_inputs, reference, relative_error
from benchmarks.attention.memory import SIZE, bound_mib, extra_mib
from benchmarks.attention.sides import plain_pool
from benchmarks.harness import Benchmark, interleaved
from slidelake.kernels import gated_attention_pool

__all__ = ["measure"]

#: Relative: float32 sums over 131,072 rows.
_ALLOWED = 1e-4


def measure(benchmark: Benchmark) -> None:
    """Record the figures cpu_*; results are compared with the formula before anything is timed."""
    small, large = (32_768, 131_072) if benchmark.quick else (131_072, 1_048_576)
    _memory(benchmark, small, large)
    _times(benchmark, 16_384 if benchmark.quick else 131_072)


def _memory(benchmark: Benchmark, small: int, large: int) -> None:
    for rows in (small, large):
        found = extra_mib(rows, "chunked", "recompute")
        shown = f"at most {bound_mib(rows):.0f} wanted; N {rows:,}, the features are {rows * SIZE[0] * 4 >> 20} MiB"
        benchmark.record(f"cpu_extra_mib_{rows}", found, shown=shown)
        if rows == large:
            benchmark.record("cpu_extra_mib", found, shown=shown)
    benchmark.record(
        f"cpu_extra_mib_eager_{small}", extra_mib(small, "eager", "auto"), shown="the eager back end"
    )


def _times(benchmark: Benchmark, rows: int) -> None:
    inputs = make_inputs((rows,), SIZE, dtype=torch.float32, device="cpu")
    pools: dict[str, Callable[[], Tensor]] = {
        "eager": partial(_pool, inputs, "eager", "auto"),
        "chunked": partial(_pool, inputs, "chunked", "recompute"),
        "store": partial(_pool, inputs, "chunked", "store"),
        "plain": lambda: plain_pool(inputs.h, *inputs.parameters)[0][None],
    }
    wanted = reference(inputs, gradients=True)
    for name, pool in pools.items():
        pooled = pool()
        found = [pooled.detach(), *_gradients(pooled, inputs)[:-1]]  # bw has none through pooled
        error = max(relative_error(a, b) for a, b in zip(found, wanted[:-1], strict=True))
        if not error <= _ALLOWED:
            raise SystemExit(f"{name} does not give the formula's result: relative error {error:.2g}")
    del wanted
    forward = interleaved(
        {name: partial(_forward, pools[name]) for name in ("eager", "chunked", "plain")}, rounds=7
    )
    graphs = {name: pool() for name, pool in pools.items()}
    backward = interleaved(
        {name: partial(_gradients, pooled, inputs, keep=True) for name, pooled in graphs.items()}, rounds=5
    )
    for key, ours, seconds, wanted_most in (
        ("cpu_fwd_time", "chunked", forward, 1.0),
        ("cpu_bwd_time", "chunked", backward, 3.0),
        ("cpu_bwd_store_time", "store", backward, 1.15),
    ):
        for peer in ("eager", "plain"):
            ratios = [a / b for a, b in zip(seconds[ours], seconds[peer], strict=True)]
            shown = (
                f"at most {wanted_most} wanted" if peer == "eager" else "beside published code's seven calls"
            )
            benchmark.record(f"{key}_vs_{peer}", ratios, shown=shown)
    dim, hidden, branches = SIZE
    benchmark.note(
        f"times at N {rows:,}, D {dim}, L {hidden}, K {branches}, float32, frozen features, "
        f"{torch.get_num_threads()} threads"
    )


def _pool(inputs: Inputs, backend: str, save: str) -> Tensor:
    return gated_attention_pool(inputs.h, *inputs.parameters, inputs.cu_seqlens, backend=backend, save=save)[
        0
    ]


def _forward(pool: Callable[[], Tensor]) -> Tensor:
    with torch.no_grad():
        return pool()


def _gradients(pooled: Tensor, inputs: Inputs, *, keep: bool = False) -> tuple[Tensor, ...]:
    return torch.autograd.grad(pooled, inputs.leaves, inputs.cotangent, retain_graph=keep)
