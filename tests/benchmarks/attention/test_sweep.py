"""A sweep on the CPU: rows of every side and mode, wrong results refused, and what stands is not measured again."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from benchmarks.attention import sides
from benchmarks.attention.plan import FULL, PARTS, TINY, Case, plan
from benchmarks.attention.rows import MODES, OK, read_rows, write_rows
from benchmarks.attention.sweep import Sweep
from slidelake.kernels import gated_attention_pool

CASES = [
    Case(
        "headline",
        (97,),
        (24, 16, 2),
        ("eager", "compile_dynamic", "chunked_store", "triton_store", "auto", "chunked_store_tf32"),
    ),
    Case("ragged", (30, 7), (24, 16, 2), ("loop_eager", "padded_eager", "auto"), features=True),
]


def quiet(line: str) -> None:
    pass


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    path = tmp_path_factory.mktemp("sweep") / "rows.csv"
    sweep = Sweep("cpu", path, budget_s=0.0)
    assert sweep.run(CASES, tell=quiet)
    return path, sweep.rows


def test_every_side_in_every_mode(swept):
    _, rows = swept
    # Triton has no device here, and no interpreter was said to be there.
    wanted = [("mm", *(name for name in case.sides if name != "triton_store")) for case in CASES]
    assert {(row.part, row.side, row.mode) for row in rows} == {
        (case.part, name, mode)
        for case, names in zip(CASES, wanted, strict=True)
        for name in names
        for mode in MODES
    }
    for row in rows:
        assert row.status == OK
        assert row.ms_low <= row.ms <= row.ms_high
        assert row.rounds >= 5
        assert row.tflops > 0
        if row.side != "mm":
            assert 0 < row.error < 0.05
            assert row.mm_share > 0
            assert row.roofline_share > 0
    ragged = next(row for row in rows if row.part == "ragged")
    assert ragged.shape == (2, 37, 24, 16, 2, True)
    yardstick = {row.mode: row.ms for row in rows if row.side == "mm" and row.part == "headline"}
    for row in rows:
        if row.part == "headline" and row.side != "mm":
            products = {"forward": 1, "backward": 1, "both": 2}[row.mode]  # frozen features
            assert row.mm_share == pytest.approx(products * yardstick[row.mode] / row.ms, rel=1e-4)


def test_rows_come_back_from_the_file(swept, tmp_path):
    path, rows = swept
    again = read_rows(path)
    assert len(again) == len(rows)
    for row, back in zip(rows, again, strict=True):
        assert back.case == row.case
        assert back.ms == pytest.approx(row.ms, rel=1e-5)
        assert math.isnan(back.extra_mib)  # a CPU's is measured by a process of its own
    write_rows(tmp_path / "copy.csv", again)
    assert (tmp_path / "copy.csv").read_bytes() == path.read_bytes()


def test_a_later_run_measures_what_is_missing(swept, tmp_path):
    _, rows = swept
    there = tmp_path / "rows.csv"
    write_rows(there, [row for row in rows if row.part == "headline"])
    told = []
    assert Sweep("cpu", there, budget_s=0.0).run(CASES, tell=told.append)
    assert [line.split(":")[0] for line in told] == ["ragged"]
    assert {row.case for row in read_rows(there)} == {row.case for row in rows}
    before = there.read_bytes()
    assert Sweep("cpu", there, budget_s=0.0).run(CASES, tell=told.append)
    assert len(told) == 1
    assert there.read_bytes() == before


def test_rows_that_others_have_overtaken_are_dropped(swept, tmp_path):
    _, rows = swept
    there = tmp_path / "rows.csv"
    ends = max(row.date for row in rows)
    for date, kept in (("2026-01-01T00:00:00+00:00", False), (ends, True)):
        write_rows(there, [*rows, replace(rows[0], part="default", date=date)])
        sweep = Sweep("cpu", there)
        sweep.drop_older("default")
        assert any(row.part == "default" for row in sweep.rows) == kept
        assert len(sweep.rows) == len(rows) + kept


def test_a_run_out_of_time_says_so(tmp_path):
    assert not Sweep("cpu", tmp_path / "rows.csv", budget_s=0.0).run(CASES, until=0.0, tell=quiet)
    assert not (tmp_path / "rows.csv").exists()


def test_rows_of_another_device_are_not_gone_on_with(swept, tmp_path):
    path, _ = swept
    other = tmp_path / "rows.csv"
    other.write_text(path.read_text().replace(",cpu,", ",NVIDIA H200,"))
    with pytest.raises(ValueError, match=r"NVIDIA H200.*choose another --out"):
        Sweep("cpu", other)
    other.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="other columns"):
        Sweep("cpu", other)


def test_a_side_with_a_wrong_result_has_no_time(tmp_path, monkeypatch):
    def wrong(*arguments, save, backend):
        pooled, *rest = gated_attention_pool(*arguments, backend=backend, save=save)
        if save == "store":
            raise RuntimeError("no room\nfor this")
        return pooled * 1.05, *rest

    monkeypatch.setattr(sides, "gated_attention_pool", wrong)
    told = []
    sweep = Sweep("cpu", tmp_path / "rows.csv", budget_s=0.0)
    sweep.run(
        [Case("rows", (50,), (24, 16, 1), ("eager", "chunked_recompute", "chunked_store"))], tell=told.append
    )
    found = {row.side: row for row in sweep.rows}
    assert found["eager"].status == OK
    assert found["chunked_recompute"].status.startswith("wrong: relative error 0.05")
    assert math.isnan(found["chunked_recompute"].ms)
    assert found["chunked_store"].status == "failed: RuntimeError: no room"
    assert sum("chunked" in line for line in told) == 2
    assert {row.side: row.status for row in read_rows(tmp_path / "rows.csv")} == {
        side: row.status for side, row in found.items()
    }


def test_tf32_is_allowed_within_its_side_only():
    one = sides.side("chunked_store_tf32", sides.Compiled("cpu"))
    with one.context():
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize("scale", [FULL, TINY], ids=["full", "tiny"])
def test_plans(scale):
    """No case twice in a part, every side known; what is compiled for one (D, L, K) is run in a row."""
    compiled = sides.Compiled("cpu")
    for part in PARTS:
        cases = plan(part, scale)
        assert len({case.key for case in cases}) == len(cases) > 0
        assert all(sides.side(name, compiled).name == name for case in cases for name in case.sides)
        if part == "default":  # headline and ragged, which share two sizes
            continue
        sizes = [case.size for case in cases]
        changes = sum(a != b for a, b in pairwise(sizes))
        assert changes == len(set(sizes)) - 1
    with pytest.raises(ValueError, match="no part is called 'all'"):
        plan("all")


def test_the_full_plan_covers_what_is_promised():
    cases = [case for part in PARTS for case in plan(part)]
    assert {1 << 10, 1 << 20, 1 << 21} <= {sum(case.lengths) for case in cases}
    for place, (least, most) in enumerate([(384, 2560), (128, 512), (1, 8)]):
        values = {case.size[place] for case in cases}
        assert (min(values), max(values)) == (least, most)
    assert {len(case.lengths) for case in cases} == {1, 64}
    # Every bfloat16 shape is measured once more as a user gets it who chooses nothing.
    again = {case.key[1:] for case in plan("default")}
    assert again == {case.key[1:] for case in cases if case.part != "float32"}
    assert all("auto" in case.sides for case in plan("default"))
