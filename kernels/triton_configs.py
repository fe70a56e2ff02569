"""Which blocks a kernel takes: a table by architecture, width of the features and what the kernel has to hold.

Chosen without a GPU, by what compiles: the largest blocks that fit the shared memory and spill no register at D 1024,
L 256 (`python -m slidelake.kernels.triton_aot` prints the proof). Larger blocks read the weights less often, which is
what bounds these kernels. Behind the first of a line stand others: SLIDELAKE_TRITON_AUTOTUNE=1 times them on the
device.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch

#: Shared memory that one program may have, in bytes.
SHARED_MEMORY = {"sm_80": 163 << 10, "sm_89": 99 << 10, "sm_90": 227 << 10, "gfx942": 64 << 10}
#: Triton's interpreter: no limits, and its time goes by the number of operations, not by their size.
INTERPRETER = "interpreter"


#: Up to so many branches go by multiply-add; the matrix units' sides are 16, of which they would fill a quarter.
FEW = 4


@dataclass(frozen=True)
class Shape:
    """What a configuration may depend on, besides the kernel: all of it known before any value is."""

    dim: int  # D
    hidden: int  # L
    branches: int  # K
    dtype: torch.dtype  # of the features
    arch: str  # a key of SHARED_MEMORY, or INTERPRETER


@dataclass(frozen=True)
class Config:
    """Blocks of rows, hidden units and features, and how many warps and stages of loads share the work."""

    block_m: int
    block_l: int
    block_d: int
    warps: int
    stages: int

    def constants(self) -> dict[str, Any]:
        """As the kernels name them."""
        return {"BLOCK_M": self.block_m, "BLOCK_L": self.block_l, "BLOCK_D": self.block_d}

    def options(self) -> dict[str, Any]:
        """As the compiler names them."""
        return {"num_warps": self.warps, "num_stages": self.stages, "enable_fp_fusion": True}


#: (architecture, bytes of a feature) → what a kernel has to hold → its configurations, best first.
_TABLE: dict[tuple[str, int], dict[str, tuple[Config, ...]]] = {
    ("sm_90", 2): {
        "forward one": (Config(128, 128, 64, 8, 3), Config(128, 64, 64, 8, 4), Config(64, 64, 64, 4, 3)),
        "forward": (Config(128, 64, 64, 8, 4), Config(64, 64, 64, 8, 4)),
        "forward many": (Config(128, 64, 32, 8, 3), Config(64, 64, 64, 8, 4)),
        "backward": (Config(128, 64, 64, 8, 4), Config(64, 64, 64, 8, 4)),
        "backward heavy": (Config(64, 64, 64, 8, 4), Config(64, 32, 64, 8, 3)),
        "stored": (Config(128, 64, 64, 8, 3), Config(64, 64, 64, 8, 3)),
        "stored heavy": (Config(64, 64, 64, 8, 3), Config(64, 32, 64, 8, 3)),
        "features": (Config(128, 64, 128, 8, 3), Config(128, 32, 128, 8, 3)),
    },
    ("sm_90", 4): {
        "forward one": (Config(64, 64, 32, 8, 4),),
        "forward": (Config(64, 32, 32, 8, 3),),
        "forward many": (Config(64, 32, 32, 8, 3),),
        "backward": (Config(64, 64, 32, 8, 4),),
        "backward heavy": (Config(64, 64, 32, 8, 4),),
        "stored": (Config(128, 64, 64, 8, 3),),
        "stored heavy": (Config(64, 64, 64, 8, 3),),
        "features": (Config(128, 32, 64, 8, 3),),
    },
    ("sm_80", 2): {
        "forward one": (Config(128, 64, 64, 8, 4), Config(128, 64, 32, 8, 3)),
        "forward": (Config(128, 64, 64, 8, 4), Config(128, 64, 32, 8, 3)),
        "forward many": (Config(128, 64, 32, 8, 3),),
        "backward": (Config(128, 64, 64, 8, 4),),
        "backward heavy": (Config(64, 32, 64, 8, 3),),
        "stored": (Config(128, 64, 64, 8, 3),),
        "stored heavy": (Config(64, 64, 64, 8, 3),),
        "features": (Config(128, 64, 128, 8, 3),),
    },
    ("sm_80", 4): {
        "forward one": (Config(64, 32, 32, 8, 3),),
        "forward": (Config(64, 32, 32, 8, 3),),
        "forward many": (Config(64, 32, 32, 8, 3),),
        "backward": (Config(64, 32, 32, 8, 3),),
        "backward heavy": (Config(64, 32, 32, 8, 3),),
        "stored": (Config(128, 64, 64, 8, 3),),
        "stored heavy": (Config(64, 64, 64, 8, 3),),
        "features": (Config(64, 32, 64, 8, 2),),
    },
    ("gfx942", 2): {
        "forward one": (Config(128, 64, 32, 8, 2),),
        "forward": (Config(128, 64, 64, 8, 2),),
        "forward many": (Config(128, 64, 64, 8, 2),),
        "backward": (Config(128, 64, 64, 8, 2),),
        "backward heavy": (Config(64, 64, 64, 8, 2),),
        "stored": (Config(128, 64, 64, 8, 2),),
        "stored heavy": (Config(64, 64, 32, 8, 2),),
        "features": (Config(128, 64, 64, 8, 2),),
    },
    ("gfx942", 4): {
        "forward one": (Config(64, 64, 32, 8, 2),),
        "forward": (Config(64, 64, 32, 8, 2),),
        "forward many": (Config(64, 64, 32, 8, 2),),
        "backward": (Config(64, 64, 32, 8, 2),),
        "backward heavy": (Config(64, 32, 32, 8, 2),),
        "stored": (Config(64, 64, 32, 8, 2),),
        "stored heavy": (Config(64, 32, 32, 8, 2),),
        "features": (Config(64, 64, 32, 8, 2),),
    },
}
# Ada has Ampere's matrix units and less shared memory.
_TABLE["sm_89", 2] = _TABLE["sm_80", 2] | {"features": (Config(128, 64, 128, 8, 2),)}
_TABLE["sm_89", 4] = _TABLE["sm_80", 4] | {
    "forward": (Config(32, 32, 32, 8, 2),),
    "stored heavy": (Config(64, 32, 64, 8, 2),),
}


@cache
def architecture(device: torch.device) -> str:
    """The table's key for a GPU: newer ones than the table knows take the nearest before them; "" for too old."""
    if torch.version.hip is not None:
        return "gfx942"
    capability = torch.cuda.get_device_capability(device)
    if capability < (8, 0):
        return ""
    if capability >= (12, 0):
        return "sm_89"  # consumer Blackwell: 99 KiB and mma.sync, as Ada
    return "sm_90" if capability >= (9, 0) else "sm_89" if capability in ((8, 6), (8, 9)) else "sm_80"


