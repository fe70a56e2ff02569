"""The figures of a sweep, from times that are known: each key is the ratio that it says."""

import math
from dataclasses import replace

import pytest

from benchmarks.attention.figures import record_figures
from benchmarks.attention.plan import FULL
from benchmarks.harness import Benchmark
from tests.benchmarks.attention.rows_of import rows_of

#: Milliseconds of each side whatever the shape; "_fp32" and "_tf32" change nothing here.
TIMES = {
    **{"mm": 3.0, "eager": 12.0, "compile_dynamic": 10.0, "compile_static": 9.0, "compile_autotuned": 6.0},
    **{"loop_eager": 40.0, "loop_compiled": 20.0, "padded_eager": 16.0, "reference": 50.0},
    **{"chunked_store": 5.0, "chunked_recompute": 7.0, "triton_store": 6.0, "triton_recompute": 4.0},
    **{"auto": 4.0, "auto_recompute": 8.0},
}


def milliseconds(case, side, mode):
    slow = {"triton": (2560, 512, 8), "auto": (1024, 256, 4)}.get(side.partition("_")[0]) == case.size
    return TIMES[side.removesuffix("_fp32").removesuffix("_tf32")] * (5 if slow and mode == "both" else 1)


def mebibytes(case, side, mode):
    held = {
        "triton_recompute": 60.0,
        "chunked_recompute": 70.0,
        "auto_recompute": 80.0,
        "auto": 900.0,
        "eager": 5e3,
    }
    return held.get(side, 1.0) + (case.size[0] == 2560 and mode == "both")


@pytest.fixture(scope="module")
def rows():
    return rows_of(FULL, milliseconds, extra_mib=mebibytes)


def figures(rows):
    benchmark = Benchmark("gated_attention", quick=False)
    record_figures(benchmark, rows)
    return benchmark.figures


def test_keys_and_ratios(rows):
    found = {key: figure.value for key, figure in figures(rows).items()}
    wanted = {
        "roofline_share_fwd": 3 / 4,
        "roofline_share_fwd_chunked": 3 / 5,
        "roofline_share_fwd_triton": 3 / 4,
        "fwd_vs_compile_1024_256": 9 / 4,  # the faster of the two ways that take no tuning
        "fwd_vs_compile_1024_256_chunked": 9 / 5,
        "fwd_vs_compile_384_128": 9 / 4,
        "fwd_vs_compile_384_128_triton": 9 / 4,
        "fwd_vs_autotuned_1024_256": 6 / 4,
        "packed_vs_loop": 40 / 4,
        "packed_vs_compiled_loop": 20 / 4,
        "packed_vs_padded_384_128_fwd": 16 / 4,
        "extra_mib_1m": 81.0,  # the worst of the sizes
        "extra_mib_1m_chunked": 71.0,
        "extra_mib_1m_triton": 61.0,
        "extra_mib_1m_auto": 901.0,
        "extra_mib_1m_eager": 5001.0,
        "worst_vs_eager": 12 / 20,
        "worst_vs_eager_triton": 12 / 20,
        "worst_vs_eager_chunked": 12 / 5,
    }
    assert {key: found[key] for key in wanted} == pytest.approx(wanted)


def test_the_worst_shape_is_named(rows):
    found = figures(rows)
    assert "both, N 65,536, D 1024, L 256, K 4; below 0.95 in 2 of" in found["worst_vs_eager"].shown
    assert "both, N 65,536, D 2560, L 512, K 8; below 0.95 in 2 of" in found["worst_vs_eager_triton"].shown


def test_small_bags_do_not_count(rows):
    few = [replace(row, rows=999, ms=row.ms * (100 if row.side == "auto" else 1)) for row in rows[-30:]]
    assert {row.side for row in few} == {"mm", "eager", "auto"}
    assert figures([*few, *rows])["worst_vs_eager"].value == pytest.approx(12 / 20)


def test_parts_that_were_not_run_leave_their_figures_out(rows):
    assert figures([]) == {}
    only = figures([row for row in rows if row.part == "headline"])
    assert "roofline_share_fwd_triton" in only
    assert not {"roofline_share_fwd", "packed_vs_loop", "worst_vs_eager"} & set(only)
    failed = [
        replace(row, status="out of memory", ms=math.nan) if row.side.startswith("triton") else row
        for row in rows
    ]
    assert "roofline_share_fwd_triton" not in figures(failed)
    assert "roofline_share_fwd_chunked" in figures(failed)


def test_where_memory_is_not_counted_there_is_no_figure(rows):
    bare = [replace(row, extra_mib=math.nan) for row in rows]
    assert not [key for key in figures(bare) if key.startswith("extra_mib")]
