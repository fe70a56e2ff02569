"""Whether torch is recording what runs rather than, or besides, running it."""

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

_PLAIN = (Tensor, torch.nn.Parameter)


def traced(*tensors: Tensor | None) -> bool:
    """True under torch.compile, make_fx, or a fake or other dispatch mode, and for tensors of such a kind.

    Values may then be unknown: nothing may be read from a tensor, and only registered operators are seen.
    """
    if torch.compiler.is_compiling():
        return True
    return _get_current_dispatch_mode() is not None or any(
        x is not None and type(x) not in _PLAIN for x in tensors
    )
