"""The protocol of every benchmark: rounds in turns, medians with their range, a table, one JSON line, --out FILE."""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = [
    "Arguments",
    "Benchmark",
    "Figure",
    "argument_parser",
    "interleaved",
    "machine",
    "parse_arguments",
    "versions",
]

_PACKAGES = (
    "slidelake",
    "numpy",
    "numba",
    "torch",
    "triton",
    "zarr",
    "lancedb",
    "openslide-bin",
    "opencv-python-headless",
)


@dataclass(frozen=True)
class Arguments:
    """What every benchmark takes: `quick` ends within 50 s on 2 cores, `out` gets the JSON as well."""

    quick: bool
    out: Path | None


@dataclass(frozen=True)
class Figure:
    """One result: the median of its rounds, with least and most; `shown` beside it in the table."""

    value: float
    least: float
    most: float
    rounds: int
    shown: str = ""


def argument_parser(description: str | None) -> argparse.ArgumentParser:
    """The parser of --quick and --out FILE, for a benchmark that takes more than these."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="smaller inputs, within 50 s on 2 cores")
    parser.add_argument("--out", type=Path, help="file to write the JSON to as well")
    return parser


def parse_arguments(description: str | None, argv: Sequence[str] | None = None) -> Arguments:
    """Read --quick and --out FILE from the command line."""
    parsed = argument_parser(description).parse_args(argv)
    return Arguments(quick=parsed.quick, out=parsed.out)


def interleaved(
    sides: Mapping[str, Callable[[], Any]], *, rounds: int = 5, warm: bool = True
) -> dict[str, list[float]]:
    """Wall seconds of each side, taken in turns: a slow minute of the machine falls on all of them.

    With `warm` each side runs once before, not counted.
    """
    if warm:
        for side in sides.values():
            side()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            began = time.perf_counter()
            side()
            seconds[name].append(time.perf_counter() - began)
    return seconds


@dataclass
class Benchmark:
    """Collects figures and notes under fixed keys, prints them, and ends with the JSON line."""

    name: str
    quick: bool
    #: The accelerator's name as a script that works on one has it; else the driver's list is read.
    gpu: str | None = None
    figures: dict[str, Figure] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def record(self, key: str, values: Sequence[float] | float, *, shown: str = "") -> None:
        """Keep the median of one value a round; raises ValueError on a key that is taken or on no values."""
        rounds = [float(values)] if isinstance(values, (int, float)) else [float(value) for value in values]
        if key in self.figures or not rounds:
            raise ValueError(f"figure {key!r} has no values or stands already")
        self.figures[key] = Figure(statistics.median(rounds), min(rounds), max(rounds), len(rounds), shown)

    def note(self, text: str) -> None:
        """A line for people below the table."""
        self.notes.append(text)

    def result(self) -> dict[str, Any]:
        """The JSON object of the last line; a figure that is not finite is null."""
        return {
            "benchmark": self.name,
            "quick": self.quick,
            "figures": {key: _number(figure.value) for key, figure in self.figures.items()},
            "ranges": {
                key: [_number(figure.least), _number(figure.most)]
                for key, figure in self.figures.items()
                if figure.rounds > 1
            },
            "machine": machine() if self.gpu is None else {**machine(), "gpu": self.gpu},
            "versions": versions(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def finish(self, out: Path | None = None) -> int:
        """Print table, notes and JSON (also into `out`); returns the exit code 0."""
        width = max((len(key) for key in self.figures), default=0)
        for key, figure in self.figures.items():
            spread = (
                f"  ({figure.least:.4g} to {figure.most:.4g}, {figure.rounds} rounds)"
                if figure.rounds > 1
                else ""
            )
            shown = f"  {figure.shown}" if figure.shown else ""
            print(f"{key:{width}}  {figure.value:10.4g}{spread}{shown}")
        for note in self.notes:
            print(note)
        line = json.dumps(self.result())
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(line + "\n", encoding="utf-8")
        print(line, flush=True)
        return 0


def machine() -> dict[str, Any]:
    """Cores that this process may use, the processor, the GPU (None where there is none)."""
    return {"cores": len(os.sched_getaffinity(0)), "cpu": _cpu(), "gpu": _gpu()}


def versions() -> dict[str, str]:
    """Python's version and those of the packages that figures depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if value == value and abs(value) != float("inf") else None


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu() -> str | None:
    # Asking torch would load it, which takes longer than some benchmarks: the driver's own list says the same.
    cards = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    for card in cards:
        for line in card.read_text(encoding="utf-8").splitlines():
            if line.startswith("Model"):
                return line.partition(":")[2].strip()
    return None
