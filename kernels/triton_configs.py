from dataclasses import dataclass
from typing import Any

import torch

ANY_CPU = "cpu"


@dataclass(frozen=True)
class Shape:
    dim: int
    hidden: int
    branches: int
    dtype: torch.dtype
    arch: str


@dataclass(frozen=True)
class Config:
    block_m: int
    block_l: int
    block_d: int
    warps: int
    stages: int

    def constants(self) -> dict[str, Any]:
        return {"BLOCK_M": self.block_m, "BLOCK_L": self.block_l, "BLOCK_D": self.block_d}

    def options(self) -> dict[str, Any]:
        return {"num_warps": self.warps, "num_stages": self.stages}


def architecture(device: torch.device) -> str:
    return "sm_90"


def _pow2(n: int, low: int, high: int) -> int:
    return min(high, max(low, 1 << (n - 1).bit_length()))


def forward_config(shape: Shape) -> Config:
    return Config(128, _pow2(shape.hidden, 16, 512), _pow2(shape.dim, 16, 2048), 4, 1)


def backward_config(shape: Shape, *, stored: bool) -> Config:
    return Config(128, _pow2(shape.hidden, 16, 512), _pow2(shape.dim, 16, 2048), 4, 1)


def features_config(shape: Shape) -> Config:
    return Config(128, _pow2(shape.hidden, 16, 512), _pow2(shape.dim, 16, 2048), 4, 1)


def combine_config(dim: int) -> Config:
    return Config(64, 16, _pow2(dim, 16, 128), 4, 1)
