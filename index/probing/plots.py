"""The pictures of probes: curves over shots, bars of classes, the index of centres; each with its intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slidelake.errors import MissingDependencyError, UsageError
from slidelake.index.probing.few_shot import FewShot
from slidelake.index.probing.robustness import Robustness
from slidelake.index.probing.zero_shot import ZeroShot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_few_shot", "draw_robustness", "draw_zero_shot"]

#: Apart from one another also for eyes that tell red from green badly (Okabe, Ito 2008).
_PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#96908c", "#5a3c8c")
_INK, _PALE, _LINE = "#20242c", "#6e7480", "#e0e3e8"
_STYLE: dict[str, Any] = {
    "font.size": 10, "font.family": "DejaVu Sans", "axes.spines.top": False, "axes.spines.right": False,
    "axes.edgecolor": _PALE, "axes.labelcolor": _INK, "axes.titlesize": 11, "axes.titlelocation": "left",
    "text.color": _INK, "xtick.color": _PALE, "ytick.color": _PALE, "axes.grid": True, "grid.color": _LINE,
    "axes.axisbelow": True, "legend.frameon": False, "legend.fontsize": 9, "savefig.dpi": 130,
    # Names of classes are names, whatever dollars they hold.
    "text.parse_math": False,
}  # fmt: skip
_NAME = 40


def draw_few_shot(results: Sequence[FewShot], path: str | Path, *, title: str = "") -> Path:
    """Balanced accuracy over shots, a curve an encoder with its 95 % band; sets of one task. Writes a PNG."""
    with _figure(path, 6.4, 4.4) as figure:
        axes = figure.subplots()
        for place, result in enumerate(results):
            colour = _PALETTE[place % len(_PALETTE)]
            shots = [point.shots for point in result.points]
            means = [point.balanced_accuracy for point in result.points]
            # Side by side, so that bars of two encoders do not hide each other.
            moved = [count * 1.04 ** (place - (len(results) - 1) / 2) for count in shots]
            axes.fill_between(
                shots, [m.low for m in means], [m.high for m in means], color=colour, alpha=0.12, lw=0
            )
            axes.plot(moved, [m.mean for m in means], "-", color=colour, lw=1.6, zorder=3)
            errors = [[m.mean - m.low for m in means], [m.high - m.mean for m in means]]
            axes.errorbar(
                moved, [m.mean for m in means], yerr=errors, fmt="o", ms=4.5, color=colour, lw=1.2, capsize=2.5,
                label=_short(result.name), zorder=4,
            )  # fmt: skip
        chance = results[0].chance
        axes.axhline(chance, ls=":", color=_PALE, lw=1.2, label=f"guessing ({chance:.2f})")
        ticks = sorted({point.shots for result in results for point in result.points})
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [str(each) for each in ticks])
        axes.minorticks_off()
        axes.set_ylim(max(0.0, min(chance, *axes.get_ylim()) - 0.04), 1.02)
        axes.set(xlabel="labelled patches of each class", ylabel="balanced accuracy")
        axes.set_title(title or f"Linear probe, {results[0].seeds} draws, 95 % intervals")
        axes.legend(loc="best")
    return Path(path)


def draw_zero_shot(results: Sequence[ZeroShot], path: str | Path, *, title: str = "") -> Path:
    """Balanced accuracy of each result with its interval and its templates as dots. Writes a PNG."""
    with _figure(path, 6.4, 1.6 + 0.7 * len(results)) as figure:
        axes = figure.subplots()
        for place, result in enumerate(results):
            found = result.balanced_accuracy
            colour = _PALETTE[place % len(_PALETTE)]
            axes.barh(place, found.mean, height=0.55, color=colour, alpha=0.35)
            error = [[found.mean - found.low], [found.high - found.mean]]
            axes.errorbar(found.mean, place, xerr=error, fmt="o", color=colour, capsize=3)
            dots = list(result.templates.values())
            axes.plot(dots, [place + 0.36] * len(dots), "|", color=_PALE, ms=8)
        axes.axvline(results[0].chance, ls=":", color=_PALE, lw=1.2)
        axes.set_yticks(range(len(results)), [_short(each.name) for each in results])
        axes.set(
            xlim=(0, 1.02), ylim=(len(results) - 0.3, -0.6), xlabel="balanced accuracy (| one template alone)"
        )
        axes.set_title(title or "Zero-shot, 95 % intervals; dotted: guessing")
    return Path(path)


def draw_robustness(results: Sequence[Robustness], path: str | Path, *, title: str = "") -> Path:
    """The index of each result with its interval, on a scale where 2 and 1/2 are as far from 1. Writes a PNG."""
    with _figure(path, 6.4, 1.9 + 0.6 * len(results)) as figure:
        axes = figure.subplots()
        for place, result in enumerate(results):
            colour = _PALETTE[place % len(_PALETTE)]
            # No neighbour of the other kind at all: beyond any scale.
            if result.index is None or result.index <= 0:
                far = "∞" if result.index is None else "0"
                axes.text(1.02, place, far, transform=axes.get_yaxis_transform(), va="center", color=colour)
                continue
            low = result.low if result.low else result.index
            high = result.high if result.high is not None else result.index
            error = [[max(result.index - low, 0)], [max(high - result.index, 0)]]
            axes.errorbar(result.index, place, xerr=error, fmt="o", ms=6, color=colour, capsize=4, lw=1.6)
            axes.plot(result.chance, place, "x", color=_PALE, ms=6)
        axes.axvline(1, color=_PALE, lw=1.2)
        axes.set_xscale("log", base=2)
        least, most = axes.get_xlim()
        axes.set_xlim(min(least, 0.4), max(most, 2.5))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_yticks(range(len(results)), [_short(each.name) for each in results])
        axes.set_ylim(len(results) - 0.4, -0.6)
        axes.set_xlabel(
            "robustness index (×: blind neighbours)\nabove 1 the class counts more than the centre"
        )
        axes.set_title(title or f"{results[0].k} neighbours from other slides, 95 % intervals")
    return Path(path)


@contextmanager
def _figure(path: str | Path, width: float, height: float) -> Iterator[Figure]:
    """A figure that is written when the block ends; needs neither pyplot nor a display."""
    target = Path(path)
    if target.suffix.lower() != ".png":
        raise UsageError(f"{target} is no .png", remedy="Name a file that ends in .png.")
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as exc:
        raise MissingDependencyError(
            "pictures of probes need matplotlib", remedy="Install it: pip install 'slidelake[train]'."
        ) from exc
    with matplotlib.rc_context(_rc(_STYLE)):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        target.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(target)


def _rc(style: Mapping[str, Any]) -> dict[Any, Any]:
    return dict(style)


def _short(name: str) -> str:
    return name if len(name) <= _NAME else name[: _NAME - 1] + "…"