def side(size: int) -> int:
    """The smallest block that holds `size`: a power of two, and a side of the matrix units."""
    return max(16, 1 << (size - 1).bit_length())


def forward_configs(shape: Shape, *, store: bool, dropout: bool) -> tuple[Config, ...]:
    """For `pool_tiles`, the default first."""
    if shape.branches > FEW:
        return _line(shape, "forward many")
    return _line(shape, "forward" if store or dropout or shape.branches > 1 else "forward one")


def backward_configs(shape: Shape, *, stored: bool, dropout: bool) -> tuple[Config, ...]:
    """For `branch_gradients`, the default first."""
    heavy = shape.branches > (1 if dropout else FEW)
    return _line(shape, ("stored" if stored else "backward") + (" heavy" if heavy else ""))


def features_configs(shape: Shape) -> tuple[Config, ...]:
    """For `feature_gradients`, the default first; the products' sum runs over `block_l`."""
    return _line(shape, "features")


def combine_config(shape: Shape) -> Config:
    """For `combine_tiles`: so many programs' sums, and so many features, at a time."""
    return _cut(shape, Config(64, 16, 2048 if shape.arch == INTERPRETER else 128, 4, 1))


def _line(shape: Shape, name: str) -> tuple[Config, ...]:
    if shape.arch == INTERPRETER:
        return (_cut(shape, Config(512, 256, 2048, 4, 1)),)
    table = _TABLE[shape.arch, shape.dtype.itemsize]
    return tuple(dict.fromkeys(_cut(shape, config) for config in table[name]))


def _cut(shape: Shape, config: Config) -> Config:
    """No block larger than what it covers."""
    block_l, block_d = min(config.block_l, side(shape.hidden)), min(config.block_d, side(shape.dim))
    return replace(config, block_l=block_l, block_d=block_d)
