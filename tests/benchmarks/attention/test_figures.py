"""The figures of a sweep, from times that are known: each key is the ratio that it says."""

import math
from dataclasses import replace

import pytest

from benchmarks.attention.figures import record_figures
from benchmarks.attention.plan import FULL
from benchmarks.attention.rows import BOTH, FORWARD
from benchmarks.harness import Benchmark
from tests.benchmarks.attention.rows_of import rows_of

#: Milliseconds of every side whose name begins so, whatever the shape.
TIMES = {
    **{"mm": 3.0, "eager": 12.0, "compile_dynamic": 10.0, "compile_static": 9.0, "compile_autotuned": 6.0},
    **{"loop_eager": 40.0, "loop_compiled": 20.0, "padded_eager": 16.0, "reference": 50.0},
    **{"chunked": 5.0, "triton": 4.0},
}


def milliseconds(case, side, mode):
    name = next(name for name in sorted(TIMES, key=len, reverse=True) if side.startswith(name))
    slow = side == "triton" and case.size == (2560, 512, 8) and mode == BOTH
    return TIMES[name] * (5 if slow else 1)


def mebibytes(case, side, mode):
    return {"triton_recompute": 60.0, "chunked_recompute": 70.0, "triton": 900.0, "eager": 5000.0}.get(
        side, 1.0
    ) + (case.size[0] == 2560) * (mode == BOTH)


@pytest.fixture(scope="module")
def rows():
    return rows_of(FULL, milliseconds, extra_mib=mebibytes)


def figures(rows, chosen=lambda row: "triton"):
    benchmark = Benchmark("gated_attention", quick=False)
    record_figures(benchmark, rows, chosen)
    return benchmark.figures


def test_keys_and_ratios(rows):
    found = {key: figure.value for key, figure in figures(rows).items()}
    wanted = {
        "roofline_share_fwd": 3 / 4,
        "roofline_share_fwd_chunked": 3 / 5,
        "fwd_vs_compile_1024_256": 9 / 4,  # the faster of the two ways that take no tuning
        "fwd_vs_compile_384_128": 9 / 4,
        "fwd_vs_autotuned_1024_256": 6 / 4,
        "packed_vs_loop": 40 / 4,
        "packed_vs_compiled_loop": 20 / 4,
        "packed_vs_padded_384_128_fwd": 16 / 4,
        "extra_mib_1m": 61.0,  # the worst of the shapes
        "extra_mib_1m_chunked": 71.0,
        "extra_mib_1m_auto": 901.0,
        "extra_mib_1m_eager": 5001.0,
        "worst_vs_eager": 12 / 20,
        "worst_vs_eager_triton": 12 / 20,
        "worst_vs_eager_chunked": 12 / 5,
    }
    assert {key: found[key] for key in wanted} == pytest.approx(wanted)


def test_the_default_is_what_was_chosen(rows):
    def chosen(row):
        return "chunked" if row.branches == 8 else "triton"

    found = figures(rows, chosen)
    assert found["worst_vs_eager"].value == pytest.approx(12 / 5)
    assert found["worst_vs_eager_triton"].value == pytest.approx(12 / 20)
    assert "N 65,536, D 2560, L 512, K 8" in found["worst_vs_eager_triton"].shown
    assert "both" in found["worst_vs_eager_triton"].shown
    assert "below 0.95 in 2 of" in found["worst_vs_eager_triton"].shown


def test_small_bags_do_not_count(rows):
    few = [replace(row, rows=999, ms=row.ms * (100 if row.side == "triton" else 1)) for row in rows[:60]]
    assert figures([*few, *rows])["worst_vs_eager"].value == pytest.approx(12 / 20)


def test_parts_that_were_not_run_leave_their_figures_out(rows):
    assert figures([]) == {}
    only = figures([row for row in rows if row.part == "ragged"])
    assert only
    assert all(key.startswith("packed_vs_") for key in only)
    failed = [
        replace(row, status="out of memory", ms=math.nan) if row.side == "triton" else row for row in rows
    ]
    assert "roofline_share_fwd" not in figures(failed)
    assert "roofline_share_fwd_chunked" in figures(failed)


def test_where_memory_is_not_counted_there_is_no_figure(rows):
    bare = [replace(row, extra_mib=math.nan) for row in rows if row.mode in (FORWARD, BOTH)]
    assert not [key for key in figures(bare) if key.startswith("extra_mib")]
