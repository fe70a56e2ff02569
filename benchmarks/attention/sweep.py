"""Measure the cases of a plan on one device, every side checked before it is timed, and keep the rows."""

import gc
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.attention.inputs import Inputs, make_inputs, reference, relative_error
from benchmarks.attention.plan import Case
from benchmarks.attention.roofline import Roofline, Shape, cost, gemm_flops, yardstick_flops
from benchmarks.attention.rows import BACKWARD, BOTH, FORWARD, MODES, OK, Row, read_rows, write_rows
from benchmarks.attention.sides import OURS, Compiled, Side, available, side
from benchmarks.attention.timer import DeviceTimer, Seconds, extra_bytes, quantiles

__all__ = ["YARDSTICK", "Sweep", "device_name"]

#: The row of one product (N, D) × (D, 2L) in bfloat16.
YARDSTICK = "mm"
#: The status of what the device has no room for.
_FULL = "out of memory"
#: What a side may differ by: twice the error of plain torch in the same precision (Dao 2023's rule for flash
#: attention), and this much more, the unit of the precision: 2⁻⁷ (bfloat16), 2⁻¹⁰ (TF32), float32's sums.
_ALLOWED = {"bfloat16": 2**-7, "tf32": 2**-10, "float32": 1e-5}


@dataclass
class _Ready:
    """A side that has given the right result, and its calls."""

    side: Side
    inputs: Inputs
    pool: Callable[[], Tensor]
    error: float
    first_s: float
    extra: dict[str, float]  # mode → bytes

    def forward(self) -> Tensor:
        with torch.no_grad(), self.side.context():
            return self.pool()

    def both(self) -> tuple[Tensor, ...]:
        with self.side.context():
            return self._gradients(self.pool())

    def graph(self) -> Tensor:
        """The forward pass of a training step."""
        with self.side.context():
            return self.pool()

    def backward(self, pooled: Tensor) -> tuple[Tensor, ...]:
        """The backward pass alone; the graph is freed by it, as in training."""
        with self.side.context():
            return self._gradients(pooled)

    def _gradients(self, pooled: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(pooled, self.inputs.leaves, self.inputs.cotangent.to(pooled.dtype))


def device_name(device: str) -> str:
    """The accelerator's name as its maker has it, or "cpu"."""
    return torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else "cpu"


class Sweep:
    """Runs cases on `device` into the CSV at `path`; cases that stand there already are not run again.

    `interpreted`: Triton runs its kernels in the interpreter (on the CPU), so that they are a side too.
    """

    def __init__(self, device: str, path: Path, *, interpreted: bool = False, budget_s: float = 0.4) -> None:
        self._device, self._path = device, path
        self._ours = available(device, interpreted=interpreted)
        self._timer = DeviceTimer(device, budget_s=budget_s)
        self._compiled = Compiled(device)
        self._size: tuple[int, int, int] | None = None
        self._bytes_per_s: float | None = None
        self._origin = {"device": device_name(device), "torch": torch.__version__, "triton": _triton()}
        self.rows = read_rows(path) if path.exists() else []
        for row in self.rows:
            found = {name: getattr(row, name) for name in self._origin}
            if found != self._origin:
                raise ValueError(
                    f"{path} holds rows of {found}, this is {self._origin}: choose another --out"
                )

    def run(
        self, cases: Iterable[Case], *, until: float = math.inf, tell: Callable[[str], None] = print
    ) -> bool:
        """Measure what is missing; False where `until` (of `time.monotonic`) came first."""
        done = {row.case for row in self.rows}
        for case in cases:
            if case.key in done:
                continue
            if time.monotonic() > until:
                return False
            began = time.monotonic()
            try:
                rows = self._measure(case)
            except torch.OutOfMemoryError:  # not of one side, but of the inputs or of all sides together
                rows = [self._row(case, name, mode, status=_FULL) for name in case.sides for mode in MODES]
                _free(self._device)
            self.rows += rows
            write_rows(self._path, self.rows)
            tell(f"{case}  ({time.monotonic() - began:.1f} s)")
            for row in rows:
                if row.status != OK and row.mode == FORWARD:
                    tell(f"  {row.side}: {row.status}")
        return True

    def drop_older(self, part: str) -> None:
        """Forget the rows of a part that were measured before rows of other parts."""
        others = max((row.date for row in self.rows if row.part != part), default="")
        if any(row.part == part and row.date < others for row in self.rows):
            self.rows = [row for row in self.rows if row.part != part]

    def _measure(self, case: Case) -> list[Row]:
        if case.size != self._size:  # other (D, L, K): what was compiled for the last is of no use
            self._compiled.forget()
            self._size = case.size
        inputs = make_inputs(
            case.lengths, case.size, dtype=torch.bfloat16, device=self._device, features=case.features
        )
        wanted = reference(inputs, gradients=True)
        ready, failed = self._prepare(case, inputs, wanted)
        del wanted
        _free(self._device)
        rows = [self._row(case, each, mode, status=told) for each, told in failed.items() for mode in MODES]
        for mode in MODES:
            seconds = self._time(mode, ready, inputs)
            rate = yardstick_flops(_shape(inputs)) / seconds[YARDSTICK].median
            roofline = Roofline(rate, self._bandwidth())
            for name, taken in seconds.items():
                if name == YARDSTICK:
                    row = self._row(case, name, mode, seconds=taken)
                    rows.append(replace(row, tflops=rate / 1e12, mm_share=1.0))
                else:
                    rows.append(self._rated(case, ready[name], mode, taken, roofline))
        del ready
        _free(self._device)
        return rows

    def _prepare(
        self, case: Case, inputs: Inputs, wanted: Sequence[Tensor]
    ) -> tuple[dict[str, _Ready], dict[str, str]]:
        """The sides that give the right result, and why the others cannot be timed."""
        ready: dict[str, _Ready] = {}
        failed: dict[str, str] = {}
        plain: dict[str, float] = {}  # precision → error of eager
        copies = {torch.bfloat16: inputs}
        for name in case.sides:
            one = side(name, self._compiled)
            bare = name.removesuffix("_tf32").removesuffix("_fp32")
            if bare in OURS and bare not in self._ours:
                continue
            try:
                if one.dtype not in copies:
                    copies[one.dtype] = inputs.to(one.dtype)
                made = self._check(one, copies[one.dtype], wanted)
            except torch.OutOfMemoryError:
                failed[name] = _FULL
                _free(self._device)
                continue
            except torch.AcceleratorError:
                raise  # the device has lost its state: nothing after this can be believed
            except Exception as error:  # noqa: BLE001 - a side that cannot run is a result, told in its row
                told = next(iter(str(error).strip().splitlines()), "")[:200]
                failed[name] = f"failed: {type(error).__name__}: {told}"
                continue
            precision = "tf32" if one.tf32 else str(one.dtype).removeprefix("torch.")
            if bare in ("eager", "loop_eager"):
                plain[precision] = made.error
            elif made.error > 2 * plain.get(precision, 0.0) + _ALLOWED[precision]:
                failed[name] = f"wrong: relative error {made.error:.2g}"
                continue
            ready[name] = made
        return ready, failed

    def _check(self, one: Side, inputs: Inputs, wanted: Sequence[Tensor]) -> _Ready:
        began = time.perf_counter()
        with one.context():
            made = _Ready(one, inputs, one.bind(inputs), math.nan, math.nan, {})
        pooled = made.forward()
        gradients = made.both()
        _wait(self._device)
        made.first_s = time.perf_counter() - began
        # bw has no gradient through pooled; what rounding leaves of it is compared with nothing.
        found = [pooled, *gradients[:-1]]
        made.error = max(relative_error(a, b) for a, b in zip(found, wanted[: len(found)], strict=True))
        del pooled, gradients, found
        made.extra = {
            FORWARD: extra_bytes(self._device, made.forward),
            BOTH: extra_bytes(self._device, made.both),
        }
        return made

    def _time(self, mode: str, ready: dict[str, _Ready], inputs: Inputs) -> dict[str, Seconds]:
        calls = {name: getattr(each, mode) for name, each in ready.items()}
        before = {name: each.graph for name, each in ready.items()} if mode == BACKWARD else {}
        return self._timer.interleaved({YARDSTICK: self._yardstick(inputs), **calls}, before)

    def _yardstick(self, inputs: Inputs) -> Callable[[], object]:
        h = inputs.h.detach()
        both = torch.cat([inputs.parameters[0], inputs.parameters[2]]).detach().T.contiguous()  # (D, 2L)
        out = torch.empty(len(h), both.shape[1], dtype=h.dtype, device=h.device)
        return lambda: torch.mm(h, both, out=out)

    def _bandwidth(self) -> float:
        """Bytes/s, read and written, of a large copy, measured once."""
        if self._bytes_per_s is None:
            count = (2 << 30) if torch.device(self._device).type == "cuda" else (64 << 20)
            source = torch.ones(count, dtype=torch.int8, device=self._device)
            target = torch.empty_like(source)
            seconds = self._timer.interleaved({"copy": lambda: target.copy_(source)})["copy"]
            self._bytes_per_s = 2 * count / seconds.median
        return self._bytes_per_s

    def _rated(self, case: Case, made: _Ready, mode: str, seconds: Seconds, roofline: Roofline) -> Row:
        shape = _shape(made.inputs)
        work = cost(shape, mode, features=case.features)
        rate = gemm_flops(shape, mode, features=case.features) / seconds.median
        return replace(
            self._row(case, made.side.name, mode, seconds=seconds),
            extra_mib=made.extra.get(mode, math.nan) / 2**20,
            tflops=work.flops / seconds.median / 1e12,
            mm_share=rate / roofline.flops_per_s,
            roofline_share=roofline.seconds(work) / seconds.median,
            error=made.error,
            first_s=made.first_s,
        )

    def _row(
        self, case: Case, name: str, mode: str, *, status: str = OK, seconds: Seconds | None = None
    ) -> Row:
        nan = math.nan
        middle, low, high = quantiles(seconds.rounds) if seconds else (nan, nan, nan)
        rounds = len(seconds.rounds) if seconds else 0
        return Row(
            *(case.part, len(case.lengths), sum(case.lengths), *case.size, case.features, name, mode, status),
            *(middle * 1e3, low * 1e3, high * 1e3, rounds, nan, nan, nan, nan, nan, nan),
            **self._origin,
            date=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def _shape(inputs: Inputs) -> Shape:
    hidden, branches = len(inputs.parameters[0]), len(inputs.parameters[4])
    return Shape(*inputs.h.shape, hidden, branches, inputs.h.element_size())


def _wait(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def _free(device: str) -> None:
    gc.collect()
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()


def _triton() -> str:
    try:
        return version("triton")
    except PackageNotFoundError:
        return "none"
