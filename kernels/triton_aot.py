"""Compile the Triton kernels ahead of time, without a GPU, and tell what each of them takes:

    python -m slidelake.kernels.triton_aot [--arch sm_90] [--all] [--json]

One line a kernel and configuration: shared memory, registers, spilled bytes, instructions of the matrix units. What
is compiled is what a call would compile: the same functions, constants and options.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from slidelake.errors import UsageError
from slidelake.kernels import triton_configs as configs
from slidelake.kernels.triton_configs import SHARED_MEMORY, Config, Shape
from slidelake.kernels.triton_forward import combine_tiles, pool_tiles
from slidelake.kernels.triton_gradients import branch_gradients, feature_gradients
from slidelake.kernels.triton_launch import INTERPRETED, compiled_for, precisions

#: The widths of published features and attention layers that the tables are made for.
DIMS = (384, 512, 768, 1024, 1280, 1536, 2048, 2560)
HIDDEN = (128, 256, 384, 512)
_KERNELS = {
    kernel.__name__: kernel for kernel in (pool_tiles, combine_tiles, branch_gradients, feature_gradients)
}
#: Bytes a thread may keep on the stack. At some sizes the compiler parks a few numbers of the thread (its place in the
#: warp, an address) there before the loops and fetches them once a tile: seen at D 2560, L 512 in the machine code,
#: and nothing that a clock could see. Sums that do not fit show as hundreds.
MOST_SPILLED = 32
_TYPES = {torch.bfloat16: "bf16", torch.float16: "fp16", torch.float32: "fp32"}
#: Pointers by what lies there; all that is not named is float32, the parameters too.
_FEATURES = ("h_ptr", "V_ptr", "U_ptr", "saved_ptr", "grad_hidden_ptr", "grad_h_ptr")
_OTHERS = {"borders_ptr": "*i64", "mask_ptr": "*u8"}


@dataclass(frozen=True)
class Build:
    """A kernel as one call would compile it."""

    kernel: str  # of _KERNELS
    name: str  # of the table's line
    shape: Shape
    config: Config
    flags: tuple[tuple[str, bool], ...]


@dataclass(frozen=True)
class Report:
    """What a compiled kernel takes of the device, per program (shared memory, bytes) and per thread."""

    kernel: str
    arch: str
    dtype: str
    dim: int
    hidden: int
    branches: int
    config: Config
    shared: int
    registers: int
    spilled: int  # bytes
    wgmma: int  # instructions of a whole warp group
    mma: int  # of one warp, or AMD's

    @property
    def problem(self) -> str:
        """What is wrong with it; empty where it may ship."""
        if self.shared > SHARED_MEMORY[self.arch]:
            return f"{self.shared} bytes of shared memory, {SHARED_MEMORY[self.arch]} are there"
        if self.spilled > MOST_SPILLED:
            return f"{self.spilled} bytes of registers spilled"
        multiplies = self.kernel.split()[0] in ("forward", "backward", "features")
        if multiplies and not (self.wgmma if self.arch == "sm_90" else self.mma):
            return "no instruction of the matrix units"
        return ""


def builds(arch: str, *, everything: bool = False) -> Iterator[Build]:
    """One call for each line of the table, the most demanding; with `everything` all that may be compiled."""
    usual = Shape(1024, 256, 1, torch.bfloat16, arch)
    if not everything:
        yield from {build.name: build for build in _lines(usual, alternatives=False)}.values()
        return
    for dtype in _TYPES:
        for alternatives in (False, True):
            yield from _lines(replace(usual, dtype=dtype), alternatives=alternatives)
    for dim in DIMS:
        for hidden in HIDDEN:
            if (dim, hidden) != (usual.dim, usual.hidden):
                yield from _lines(replace(usual, dim=dim, hidden=hidden), alternatives=False)


def _lines(one: Shape, *, alternatives: bool) -> Iterator[Build]:
    """Every kernel with what fills its registers most, of the calls that take the line."""
    few, many = replace(one, branches=configs.FEW), replace(one, branches=8)
    off = {"DROPOUT": False, "STORE": False, "STORED": False}
    calls: list[tuple[Any, str, Shape, dict[str, bool], tuple[Config, ...]]] = [
        (pool_tiles, "forward one", one, {}, configs.forward_configs(one, store=False, dropout=False)),
        (feature_gradients, "features", few, {}, configs.features_configs(few)),
        (feature_gradients, "features", many, {}, configs.features_configs(many)),
        (combine_tiles, "combine", one, {}, (configs.combine_config(one),)),
    ]
    for shape, name in ((few, "forward"), (many, "forward many")):
        options = configs.forward_configs(shape, store=True, dropout=True)
        calls.append((pool_tiles, name, shape, {"STORE": True, "DROPOUT": True}, options))
    for stored, name in ((False, "backward"), (True, "stored")):
        for shape, dropout in ((one, True), (few, False), (few, True), (many, True)):
            options = configs.backward_configs(shape, stored=stored, dropout=dropout)
            full = (
                name
                if options == configs.backward_configs(one, stored=stored, dropout=False)
                else f"{name} heavy"
            )
            calls.append((branch_gradients, full, shape, {"STORED": stored, "DROPOUT": dropout}, options))
    for kernel, name, shape, flags, options in calls:
        for config in options[1:] if alternatives else options[:1]:
            yield Build(kernel.__name__, name, shape, config, tuple({**off, **flags}.items()))


def compile_build(build: Build) -> Report:
    """Compile one kernel for its architecture."""
    shape, kernel = build.shape, _KERNELS[build.kernel]
    amd = shape.arch.startswith("gfx")
    target = GPUTarget("hip", shape.arch, 64) if amd else GPUTarget("cuda", int(shape.arch[3:]), 32)
    constants = compiled_for(shape, precisions(shape.dtype, amd=amd)) | build.config.constants()
    constants |= {**dict(build.flags), "GATED": True, "MASKED": True}
    constants |= {"THROUGH_POOLED": True, "THROUGH_SCORES": True}
    constants |= {"BLOCK_P": build.config.block_m}
    constants = {name: value for name, value in constants.items() if name in kernel.arg_names}
    signature = {p.name: "constexpr" if p.is_constexpr else _type(p, shape.dtype) for p in kernel.params}
    # torch's allocations begin at multiples of 16 bytes; Triton reads it off the pointers of a call.
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, name in enumerate(kernel.arg_names)
        if name.endswith("_ptr")
    }
    made = triton.compile(
        ASTSource(kernel, signature, constants, aligned), target=target, options=build.config.options()
    )
    registers, spilled = _amd_use(made.asm["amdgcn"]) if amd else _nvidia_use(made.asm["cubin"])
    text = made.asm["amdgcn"] if amd else made.asm["ptx"]
    return Report(
        build.name,
        shape.arch,
        _TYPES[shape.dtype],
        shape.dim,
        shape.hidden,
        shape.branches,
        build.config,
        made.metadata.shared,
        registers,
        spilled,
        text.count("wgmma.mma_async"),
        text.count("v_mfma") if amd else text.count("mma.sync"),
    )


def _type(parameter: Any, dtype: torch.dtype) -> str:
    name = parameter.name
    if not name.endswith("_ptr"):
        return str(parameter.annotation_type)
    return f"*{_TYPES[dtype]}" if name in _FEATURES else _OTHERS.get(name, "*fp32")


def _nvidia_use(cubin: bytes) -> tuple[int, int]:
    """Registers, and bytes of the stack: the kernels have no arrays of their own, so that all of it is spilled."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        command = [triton.knobs.nvidia.cuobjdump.path, "-res-usage", str(path)]
        says = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", says)
    if found is None:
        raise UsageError(
            f"cuobjdump tells no use of resources: {says[:200]!r}",
            remedy="Install the triton of constraints.txt.",
        )
    return int(found[1]), int(found[2])


