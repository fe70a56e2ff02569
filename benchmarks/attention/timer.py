"""Time and memory of calls on a device, in turns: the protocol of `triton.testing.do_bench`, several sides at once.

Each call starts with an idle device and a second-level cache full of something else (a buffer of zeros is written
just before), between two events of the device. Rounds go over all sides, so that a slow minute falls on each of
them. Gradients are taken by `torch.autograd.grad`, which adds to none that stands from the round before. On the CPU
the same, by the clock.
"""

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["QUANTILES", "DeviceTimer", "Seconds", "extra_bytes", "quantiles"]

QUANTILES = (0.5, 0.2, 0.8)
#: Larger than the second-level cache of any GPU there is (60 MB on an H200).
_FLUSH_BYTES = 256 << 20


@dataclass(frozen=True)
class Seconds:
    """Every round's seconds of one side, in order: round i of two sides were run one after the other."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return quantiles(self.rounds)[0]


def quantiles(values: Sequence[float], at: Sequence[float] = QUANTILES) -> tuple[float, ...]:
    """Quantiles with linear interpolation between the two nearest values (as `torch.quantile`)."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("quantiles of no values")
    found = []
    for share in at:
        place = share * (len(ordered) - 1)
        below = int(place)
        above = min(below + 1, len(ordered) - 1)
        found.append(ordered[below] + (place - below) * (ordered[above] - ordered[below]))
    return tuple(found)


class DeviceTimer:
    """Times sides on one device; each measurement takes about `budget_s`, and never fewer than `least` rounds."""

    def __init__(self, device: str, *, budget_s: float = 0.4, least: int = 5, most: int = 50) -> None:
        self._device = torch.device(device)
        self._budget_s, self._least, self._most = budget_s, least, most
        self._flush: Tensor | None = None
        if self._device.type == "cuda":
            self._flush = torch.empty(_FLUSH_BYTES, dtype=torch.int8, device=self._device)

    def interleaved(
        self, sides: Mapping[str, Callable[..., Any]], before: Mapping[str, Callable[[], Any]] | None = None
    ) -> dict[str, Seconds]:
        """Each side's seconds over equally many rounds.

        What `before` has under a side's name is called before each of its calls, untimed, and its result passed on:
        the forward pass whose backward pass is timed. A side is run twice first: once for what is made on first use,
        once to see how long it takes.
        """
        before = before or {}
        once = 0.0
        for name, side in sides.items():
            self._time(side, before.get(name))
            once += self._time(side, before.get(name))
        rounds = self.rounds(once)
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, side in sides.items():
                seconds[name].append(self._time(side, before.get(name)))
        return {name: Seconds(tuple(each)) for name, each in seconds.items()}

    def rounds(self, once_s: float) -> int:
        """How many rounds of `once_s` seconds go into the budget, between the least and the most."""
        return max(self._least, min(self._most, int(self._budget_s / max(once_s, 1e-9))))

    def _time(self, side: Callable[..., Any], before: Callable[[], Any] | None) -> float:
        given = () if before is None else (before(),)
        if self._flush is None:
            began = time.perf_counter()
            side(*given)
            return time.perf_counter() - began
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(self._device)
        self._flush.zero_()
        start.record()
        side(*given)
        stop.record()
        torch.cuda.synchronize(self._device)
        return start.elapsed_time(stop) / 1e3


def extra_bytes(device: str, call: Callable[[], Any]) -> float:
    """Most bytes of device memory that `call` holds at once beyond what is held before it, its results included.

    Counted by torch's allocator, after a first call in which libraries take their workspaces; NaN on the CPU, where
    a process of its own has to be measured.
    """
    if torch.device(device).type != "cuda":
        return float("nan")
    call()
    gc.collect()
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    result = call()
    torch.cuda.synchronize(device)
    del result
    return float(torch.cuda.max_memory_allocated(device) - before)
