"""The curves of a tuning: how the loss fell in each phase, on what was learnt and on patients that were not."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slidelake.errors import MissingDependencyError

__all__ = ["draw_curves", "need_matplotlib"]

#: Apart from one another also for eyes that tell red from green badly (Okabe, Ito 2008).
_TRAIN, _VAL, _INK, _PALE, _LINE = "#0072b2", "#e69f00", "#20242c", "#6e7480", "#e0e3e8"
_STYLE: dict[Any, Any] = {
    "font.size": 10, "font.family": "DejaVu Sans", "axes.spines.top": False, "axes.spines.right": False,
    "axes.edgecolor": _PALE, "axes.labelcolor": _INK, "axes.titlesize": 11, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "text.color": _INK, "xtick.color": _PALE, "ytick.color": _PALE, "axes.grid": True,
    "grid.color": _LINE, "axes.axisbelow": True, "legend.frameon": False, "figure.dpi": 130,
    "savefig.facecolor": "white",
}  # fmt: skip
_TITLES = {
    "align": "Phase 1: projector on captions",
    "tune": "Phase 2: projector and LoRA on instructions",
}


def need_matplotlib() -> None:
    """Raises MissingDependencyError where no picture can be drawn."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as exc:
        raise MissingDependencyError(
            "the curves need matplotlib, which is not there",
            remedy="pip install 'slidelake[train]', or pass --no-pictures.",
        ) from exc


def draw_curves(file: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Writes a PNG with one panel a phase, from the lines of the log."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    phases = list(dict.fromkeys(each["phase"] for each in history))
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # A box in a picture tells of a letter that the font lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure = Figure(figsize=(4.8 * max(len(phases), 1), 3.6), layout="constrained")
        for place, phase in enumerate(phases, 1):
            lines = [each for each in history if each["phase"] == phase]
            axes = figure.add_subplot(1, len(phases), place)
            axes.plot(
                [each["step"] for each in lines],
                [each["train_loss"] for each in lines],
                color=_TRAIN, linewidth=1.4, label="train",
            )  # fmt: skip
            seen = [(each["step"], each["val_loss"]) for each in lines if each["val_loss"] is not None]
            if seen:
                axes.plot(*zip(*seen, strict=True), color=_VAL, marker="o", markersize=4, label="validation")
            axes.set_title(_TITLES[phase])
            axes.set_xlabel("step")
            axes.set_ylabel("loss a token")
            # Room for the legend above the line.
            axes.set_ylim(0, 1.2 * max(each["train_loss"] for each in lines))
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.legend()
        figure.savefig(file, format="png")
