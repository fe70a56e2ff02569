"""Pure compute on packed bags: gated attention pooling and the packing it works on.

Names are loaded when first used, so that importing this part does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slidelake.kernels.backends import backend_names
    from slidelake.kernels.gated_attention import attention_weights, gated_attention_pool
    from slidelake.kernels.packing import PackedBags, pack_bags, unpack_bags
    from slidelake.kernels.projection import projected_gated_attention_pool

__all__ = [
    "PackedBags",
    "attention_weights",
    "backend_names",
    "gated_attention_pool",
    "pack_bags",
    "projected_gated_attention_pool",
    "unpack_bags",
]

_HOME = {
    "PackedBags": "packing",
    "attention_weights": "gated_attention",
    "backend_names": "backends",
    "gated_attention_pool": "gated_attention",
    "pack_bags": "packing",
    "projected_gated_attention_pool": "projection",
    "unpack_bags": "packing",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"slidelake.kernels.{_HOME[name]}"), name)
    raise AttributeError(f"module 'slidelake.kernels' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
