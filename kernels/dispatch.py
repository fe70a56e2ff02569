"""Which back end and which save mode a call takes, and what happens where memory runs out."""

import logging
import os

import torch
from torch import Tensor

from slidelake.errors import KernelError
from slidelake.kernels.arguments import PoolArguments
from slidelake.kernels.backends import EAGER, backend_names
from slidelake.kernels.eager import eager_pool
from slidelake.kernels.op import fused_pool
from slidelake.kernels.save import check_save, eager_bytes, fits, stored_bytes, wants_gradient
from slidelake.kernels.support import unsupported
from slidelake.kernels.tracing import traced
from slidelake.kernels.winners import Mode, ranking

log = logging.getLogger("slidelake.kernels")
VARIABLE = "SLIDELAKE_KERNELS"
_BOUNDED = Mode("chunked", "recompute")
_warned: set[str] = set()


def pool(arguments: PoolArguments, backend: str, save: str) -> tuple[Tensor, Tensor, Tensor]:
    """pooled, scores, lse by the back end and save mode that `choose` takes.

    Where memory runs out and the caller left the choice open, by chunks and with nothing kept; else KernelError.
    """
    requested, source = _requested(backend)
    mode = choose(arguments, requested, save, source=source)
    if traced(arguments.h):
        return _run(arguments, mode)
    try:
        return _run(arguments, mode)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        smaller = Mode("chunked" if requested == "auto" else requested, "recompute")
        if save == "store" or requested == EAGER or smaller == mode:
            raise _too_large(arguments, mode) from error
    # Outside of the handler, whose traceback holds on to the arrays of the attempt.
    _warn(arguments, mode, smaller)
    try:
        return _run(arguments, smaller)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise _too_large(arguments, smaller) from error


def choose(arguments: PoolArguments, backend: str, save: str, *, source: str = "backend") -> Mode:
    """The mode for what a call asks for; KernelError for one that does not exist or cannot run here."""
    check_save(save)
    if backend != "auto":
        return _named(arguments, backend, save, source)
    if traced(arguments.h):
        # Sizes may be unknown and free memory is not asked for: nothing that grows with T is kept unasked.
        for mode in ranking(arguments, training=True, traced=True):
            if mode.backend != EAGER and _offered(mode.backend, arguments):
                return Mode(mode.backend, "store" if save == "store" else "recompute")
        return Mode("chunked", "store" if save == "store" else "recompute")
    training = wants_gradient(arguments)
    for mode in ranking(arguments, training=training):
        if _allowed(arguments, mode, save, training=training):
            return mode
    return Mode("chunked", "store" if save == "store" else "recompute")


def _requested(backend: str) -> tuple[str, str]:
    """ "auto" is what the variable says; a name in the call stands, so that two back ends can be compared."""
    if backend == "auto":
        return os.environ.get(VARIABLE, "").strip() or "auto", VARIABLE
    return backend, "backend"


def _named(arguments: PoolArguments, backend: str, save: str, source: str) -> Mode:
    if backend not in backend_names():
        known = ", ".join(["auto", *backend_names()])
        raise KernelError(f"{source} is {backend!r}, which is no back end", remedy=f"Use one of: {known}.")
    if backend == EAGER:
        if save == "recompute":
            raise KernelError(
                f"{source} is {EAGER!r}, which keeps its activations, and save is 'recompute'",
                remedy='Pass backend="chunked", or save="auto".',
            )
        return Mode(EAGER, "store")
    problem = unsupported(backend, arguments)
    if problem is not None:
        raise problem
    if save == "auto":
        save = "recompute"
        if not traced(arguments.h) and wants_gradient(arguments) and _store_fits(arguments):
            save = "store"
    return Mode(backend, save)


def _allowed(arguments: PoolArguments, mode: Mode, save: str, *, training: bool) -> bool:
    if not _offered(mode.backend, arguments):
        return False
    if mode.backend == EAGER:
        return save != "recompute" and fits(eager_bytes(arguments), arguments.h.device)
    if not training:
        return True
    if save == "auto":
        return mode.save == "recompute" or _store_fits(arguments)
    return mode.save == save


def _offered(backend: str, arguments: PoolArguments) -> bool:
    """Whether "auto" may take a back end: Triton's interpreter computes on a CPU too, but only a test waits for it."""
    if backend == "triton" and not arguments.h.is_cuda:
        return False
    return unsupported(backend, arguments) is None


def _store_fits(arguments: PoolArguments) -> bool:
    return fits(stored_bytes(arguments), arguments.h.device)


def _run(arguments: PoolArguments, mode: Mode) -> tuple[Tensor, Tensor, Tensor]:
    if mode.backend == EAGER:
        return eager_pool(arguments)
    return fused_pool(arguments, mode.backend, store=mode.save == "store")


def out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed: torch has a class for it on GPUs, and a sentence elsewhere."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    says = str(error)
    return any(sign in says for sign in ("DefaultCPUAllocator", "not enough memory", "out of memory"))


def _warn(arguments: PoolArguments, mode: Mode, smaller: Mode) -> None:
    """Once for each kind of device."""
    device = arguments.h.device.type
    if device not in _warned:
        _warned.add(device)
        log.warning(
            "%s ran out of memory on %s at %d rows; goes on with %s, which keeps nothing that grows with the rows",
            *(mode, device, len(arguments.h), smaller),
        )


def _too_large(arguments: PoolArguments, mode: Mode) -> KernelError:
    rows, dim = arguments.h.shape
    remedy = 'Pass backend="auto" or "chunked" with save="auto": it runs in bounded memory.'
    if mode == _BOUNDED:
        remedy = (
            "Pass fewer rows at a time, or features of 16 bits: the inputs and outputs alone fill the memory."
        )
    return KernelError(
        f"{mode} ran out of memory on {arguments.h.device} at {rows} rows of {dim} features", remedy=remedy
    )
