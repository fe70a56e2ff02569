"""The back ends of the kernels: which there are, and where their code is."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slidelake.kernels.fused import FusedBackend

#: The reference: plain torch operations under autograd.
EAGER = "eager"
#: A fused back end in one line: the modules of its `forward` and its `backward`. Names, so that a back end's own
#: imports (triton) wait until it is chosen.
_FUSED = {
    "chunked": ("slidelake.kernels.chunked_forward", "slidelake.kernels.chunked_backward"),
    "triton": ("slidelake.kernels.triton_forward", "slidelake.kernels.triton_backward"),
}


def backend_names() -> list[str]:
    """The names that `backend=` takes besides "auto"."""
    return sorted([EAGER, *_FUSED])


def load_fused(name: str) -> "FusedBackend":
    """The two functions of a fused back end."""
    from slidelake.kernels.fused import FusedBackend

    forward, backward = _FUSED[name]
    return FusedBackend(import_module(forward).forward, import_module(backward).backward)
