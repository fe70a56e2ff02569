"""A sheet of pictures of one sweep: time over rows, speed-up over D × L, memory beyond the inputs.

    python -m benchmarks.plot_gated_attention benchmarks/results/gated_attention.nvidia_h200.csv sheet.png

Needs matplotlib (`pip install matplotlib`, or slidelake[train]).
"""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.attention.rows import BOTH, FORWARD, MODES, OK, Row, read_rows

#: One colour a side on every picture: plain torch grey and brown, ours blue and red, the product black.
COLOURS = {
    "mm": "black",
    "eager": "dimgrey",
    "compile_dynamic": "peru",
    "reference": "lightgrey",
    "chunked": "tab:blue",
    "triton": "tab:red",
}
NAMES = {
    "mm": "one torch.mm (N, D) × (D, 2L)",
    "compile_dynamic": "torch.compile",
    "reference": "reference back end",
}
OURS = ("triton", "chunked")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", type=Path, help="the CSV that benchmarks.gated_attention wrote")
    parser.add_argument("out", type=Path, help="the PNG to write")
    parsed = parser.parse_args(argv)
    rows = [row for row in read_rows(parsed.rows) if row.status == OK]
    if not rows:
        print(f"{parsed.rows} holds no times", file=sys.stderr)
        return 1
    sheet(rows, parsed.out)
    return 0


def sheet(rows: list[Row], out: Path) -> None:
    """Draw the parts that there are rows of, one below the other, into a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = list(dict.fromkeys((row.dim, row.hidden) for row in rows if row.part == "rows"))
    counts = sorted({row.rows for row in rows if row.part == "shapes"})
    memory = [
        row for row in rows if row.part == "headline" and row.mode == BOTH and math.isfinite(row.extra_mib)
    ]
    heights = [3.2] * len(lines) + [2.9] * len(counts) + [2.8] * bool(memory)
    if not heights:
        raise SystemExit("the rows hold none of the parts that are drawn: rows, shapes, headline")
    figure = Figure(figsize=(13, sum(heights) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    first = rows[0]
    figure.suptitle(
        f"Gated attention pooling on {first.device} (torch {first.torch}, triton {first.triton}, {first.date[:10]})"
    )
    bands = list(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])
    for size in lines:
        _over_rows(bands.pop(0), rows, size)
    for count in counts:
        _over_shapes(bands.pop(0), rows, count)
    if memory:
        _memory(bands.pop(0), memory)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)


def _sides(rows: list[Row], part: str, mode: str) -> dict[tuple[str, int, int, int], Row]:
    """(side, N, D, L) → its row; a back end of ours under its bare name by the faster of its two modes."""
    found: dict[tuple[str, int, int, int], Row] = {}
    for row in rows:
        if (row.part, row.mode) == (part, mode):
            side = row.side.removesuffix("_store").removesuffix("_recompute")
            key = (side, row.rows, row.dim, row.hidden)
            if key not in found or row.ms < found[key].ms:
                found[key] = row
    return found


def _over_rows(band: Any, rows: list[Row], size: tuple[int, int]) -> None:
    """Median time over rows of one bag, band from the 0.2 to the 0.8 quantile, a panel for each mode."""
    axes = band.subplots(1, len(MODES), sharey=True)
    for axis, mode in zip(axes, MODES, strict=True):
        sides = _sides(rows, "rows", mode)
        for side, colour in COLOURS.items():
            found = [row for key, row in sorted(sides.items()) if (key[0], *key[2:]) == (side, *size)]
            if found:
                at = [row.rows for row in found]
                style = {"linestyle": "--"} if side == "mm" else {"marker": "o", "markersize": 3}
                axis.plot(at, [row.ms for row in found], color=colour, label=NAMES.get(side, side), **style)
                low, high = [row.ms_low for row in found], [row.ms_high for row in found]
                axis.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)
        axis.set(xscale="log", yscale="log", xlabel="rows N", title=f"{mode}, D {size[0]}, L {size[1]}")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("ms")
    axes[0].legend(fontsize=7, loc="lower right")


def _over_shapes(band: Any, rows: list[Row], count: int) -> None:
    """Eager's time over ours for each D and L at one number of rows: above 1 ours is faster."""
    panels = [(side, mode) for mode in (FORWARD, BOTH) for side in OURS]
    axes = band.subplots(1, len(panels), sharey=True)
    times = {
        (key[0], mode, *key[2:]): row.ms
        for mode in (FORWARD, BOTH)
        for key, row in _sides(rows, "shapes", mode).items()
        if row.rows == count
    }
    dims, hiddens = (sorted({key[place] for key in times}) for place in (2, 3))
    image = None
    for axis, (side, mode) in zip(axes, panels, strict=True):
        ratios = [
            [
                times.get(("eager", mode, dim, hidden), math.nan)
                / times.get((side, mode, dim, hidden), math.nan)
                for dim in dims
            ]
            for hidden in hiddens
        ]
        # Colours by the logarithm, the same on every panel: 1 is white, a quarter and four times are the ends.
        logs = [[math.log2(each) for each in line] for line in ratios]
        image = axis.imshow(logs, cmap="RdBu", vmin=-2, vmax=2, aspect="auto")
        for place, line in enumerate(ratios):
            for column, ratio in enumerate(line):
                if math.isfinite(ratio):
                    strong = abs(math.log2(ratio)) > 1.3
                    axis.text(
                        column,
                        place,
                        f"{ratio:.2f}",
                        ha="center",
                        va="center",
                        fontsize=8,
                        color="white" if strong else "black",
                    )
        axis.set(title=f"eager / {side}, {mode}", xlabel="D")
        axis.set_xticks(range(len(dims)), dims)
        axis.set_yticks(range(len(hiddens)), hiddens)
    axes[0].set_ylabel(f"N {count:,}\nL")
    scale = band.colorbar(image, ax=list(axes), ticks=[-2, -1, 0, 1, 2], shrink=0.8)
    scale.ax.set_yticklabels(["¼", "½", "1", "2", "4"])
    scale.set_label("times as fast")


def _memory(band: Any, rows: list[Row]) -> None:
    """Peak memory of a training step beyond the inputs at the headline's shapes."""
    sizes = list(dict.fromkeys((row.dim, row.hidden) for row in rows))
    sides = list(dict.fromkeys(row.side for row in rows if not row.side.endswith(("_fp32", "_tf32"))))
    axis = band.subplots(1, 1)
    width = 0.85 / len(sides)
    for place, side in enumerate(sides):
        values = {(row.dim, row.hidden): row.extra_mib for row in rows if row.side == side}
        at = [number + (place - (len(sides) - 1) / 2) * width for number in range(len(sizes))]
        heights = [values.get(size, math.nan) for size in sizes]
        bars = axis.bar(at, heights, width, label=side, color=_shade(side), edgecolor="white", linewidth=0.5)
        axis.bar_label(bars, fmt="{:.0f}", fontsize=6)
    axis.set_xticks(range(len(sizes)), [f"D {dim}, L {hidden}" for dim, hidden in sizes])
    axis.set(
        ylabel="MiB beyond the inputs", yscale="log", title=f"memory of a training step, N {rows[0].rows:,}"
    )
    axis.margins(y=0.15)
    axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))


def _shade(side: str) -> tuple[str, float]:
    """The colour of what a side is a way of, paler the further it is from the plain one."""
    kind, _, way = side.partition("_")
    colour = COLOURS.get(kind, COLOURS["compile_dynamic"])
    return colour, {"": 1.0, "dynamic": 1.0, "static": 0.75, "recompute": 0.7}.get(way, 0.45)


if __name__ == "__main__":
    sys.exit(main())
