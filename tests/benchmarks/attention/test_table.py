"""The table of winners: every shape of the sweep, in the order that was measured, read back by the kernels."""

import math
from dataclasses import replace
from functools import partial

import torch

from benchmarks.attention.plan import FULL, PARTS, plan
from benchmarks.attention.table import winners_of
from slidelake.kernels import winners, write_winners
from tests.benchmarks.attention.rows_of import rows_of


def milliseconds(case, side, mode):
    """Chunks win from L 512 on; with gradients the other modes do; float32 turns it round."""
    chunked = (case.size[1] >= 512) != side.endswith("_fp32")
    store = (mode == "forward") == ("store" in side)
    return 1.0 + (("chunked" in side) != chunked) + 0.25 * store + 5 * (side == "reference")


def test_every_shape_has_its_order():
    rows = rows_of(FULL, milliseconds)
    table = winners_of(rows)
    keys = [(each.dtype, each.rows, each.dim, each.hidden, each.branches) for each in table]
    assert len(set(keys)) == len(keys)
    half = {
        (sum(c.lengths), *c.size)
        for p in PARTS
        for c in plan(p)
        if p in ("headline", "rows", "shapes", "branches")
    }
    assert {key[1:] for key in keys if key[0] == "bfloat16"} == half
    assert {key[1:] for key in keys if key[0] == "float32"} == {
        (sum(c.lengths), *c.size) for c in plan("float32")
    }
    found = dict(zip(keys, table, strict=True))
    small, large = found["bfloat16", 4096, 512, 128, 1], found["bfloat16", 1 << 20, 512, 512, 1]
    assert small.forward == ("triton", "chunked", "eager")
    assert small.training[:4] == ("triton+store", "triton+recompute", "chunked+store", "chunked+recompute")
    assert small.training[4:] == ("eager",)
    assert large.forward == ("chunked", "triton")
    assert large.training[0] == "chunked+store"
    assert found["float32", 4096, 1024, 256, 1].forward == ("chunked", "triton")


def test_what_did_not_run_is_not_in_the_order():
    rows = rows_of(FULL, milliseconds)
    failed = [replace(row, status="wrong: x", ms=math.nan) if "triton" in row.side else row for row in rows]
    assert all(
        "triton" not in mode for each in winners_of(failed) for mode in (*each.forward, *each.training)
    )
    assert winners_of([row for row in rows if row.part in ("features", "ragged", "default")]) == []
    assert winners_of([row for row in rows if row.mode != "both"]) == []


def test_the_first_part_that_has_a_shape_stands():
    rows = rows_of(FULL, milliseconds)
    slow = [
        replace(row, ms=row.ms * 100) if row.part == "rows" and row.side == "triton_store" else row
        for row in rows
    ]
    headline = {(each.rows, each.dim): each for each in winners_of(slow) if each.dtype == "bfloat16"}
    assert headline[1 << 20, 384].training[0].startswith("triton")


def test_the_kernels_follow_the_table(tmp_path, monkeypatch):
    write_winners("A Device", winners_of(rows_of(FULL, milliseconds)), folder=tmp_path)
    monkeypatch.setattr(winners, "read_winners", partial(winners.read_winners, folder=tmp_path))
    assert winners.winner("A Device", torch.bfloat16, 5000, 500, 120, 1).forward[0] == "triton"
    assert winners.winner("A Device", torch.bfloat16, 900_000, 500, 500, 1).forward[0] == "chunked"
    assert winners.winner("A Device", torch.float32, 5000, 500, 120, 1).forward[0] == "chunked"
