"""From the rows of a sweep to the figures that documents name. Ratios of times are theirs over ours: more is better."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from benchmarks.attention.plan import FULL, Scale
from benchmarks.attention.rows import BOTH, FORWARD, OK, Row
from benchmarks.harness import Benchmark

__all__ = ["Chosen", "record_figures"]

#: (shape of a row, mode) → the side that is the default there.
Chosen = Callable[[Row], str]


def record_figures(benchmark: Benchmark, rows: Sequence[Row], chosen: Chosen, scale: Scale = FULL) -> None:
    """Record every figure whose rows are there; parts that were not run leave theirs out."""
    groups = _groups(rows)
    _headline(benchmark, groups, chosen, scale)
    _ragged(benchmark, groups, chosen, scale)
    _memory(benchmark, groups, chosen, scale)
    _worst(benchmark, groups, chosen, scale)


#: Sides of one measurement in one mode, by name.
_Group = dict[str, Row]


def _groups(rows: Iterable[Row]) -> list[_Group]:
    groups: dict[tuple[object, ...], _Group] = defaultdict(dict)
    for row in rows:
        if row.status == OK:
            groups[*row.case, row.mode][row.side] = row
    return list(groups.values())


def _find(groups: list[_Group], part: str, mode: str, size: tuple[int, int]) -> _Group | None:
    for group in groups:
        any_row = next(iter(group.values()))
        if (any_row.part, any_row.mode, any_row.dim, any_row.hidden) == (part, mode, *size):
            return group
    return None


def _ours(group: _Group, chosen: Chosen) -> Row | None:
    return group.get(chosen(next(iter(group.values()))))


def _ratio(theirs: Row, ours: Row) -> tuple[float, str]:
    shown = f"{theirs.side} {theirs.ms:.3g} ms, {ours.side} {ours.ms:.3g} ms"
    return theirs.ms / ours.ms, shown


def _headline(benchmark: Benchmark, groups: list[_Group], chosen: Chosen, scale: Scale) -> None:
    for number, size in enumerate(scale.headline[:2]):
        group = _find(groups, "headline", FORWARD, size)
        if group is None:
            continue
        ours = _ours(group, chosen)
        if number == 0:
            sides = {"": ours, **{f"_{name}": group.get(name) for name in ("chunked", "triton")}}
            for suffix, row in sides.items():
                if row is not None:
                    benchmark.record(
                        f"roofline_share_fwd{suffix}",
                        row.mm_share,
                        shown=f"{row.side}, {row.tflops:.0f} TFLOP/s",
                    )
        compiled = [group[name] for name in ("compile_dynamic", "compile_static") if name in group]
        tuned = group.get("compile_autotuned")
        for key, peers in (("compile", compiled), ("autotuned", [tuned] if tuned else [])):
            if ours is not None and peers:
                value, shown = _ratio(min(peers, key=lambda row: row.ms), ours)
                benchmark.record(f"fwd_vs_{key}_{size[0]}_{size[1]}", value, shown=shown)


def _ragged(benchmark: Benchmark, groups: list[_Group], chosen: Chosen, scale: Scale) -> None:
    for number, size in enumerate(scale.headline[:2]):
        for mode in (BOTH, FORWARD):
            group = _find(groups, "ragged", mode, size)
            ours = group and _ours(group, chosen)
            if not group or not ours:
                continue
            suffix = ("" if number == 0 else f"_{size[0]}_{size[1]}") + ("_fwd" if mode == FORWARD else "")
            for key, side in (
                ("loop", "loop_eager"),
                ("compiled_loop", "loop_compiled"),
                ("padded", "padded_eager"),
            ):
                if side in group:
                    value, shown = _ratio(group[side], ours)
                    benchmark.record(
                        f"packed_vs_{key}{suffix}",
                        value,
                        shown=f"{shown}, {ours.bags} bags, {ours.rows:,} rows",
                    )


def _memory(benchmark: Benchmark, groups: list[_Group], chosen: Chosen, scale: Scale) -> None:
    """The most over the headline's shapes of what a step takes beyond the inputs in memory mode."""
    found: dict[str, list[Row]] = defaultdict(list)
    for size in scale.headline:
        group = _find(groups, "headline", BOTH, size)
        if group is None:
            continue
        default = chosen(next(iter(group.values())))
        for suffix, side in (
            ("", f"{default}_recompute" if default in ("chunked", "triton") else default),
            ("_chunked", "chunked_recompute"),
            ("_triton", "triton_recompute"),
            ("_auto", default),
            ("_eager", "eager"),
        ):
            if side in group and math.isfinite(group[side].extra_mib):
                found[suffix].append(group[side])
    for suffix, rows in found.items():
        worst = max(rows, key=lambda row: row.extra_mib)
        benchmark.record(f"extra_mib_1m{suffix}", worst.extra_mib, shown=f"{worst.side}, {_shape(worst)}")


def _worst(benchmark: Benchmark, groups: list[_Group], chosen: Chosen, scale: Scale) -> None:
    """The least ratio of eager's time to ours over all shapes and modes; 1 is as fast."""
    pairs: dict[str, list[tuple[float, Row]]] = defaultdict(list)
    for group in groups:
        eager = group.get("eager")
        if eager is None or eager.rows < scale.least_rows or eager.bags > 1:
            continue
        for suffix, row in (
            ("", _ours(group, chosen)),
            ("_triton", group.get("triton")),
            ("_chunked", group.get("chunked")),
        ):
            if row is not None:
                pairs[suffix].append((eager.ms / row.ms, row))
    for suffix, found in pairs.items():
        value, row = min(found, key=lambda pair: pair[0])
        slower = sum(ratio < 0.95 for ratio, _ in found)
        shown = f"{row.side}, {row.mode}, {_shape(row)}; below 0.95 in {slower} of {len(found)}"
        benchmark.record(f"worst_vs_eager{suffix}", value, shown=shown)


def _shape(row: Row) -> str:
    gradient = ", gradient of the features" if row.features else ""
    return f"N {row.rows:,}, D {row.dim}, L {row.hidden}, K {row.branches}{gradient}"
