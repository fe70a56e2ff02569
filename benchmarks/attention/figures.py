"""From the rows of a sweep to the figures that documents name. Ratios of times are theirs over ours: more is better."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from benchmarks.attention.plan import FULL, Scale
from benchmarks.attention.rows import BOTH, FORWARD, OK, Row
from benchmarks.harness import Benchmark

__all__ = ["record_figures"]

#: What a user gets who chooses nothing; measured in the part "default".
_DEFAULT = "auto"
_BACKENDS = ("chunked", "triton")
#: Sides of one measurement in one mode, by name.
_Group = dict[str, Row]


def record_figures(benchmark: Benchmark, rows: Sequence[Row], scale: Scale = FULL) -> None:
    """Record every figure whose rows are there; parts that were not run leave theirs out."""
    groups = _groups(rows)
    _headline(benchmark, groups, scale)
    _ragged(benchmark, groups, scale)
    _memory(benchmark, groups, scale)
    _worst(benchmark, groups, scale)


def _groups(rows: Iterable[Row]) -> list[_Group]:
    groups: dict[tuple[object, ...], _Group] = defaultdict(dict)
    for row in rows:
        if row.status == OK:
            groups[*row.case, row.mode][row.side] = row
    return list(groups.values())


def _find(
    groups: list[_Group],
    part: str,
    mode: str,
    size: tuple[int, int],
    *,
    rows: int | None = None,
    bags: int = 1,
) -> _Group:
    """The sides of one shape with K = 1; none where it was not measured. `rows`: of all bags together."""
    for group in groups:
        row = next(iter(group.values()))
        if (row.part, row.mode, row.dim, row.hidden, row.branches, row.bags) == (
            part,
            mode,
            *size,
            1,
            bags,
        ) and (rows in (None, row.rows) and not row.features):
            return group
    return {}


def _best(group: _Group, backend: str) -> Row | None:
    """The faster of a back end's modes; "auto" has one."""
    found = [group[name] for name in (backend, f"{backend}_store", f"{backend}_recompute") if name in group]
    return min(found[:1] if backend == _DEFAULT else found, key=lambda row: row.ms, default=None)


def _headline(benchmark: Benchmark, groups: list[_Group], scale: Scale) -> None:
    for number, size in enumerate(scale.headline[:2]):
        default = _find(groups, "default", FORWARD, size, rows=scale.million)
        every = _find(groups, "headline", FORWARD, size, rows=scale.million)
        ours = {"": default.get(_DEFAULT), **{f"_{name}": _best(every, name) for name in _BACKENDS}}
        for suffix, row in ours.items():
            if row is not None and number == 0:
                shown = f"{row.side}, {row.tflops:.0f} TFLOP/s"
                benchmark.record(f"roofline_share_fwd{suffix}", row.mm_share, shown=shown)
        for suffix, group in {"": default, "_chunked": every, "_triton": every}.items():
            compiled = [group[name] for name in ("compile_dynamic", "compile_static") if name in group]
            fastest = min(compiled, key=lambda row: row.ms, default=None)
            _ratio(benchmark, f"fwd_vs_compile_{size[0]}_{size[1]}{suffix}", fastest, ours[suffix])
        # Against the utmost of Inductor, in the run that had it: the best that ours can do there.
        best = min(
            (row for row in (ours["_chunked"], ours["_triton"]) if row), key=lambda row: row.ms, default=None
        )
        _ratio(benchmark, f"fwd_vs_autotuned_{size[0]}_{size[1]}", every.get("compile_autotuned"), best)


def _ragged(benchmark: Benchmark, groups: list[_Group], scale: Scale) -> None:
    """One call over packed bags beside other ways; the first size, forward and backward, has the plain name."""
    for number, size in enumerate(scale.headline[:2]):
        for mode in (BOTH, FORWARD):
            end = ("" if number == 0 else f"_{size[0]}_{size[1]}") + ("_fwd" if mode == FORWARD else "")
            group = _find(groups, "default", mode, size, bags=scale.bags[0])
            for name, side in {
                "loop": "loop_eager",
                "compiled_loop": "loop_compiled",
                "padded": "padded_eager",
            }.items():
                _ratio(benchmark, f"packed_vs_{name}{end}", group.get(side), group.get(_DEFAULT))


def _memory(benchmark: Benchmark, groups: list[_Group], scale: Scale) -> None:
    """The most, over the headline's sizes, of what a training step takes beyond the inputs."""
    found: dict[str, list[Row]] = defaultdict(list)
    for size in scale.headline:
        default = _find(groups, "default", BOTH, size, rows=scale.million)
        every = _find(groups, "headline", BOTH, size, rows=scale.million)
        for suffix, row in {
            "": default.get(f"{_DEFAULT}_recompute"),
            "_auto": default.get(_DEFAULT),
            "_chunked": every.get("chunked_recompute"),
            "_triton": every.get("triton_recompute"),
            "_eager": every.get("eager"),
        }.items():
            if row is not None and math.isfinite(row.extra_mib):
                found[suffix].append(row)
    for suffix, rows in found.items():
        worst = max(rows, key=lambda row: row.extra_mib)
        benchmark.record(f"extra_mib_1m{suffix}", worst.extra_mib, shown=f"{worst.side}, {_shape(worst)}")


def _worst(benchmark: Benchmark, groups: list[_Group], scale: Scale) -> None:
    """The least ratio of eager's time to ours over all bfloat16 shapes of one bag and all modes; 1 is as fast."""
    pairs: dict[str, list[tuple[float, Row]]] = defaultdict(list)
    for group in groups:
        eager = group.get("eager")
        if eager is None or eager.rows < scale.least_rows:
            continue
        for backend in (_DEFAULT, *_BACKENDS):
            row = _best(group, backend)
            if row is not None:
                pairs[backend].append((eager.ms / row.ms, row))
    for backend, found in pairs.items():
        value, row = min(found, key=lambda pair: pair[0])
        slower = sum(ratio < 0.95 for ratio, _ in found)
        shown = f"{row.side}, {row.mode}, {_shape(row)}; below 0.95 in {slower} of {len(found)}"
        suffix = "" if backend == _DEFAULT else f"_{backend}"
        benchmark.record(f"worst_vs_eager{suffix}", value, shown=shown)


def _ratio(benchmark: Benchmark, key: str, theirs: Row | None, ours: Row | None) -> None:
    if theirs is not None and ours is not None:
        shown = f"{theirs.side} {theirs.ms:.3g} ms, {ours.side} {ours.ms:.3g} ms"
        benchmark.record(key, theirs.ms / ours.ms, shown=shown)


def _shape(row: Row) -> str:
    gradient = ", gradient of the features" if row.features else ""
    return f"N {row.rows:,}, D {row.dim}, L {row.hidden}, K {row.branches}{gradient}"
