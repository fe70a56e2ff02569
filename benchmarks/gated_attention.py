"""Gated attention pooling: the chunked back end on the CPU, and all back ends on a GPU where there is one.

    python -m benchmarks.gated_attention --quick
    python -m benchmarks.gated_attention --device cuda --part headline     one part of the sweep on a GPU
    python -m benchmarks.gated_attention --check                           the tests on a GPU, without pytest

On the CPU: memory and time of the chunked back end beside the eager one (float32, D 512, L 256, K 1, frozen
features). On a GPU: plain torch (eager, compiled), chunked and Triton over N, D, L, K and packed ragged bags, in
parts; the rows go into a CSV beside the JSON, and a run goes on where the last one ended. `--device cpu` rehearses
the sweep on tiny shapes (with TRITON_INTERPRET=1 the Triton kernels too). Needs torch and numpy; Triton for its rows.
"""

import argparse
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.attention import cpu
from benchmarks.attention.check import collect, run
from benchmarks.attention.figures import record_figures
from benchmarks.attention.plan import FULL, PARTS, TINY, plan
from benchmarks.attention.rows import FORWARD, OK
from benchmarks.attention.sweep import Sweep, device_name
from benchmarks.attention.table import winners_of
from benchmarks.harness import Benchmark, argument_parser
from slidelake.kernels import write_winners

NAME = "gated_attention"
RESULTS = Path(__file__).resolve().parent / "results"
TESTS = "tests.kernels.test_gated_attention_gpu"


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parse(argv)
    if arguments.check:
        return _check(arguments)
    if arguments.device:
        return _sweep(arguments, arguments.device, arguments.out)
    benchmark = Benchmark(NAME, quick=arguments.quick)
    cpu.measure(benchmark)
    failed = benchmark.finish(out=arguments.out)
    if torch.cuda.is_available():
        failed |= _sweep(arguments, "cuda", None)
    return failed


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argument_parser(__doc__)
    parser.add_argument(
        "--device", choices=("cuda", "cpu"), help="the sweep alone; cpu: tiny shapes, a rehearsal"
    )
    parser.add_argument(
        "--part", action="append", choices=PARTS, help="of the sweep; all where none is named"
    )
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="start no measurement after these"
    )
    parser.add_argument("--again", action="store_true", help="measure anew what stands in the CSV")
    parser.add_argument("--check", action="store_true", help=f"run {TESTS} without pytest")
    parser.add_argument("-k", default="", metavar="TEXT", help="of --check: tests whose name holds this")
    return parser.parse_args(argv)


def _check(arguments: argparse.Namespace) -> int:
    os.environ["SLIDELAKE_TEST_DEVICE"] = arguments.device or "cuda"
    tests = collect(TESTS, only=arguments.k)
    failed = run(tests, tell=lambda line: print(line, flush=True))
    print(
        f"{len(tests) - len(failed)} passed, {len(failed)} failed on {device_name(arguments.device or 'cuda')}"
    )
    return 1 if failed or not tests else 0


def _sweep(arguments: argparse.Namespace, device: str, out: Path | None) -> int:
    ends = time.monotonic() + 60 * arguments.minutes
    rehearsal = device == "cpu" or arguments.quick
    scale = TINY if rehearsal else FULL
    slug = re.sub(r"\W+", "_", device_name(device).lower()).strip("_")
    out = out or RESULTS / f"{NAME}.{slug}{'.quick' if rehearsal else ''}.json"
    if arguments.again:
        out.with_suffix(".csv").unlink(missing_ok=True)
    try:
        sweep = Sweep(
            device,
            out.with_suffix(".csv"),
            interpreted=os.environ.get("TRITON_INTERPRET") == "1",
            budget_s=0.01 if rehearsal else 0.4,
        )
    except ValueError as error:
        raise SystemExit(str(error)) from error
    table = {"folder": out.with_suffix(".winners")} if rehearsal else {}  # no call may find a rehearsal's
    unfinished = ""
    for part in arguments.part or PARTS:
        if part == "default":  # it follows what the other parts found
            _write_table(sweep, device, table)
            sweep.drop_older(part)
        if not sweep.run(plan(part, scale), until=ends, tell=lambda line: print(line, flush=True)):
            unfinished = part
            break
    _write_table(sweep, device, table)
    benchmark = Benchmark(NAME, quick=rehearsal, gpu=device_name(device) if device != "cpu" else None)
    record_figures(benchmark, sweep.rows, scale)
    bad = {f"{row.side}, {row.status}" for row in sweep.rows if row.status != OK and row.mode == FORWARD}
    for told in sorted(bad):
        benchmark.note(told)
    benchmark.note(f"winners in {table.get('folder', 'kernels/winners')}")
    if unfinished:
        benchmark.note(f"out of time in part {unfinished}: the same command goes on")
    benchmark.finish(out=out)
    return 1 if any("wrong" in told or "failed" in told for told in bad) else 0


def _write_table(sweep: Sweep, device: str, where: dict[str, Path]) -> None:
    winners = winners_of(sweep.rows)
    if winners:
        write_winners(device_name(device), winners, **where)


if __name__ == "__main__":
    sys.exit(main())
