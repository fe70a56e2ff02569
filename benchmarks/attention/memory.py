"""Peak memory of one forward and backward pass on the CPU beyond its inputs, printed in MiB by a process of its own:

python -m benchmarks.attention.memory ROWS BACKEND SAVE
"""

import subprocess
import sys
from pathlib import Path

__all__ = ["bound_mib", "extra_mib"]

#: (D, L, K) of the figures on a CPU.
SIZE = (512, 256, 1)


def extra_mib(rows: int, backend: str, save: str) -> float:
    """MiB that a fresh process needs at its peak beyond features (float32, frozen), parameters and libraries."""
    command = [sys.executable, "-m", "benchmarks.attention.memory", str(rows), backend, save]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        raise SystemExit(f"measuring memory of {backend} at {rows} rows failed:\n{found.stderr}")
    return float(found.stdout)


def bound_mib(rows: int, branches: int = SIZE[2]) -> float:
    """What the bounded mode may take: 200 MiB and 8 bytes a row and branch."""
    return 200 + 8 * branches * rows / 2**20


def _measure(rows: int, backend: str, save: str) -> float:
    import torch

    from benchmarks.attention.inputs import make_inputs
    from slidelake.kernels import gated_attention_pool

    def step(lengths: tuple[int, ...]) -> None:
        inputs = make_inputs(lengths, SIZE, dtype=torch.float32, device="cpu")
        before[:] = [_kilobytes("VmRSS")]
        pooled = gated_attention_pool(
            inputs.h, *inputs.parameters, inputs.cu_seqlens, backend=backend, save=save
        )[0]
        gradients = torch.autograd.grad(pooled, inputs.leaves, inputs.cotangent)
        if not all(bool(each.isfinite().all()) for each in gradients):
            raise SystemExit("a gradient is not finite")

    before: list[int] = []
    step((64,))  # what libraries take on their first use is not of this pass
    step((rows,))
    return (_kilobytes("VmHWM") - before[0]) / 1024


def _kilobytes(name: str) -> int:
    # The process's own counter: getrusage's maximum is handed down from the process that started this one.
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise SystemExit(f"/proc/self/status has no {name}")


if __name__ == "__main__":
    print(_measure(int(sys.argv[1]), *sys.argv[2:4]))
