"""What every launch of the Triton kernels needs from the host: arguments as the device code takes them."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import triton
from torch import Tensor

from slidelake.kernels.arguments import PoolArguments
from slidelake.kernels.triton_configs import INTERPRETER, Shape, architecture, side
from slidelake.kernels.triton_tiles import dot

#: The kernels run in Triton's interpreter, on the CPU: TRITON_INTERPRET=1 was set when they were imported.
INTERPRETED = not isinstance(dot, triton.JITFunction)
#: Partial sums of the forward pass that may lie in memory at once, in bytes.
PARTIAL_BYTES = 32 << 20
#: Programs that keep every device busy: about four waves of the largest one.
ENOUGH_PROGRAMS = 512
#: torch's dtypes of features that the kernels take; float64 has no matrix units and goes to another back end.
DTYPES = (torch.float16, torch.bfloat16, torch.float32)


def supports(arguments: PoolArguments) -> str:
    """Why these arguments cannot run here; empty where they can."""
    h = arguments.h
    if h.dtype not in DTYPES:
        return f"h is {h.dtype}; the Triton kernels take float16, bfloat16 and float32"
    if h.shape[0] >= 2**31:
        return f"h has {h.shape[0]} rows; the Triton kernels number them in 31 bits"
    if INTERPRETED:
        return "" if h.device.type == "cpu" else "TRITON_INTERPRET is set, which runs on the CPU alone"
    if h.device.type != "cuda":
        return f"h is on {h.device}; the Triton kernels need a GPU"
    if not architecture(h.device):
        return f"{torch.cuda.get_device_name(h.device)} is older than compute capability 8.0"
    return ""


def rows_per_program(rows: int, bags: int, width: int, block: int) -> int:
    """How many rows of a bag one program pools before it leaves `width` partial sums: `block` times a power of two.

    More rows mean less to write and to combine, and fewer programs: sums fit PARTIAL_BYTES where that leaves
    ENOUGH_PROGRAMS. Depends on sizes alone, so that the order of summation is the same on every device.
    """
    count = block
    while rows // count + bags > ENOUGH_PROGRAMS and rows // count > ENOUGH_PROGRAMS // 2:
        if (rows // count + bags) * width * 4 <= PARTIAL_BYTES:
            break
        count *= 2
    return count


def precisions(dtype: torch.dtype, *, amd: bool = torch.version.hip is not None) -> tuple[str, str]:
    """How products are made: those with V and U, and the small ones of float32 operands (scores, pooling).

    16-bit features are multiplied exactly whatever is said. float32 follows torch's own switch: TF32 where it
    is allowed, else three TF32 products on NVIDIA's matrix units, which are float32's equal to a rounding or
    two and several times faster than scalar multiplication.
    """
    fine = "ieee" if amd else "tf32x3"
    return ("tf32" if dtype == torch.float32 and not amd and _tf32_allowed() else fine), fine


def compiled_for(shape: Shape, precision: tuple[str, str]) -> dict[str, Any]:
    """The constants that follow from the sizes and the dtype of a call."""
    return {
        "D": shape.dim,
        "L": shape.hidden,
        "K": shape.branches,
        "STRIDE": shape.dim,
        "BLOCK_K": side(shape.branches),
        "PRECISION": precision[0],
        "FINE": precision[1],
        "UPCAST": shape.arch == INTERPRETER and shape.dtype == torch.bfloat16,
        "EXACT": shape.dtype == torch.float32,
    }


def _tf32_allowed() -> bool:
    """torch's switch has two names, and reading the older one fails once the newer (torch 2.9) was set."""
    switch = torch.backends.cuda.matmul
    if hasattr(switch, "fp32_precision"):
        return bool(switch.fp32_precision == "tf32")
    return bool(switch.allow_tf32)


class Launch:
    """The arguments of one call, laid out for the kernels: rows contiguous, V and U in the features' dtype.

    Rounding float32 parameters to 16-bit features' dtype for the products is what autocast does; biases, w and
    everything after the products stay in float32.
    """

    def __init__(self, arguments: PoolArguments) -> None:
        self.arguments = arguments
        self.h = arguments.h if arguments.h.stride(1) == 1 else arguments.h.contiguous()
        self.gated = arguments.U is not None
        self.V = arguments.V.to(self.h.dtype).contiguous()
        self.U = self.V if arguments.U is None else arguments.U.to(self.h.dtype).contiguous()
        self.bV = arguments.bV.contiguous()
        self.bU = self.bV if arguments.bU is None else arguments.bU.contiguous()
        self.w = arguments.w.contiguous()
        self.borders = arguments.cu_seqlens.contiguous()
        # A byte each is what torch stores; without a mask any pointer stands for it.
        self.mask = self.borders if arguments.mask is None else arguments.mask.contiguous().view(torch.uint8)
        rows, dim = self.h.shape
        hidden, branches = self.V.shape[0], self.w.shape[0]
        self.sizes = (rows, dim, hidden, branches, len(self.borders) - 1)
        self.steps = max(1, self.sizes[4]).bit_length()  # of the search for a tile's bag
        arch = INTERPRETER if INTERPRETED else architecture(self.h.device)
        self.shape = Shape(dim, hidden, branches, self.h.dtype, arch)

    def inputs(self) -> tuple[Tensor, ...]:
        """The pointers that all the kernels of tiles begin with."""
        return (self.h, self.V, self.U, self.bV, self.bU, self.w, self.borders, self.mask)

    def dropout(self) -> tuple[int, int, float]:
        """Seed (as 64 signed bits), threshold of the generator's words, and what a kept product is scaled with."""
        share, seed = self.arguments.dropout_p, self.arguments.seed
        limit = round(share * 2**32)
        scale = (1 / (1 - share)) ** (2 if self.gated else 1)
        if limit == 2**32:  # a share that close to 1 drops all, which no 32-bit word can say
            limit, scale = 0, 0.0
        return (seed - 2**64 if seed >= 2**63 else seed), limit, scale

    def constants(self, kernel: Any) -> dict[str, Any]:
        """What a kernel is compiled for, of all that follows from the arguments."""
        known = compiled_for(self.shape, precisions(self.h.dtype))
        known |= {
            "STRIDE": self.h.stride(0) if len(self.h) > 1 else self.shape.dim,
            "GATED": self.gated,
            "MASKED": self.arguments.mask is not None,
            "DROPOUT": self.arguments.dropout_p > 0,
        }
        return {name: value for name, value in known.items() if name in kernel.arg_names}

    def device(self) -> AbstractContextManager[Any]:
        """Triton launches on the current device, which need not be the tensors'."""
        return nullcontext() if self.h.device.type == "cpu" else torch.cuda.device(self.h.device)
