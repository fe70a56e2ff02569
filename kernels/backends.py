"""The back ends of the kernels: which there are, and which one a call takes."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from slidelake.errors import KernelError

if TYPE_CHECKING:
    from torch import Tensor

    from slidelake.kernels.arguments import PoolArguments

    #: pooled (B, K, D), scores (K, T), lse (B, K)
    PoolBackend = Callable[[PoolArguments], tuple[Tensor, Tensor, Tensor]]

VARIABLE = "SLIDELAKE_KERNELS"


def _eager() -> "PoolBackend":
    from slidelake.kernels.eager import eager_pool

    return eager_pool


#: One line makes a back end known. Functions, so that a back end's own imports wait until it is chosen.
_BACKENDS: "dict[str, Callable[[], PoolBackend]]" = {
    "eager": _eager,
}
#: Names that documents speak of and that this version does not have.
_ABSENT = {
    "chunked": "any device in bounded memory",
    "triton": "fused on a GPU",
}
#: What "auto" tries, best first.
_AUTO = ("eager",)


def backend_names() -> list[str]:
    """The names that `backend=` takes besides "auto"."""
    return sorted(_BACKENDS)


def choose_backend(requested: str) -> str:
    """The back end's name for what a call asked for; KernelError for one that does not exist.

    "auto" is what SLIDELAKE_KERNELS says, else the best one there is. A name given by the caller is taken
    whatever the variable says, so that a comparison of two back ends compares those two.
    """
    source = "backend"
    if requested == "auto":
        requested = os.environ.get(VARIABLE, "").strip() or "auto"
        source = VARIABLE
    if requested == "auto":
        return _AUTO[0]
    if requested in _BACKENDS:
        return requested
    known = ", ".join(["auto", *backend_names()])
    if requested in _ABSENT:
        raise KernelError(
            f"{source} is {requested!r} ({_ABSENT[requested]}), which this version does not have",
            remedy=f"Use one of: {known}.",
        )
    raise KernelError(f"{source} is {requested!r}, which is no back end", remedy=f"Use one of: {known}.")


def load_backend(name: str) -> "PoolBackend":
    """The function of a back end that `choose_backend` named."""
    return _BACKENDS[name]()
