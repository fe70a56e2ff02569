"""Configurations timed on the device they run on: opt-in, by SLIDELAKE_TRITON_AUTOTUNE=1.

Without it each kernel takes the first of its table's line, always the same. With it the first call of a kind times
every entry and the fastest stays for the process: calls of a kind have the same sizes but for the number of rows,
of which three ranges are told apart. Never the number itself: bags differ from step to step. Another configuration
may sum in another order, so that two processes may then differ in the last bits.
"""

import os
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
import triton
from triton.runtime.errors import OutOfResources

from slidelake.kernels.triton_configs import Config

VARIABLE = "SLIDELAKE_TRITON_AUTOTUNE"
#: Up to here a call is bound by launches and by how few programs there are; from here on all are alike.
_RANGES = (8 << 10, 64 << 10)
_chosen: dict[Hashable, Config] = {}


def choose(
    configs: Sequence[Config],
    kind: Hashable,
    rows: int,
    run: Callable[[Config], Any],
    clock: Callable[[Callable[[], Any]], float] | None = None,
) -> Config:
    """The configuration for a call: the first, or the fastest of all where timing is asked for.

    `run` makes the whole call with one; `clock` says how long a function takes.
    """
    if os.environ.get(VARIABLE, "").strip() in ("", "0") or len(configs) == 1:
        return configs[0]
    key = (kind, sum(rows > limit for limit in _RANGES))
    if key not in _chosen:
        if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
            return configs[0]  # nothing can be timed while a graph is recorded
        took = {config: _seconds(config, run, clock or _clock) for config in configs}
        _chosen[key] = min(took, key=took.__getitem__)
    return _chosen[key]


def _seconds(
    config: Config, run: Callable[[Config], Any], clock: Callable[[Callable[[], Any]], float]
) -> float:
    try:
        return clock(lambda: run(config))
    except OutOfResources:
        return float("inf")  # a device with less shared memory than its architecture's largest


def _clock(function: Callable[[], Any]) -> float:
    if torch.cuda.is_available():
        return float(triton.testing.do_bench(function, warmup=10, rep=30, return_mode="median"))
    function()
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
