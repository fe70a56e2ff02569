"""What a back end can run here, and what to do where it cannot."""

import os
from importlib.util import find_spec

import torch

from slidelake.errors import KernelError
from slidelake.kernels.arguments import PoolArguments
from slidelake.kernels.tracing import traced


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ImportError:  # a finder refuses it
        return False


_TRITON_INSTALLED = _installed("triton")


def unsupported(backend: str, arguments: PoolArguments) -> KernelError | None:
    """Why the back end cannot run these arguments; None where it can."""
    if backend == "triton" and arguments.projection is not None:
        return KernelError(
            "the triton back end takes no projection", remedy='Pass backend="chunked", or leave "auto".'
        )
    if backend == "triton":
        return _triton_unsupported(arguments)
    if backend == "chunked" and arguments.h.is_cuda and torch.cuda.is_current_stream_capturing():
        return KernelError(
            "the chunked back end reads the bags' borders on the host, which a CUDA graph cannot capture",
            remedy='Pass backend="triton", or capture without the pooling.',
        )
    return None


def _triton_unsupported(arguments: PoolArguments) -> KernelError | None:
    h = arguments.h
    elsewhere = 'Pass backend="chunked", which runs on any device, or leave backend="auto".'
    if not _TRITON_INSTALLED:
        return KernelError(
            "the triton back end needs the package triton, which is not installed",
            remedy=f"pip install triton (Linux; triton-windows on Windows). {elsewhere}",
        )
    interpreted = os.environ.get("TRITON_INTERPRET", "") == "1"
    if not h.is_cuda and not (interpreted and h.device.type == "cpu"):
        return KernelError(f"the triton back end runs on a GPU, h is on {h.device}", remedy=elsewhere)
    if h.dtype == torch.float64:
        return KernelError("the triton back end does not compute in float64", remedy=elsewhere)
    if traced(h):
        return None  # a device is not asked while something records
    from slidelake.kernels.triton_launch import supports  # imports triton, which waits until it is wanted

    reason = supports(arguments)
    return KernelError(reason, remedy=elsewhere) if reason else None
