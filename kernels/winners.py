"""Which back end is fastest where: tables that were measured, one for each kind of device.

`kernels/winners/<device>.json`, written by `benchmarks/gated_attention.py` through `write_winners`; the README of
this folder has the format under "Winners".
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch

from slidelake.errors import KernelError
from slidelake.kernels.arguments import PoolArguments

_FOLDER = Path(__file__).parent / "winners"
_SAVES = ("recompute", "store")


class Mode(NamedTuple):
    """A back end and what it keeps for the backward pass; `str` and `Mode.parse` go to text and back."""

    backend: str
    save: str

    def __str__(self) -> str:
        return self.backend if self.backend == "eager" else f"{self.backend}+{self.save}"

    @classmethod
    def parse(cls, text: str) -> "Mode":
        """ "eager", "chunked+store", "triton+recompute"; a fused back end alone keeps nothing."""
        backend, _, save = text.partition("+")
        save = save or ("store" if backend == "eager" else "recompute")
        if not backend or save not in _SAVES:
            raise KernelError(
                f"{text!r} is no mode", remedy='Write "eager", "chunked+store", "triton+recompute".'
            )
        return cls(backend, save)


@dataclass(frozen=True)
class Winner:
    """What was measured at one shape: the modes that ran, fastest first."""

    dtype: str  # of the features: "float32", "bfloat16"
    rows: int  # T
    dim: int  # D
    hidden: int  # L
    branches: int  # K
    forward: tuple[str, ...]  # without a gradient: names of back ends
    training: tuple[str, ...]  # forward and backward, frozen features: modes


def device_key(device: torch.device) -> str:
    """The name of the device's table: "cpu", "nvidia-h200"."""
    if device.type == "cuda":
        return _slug(torch.cuda.get_device_name(device))
    return device.type


def write_winners(device_name: str, rows: Sequence[Winner], *, folder: Path = _FOLDER) -> Path:
    """Write the table of a device ("cpu", or what torch.cuda.get_device_name says); the file's path."""
    for row in rows:
        for mode in (*row.forward, *row.training):
            Mode.parse(mode)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_slug(device_name)}.json"
    ordered = sorted(rows, key=lambda row: (row.dtype, row.dim, row.hidden, row.branches, row.rows))
    lines = ",\n".join("  " + json.dumps(asdict(row)) for row in ordered)
    path.write_text(f'{{"device": {json.dumps(device_name)}, "winners": [\n{lines}\n]}}\n', encoding="utf-8")
    read_winners.cache_clear()
    return path


@cache
def read_winners(device_name: str, *, folder: Path = _FOLDER) -> tuple[Winner, ...]:
    """The table of a device; empty where none was measured. KernelError for a file that is none."""
    path = folder / f"{_slug(device_name)}.json"
    if not path.exists():
        return ()
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["winners"]
        return tuple(
            Winner(**{**row, "forward": tuple(row["forward"]), "training": tuple(row["training"])})
            for row in rows
        )
    except (ValueError, KeyError, TypeError) as error:
        raise KernelError(
            f"{path} is no table of winners: {error}", remedy="Write it with benchmarks/gated_attention.py."
        ) from error


def winner(
    device_name: str, dtype: torch.dtype, rows: int, dim: int, hidden: int, branches: int
) -> Winner | None:
    """The measured shape nearest to this one; None where the device has no table.

    Nearest by the factors between the sizes, those of the same dtype first; among equals the first in the table.
    """
    table = read_winners(device_name)
    kind = str(dtype).removeprefix("torch.")
    same = [row for row in table if row.dtype == kind] or list(table)

    def distance(row: Winner) -> float:
        pairs = ((row.rows, rows), (row.dim, dim), (row.hidden, hidden), (row.branches, branches))
        return sum(abs(math.log(max(1, a) / max(1, b))) for a, b in pairs)

    return min(same, key=distance, default=None)


def ranking(arguments: PoolArguments, *, training: bool, traced: bool = False) -> tuple[Mode, ...]:
    """The modes to try, best first: the device's table, else what the arithmetic says.

    While something traces, sizes may be unknown: then by the rule alone.
    """
    h, hidden = arguments.h, len(arguments.V)
    if not traced:
        found = winner(device_key(h.device), h.dtype, len(h), h.shape[1], hidden, len(arguments.w))
        if found is not None:
            return tuple(Mode.parse(mode) for mode in (found.training if training else found.forward))
    return _projected(arguments)


def _projected(arguments: PoolArguments) -> tuple[Mode, ...]:
    """Where nothing was measured. **A projection from the arithmetic, not a measurement.**

    On a GPU the fused kernels save the traffic of the hidden units, a share that falls with D and L; from D 1536 or
    L 512 on, and in float32, the vendor's matrix products in chunks are expected to be as fast.
    """
    chunked = (Mode("chunked", "store"), Mode("chunked", "recompute"))
    if not arguments.h.is_cuda:
        return chunked
    fused = (Mode("triton", "store"), Mode("triton", "recompute"))
    large = arguments.V.shape[1] >= 1536 or arguments.V.shape[0] >= 512 or arguments.h.dtype == torch.float32
    return (*chunked, *fused) if large else (*fused, *chunked)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
