"""Rows of a sweep that nobody measured: times from a rule, to test what is made of rows."""

import math
from collections.abc import Callable

from benchmarks.attention.plan import PARTS, Case, Scale, plan
from benchmarks.attention.rows import MODES, OK, Row

#: (case, side, mode) → milliseconds.
Rule = Callable[[Case, str, str], float]


def rows_of(scale: Scale, rule: Rule, *, extra_mib: Rule = lambda *_: math.nan) -> list[Row]:
    """Every row that the plan of `scale` asks for, and the yardstick's."""
    return [
        Row(
            *(case.part, len(case.lengths), sum(case.lengths), *case.size, case.features, side, mode, OK),
            *(rule(case, side, mode) * spread for spread in (1.0, 0.9, 1.1)),
            rounds=20,
            extra_mib=extra_mib(case, side, mode),
            tflops=1.0,
            mm_share=rule(case, "mm", mode) / rule(case, side, mode),
            roofline_share=0.5,
            error=1e-3,
            first_s=1.0,
            device="a device",
            torch="2.11.0",
            triton="3.6.0",
            date="2026-11-21T12:00:00+00:00",
        )
        for part in PARTS
        for case in plan(part, scale)
        for mode in MODES
        for side in ("mm", *case.sides)
    ]
