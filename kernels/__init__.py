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
    from slidelake.kernels.segments import segment_sum
    from slidelake.kernels.winners import Winner, write_winners

__all__ = [
    "PackedBags",
    "Winner",
    "attention_weights",
    "backend_names",
    "gated_attention_pool",
    "pack_bags",
    "projected_gated_attention_pool",
    "segment_sum",
    "unpack_bags",
    "write_winners",
]

_HOME = {
    "PackedBags": "packing",
    "Winner": "winners",
    "attention_weights": "gated_attention",
    "backend_names": "backends",
    "gated_attention_pool": "gated_attention",
    "pack_bags": "packing",
    "projected_gated_attention_pool": "projection",
    "segment_sum": "segments",
    "unpack_bags": "packing",
    "write_winners": "winners",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"slidelake.kernels.{_HOME[name]}"), name)
    raise AttributeError(f"module 'slidelake.kernels' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