def _amd_use(assembly: str) -> tuple[int, int]:
    use = {name: int(value) for name, value in re.findall(r"\.(\w+):\s+(\d+)\s*$", assembly, re.MULTILINE)}
    return use["vgpr_count"], use["private_segment_fixed_size"] + 4 * use["vgpr_spill_count"]


def main(arguments: list[str] | None = None) -> int:
    """The table; exit code 1 where a kernel may not ship."""
    parser = argparse.ArgumentParser(prog="python -m slidelake.kernels.triton_aot", description=__doc__)
    parser.add_argument("--arch", action="append", choices=sorted(SHARED_MEMORY), help="default: all of them")
    parser.add_argument(
        "--all", action="store_true", help="every configuration and shape: an hour of one core"
    )
    parser.add_argument("--json", action="store_true", help="one object a line")
    options = parser.parse_args(arguments)
    if INTERPRETED:
        raise UsageError("TRITON_INTERPRET is set, which compiles nothing", remedy="Unset TRITON_INTERPRET.")
    bad = 0
    for arch in options.arch or SHARED_MEMORY:
        for build in builds(arch, everything=options.all):
            report = compile_build(build)
            bad += bool(report.problem)
            print(_line(report, as_json=options.json), flush=True)
    return 1 if bad else 0


def _line(report: Report, *, as_json: bool) -> str:
    if as_json:
        return json.dumps({**asdict(report), "problem": report.problem})
    c = report.config
    return (
        f"{report.arch:7} {report.dtype} D {report.dim:4} L {report.hidden:3} K {report.branches}  "
        f"{report.kernel:14} {c.block_m:3} x {c.block_l:3} x {c.block_d:3}, {c.warps} warps, {c.stages} stages  "
        f"shared {report.shared:6}  registers {report.registers:3}  spilled {report.spilled:4}  "
        f"wgmma {report.wgmma:3}  mma {report.mma:3}  {report.problem}"
    ).rstrip()


if __name__ == "__main__":
    sys.exit(main())
