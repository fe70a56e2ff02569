"""The pictures of a report: how the loss fell, and what the predictions of held-out patients look like."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slidelake.encoders.training.config import TITLES, TrainConfig
from slidelake.encoders.training.metrics import ranked_within_folds
from slidelake.encoders.training.predict import Predictions
from slidelake.encoders.training.tasks import ClassificationTask, RegressionTask, Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_pictures"]

#: Apart from one another also for eyes that tell red from green badly (Okabe, Ito 2008).
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#96908c", "#5a3c8c")
INK, PALE, LINE = "#20242c", "#6e7480", "#e0e3e8"
_STYLE: dict[Any, Any] = {
    "font.size": 10, "font.family": "DejaVu Sans", "axes.spines.top": False, "axes.spines.right": False,
    "axes.edgecolor": PALE, "axes.labelcolor": INK, "axes.titlesize": 11, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "text.color": INK, "xtick.color": PALE, "ytick.color": PALE, "axes.grid": True,
    "grid.color": LINE, "grid.linewidth": 0.8, "axes.axisbelow": True, "legend.frameon": False,
    "legend.fontsize": 9, "figure.dpi": 130, "savefig.facecolor": "white",
    # Names of classes and columns are names, whatever dollars they hold.
    "text.parse_math": False,
}  # fmt: skip
#: Classes whose curves are still told apart.
_MOST_CURVES = 8
_BINS = 10

Histories = Mapping[int | None, Sequence[Mapping[str, Any]]]


def draw_pictures(
    folder: Path, task: Task, shown: Predictions, histories: Histories, config: TrainConfig
) -> list[str]:
    """Writes PNGs into a folder; returns their names: curves, and those that the task has."""
    import matplotlib
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    names = []

    def save(name: str, width: float, height: float) -> "Figure":
        names.append(name)
        return Figure(figsize=(width, height), layout="constrained")

    # A figure of its own needs neither pyplot nor a display; fonts and colours hold for these alone.
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # A box in a picture tells of a letter that the font lacks; the report beside it has the name.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure = save("curves.png", 9.2, 3.6)
        _curves(figure, histories, config)
        figure.savefig(folder / names[-1])
        for name, size, draw in _of_task(task) if len(shown) else []:
            figure = save(name, *size(task))
            draw(figure, task, shown)
            figure.savefig(folder / name)
    return names


def _of_task(task: Task) -> list[tuple[str, Any, Any]]:
    if isinstance(task, ClassificationTask):
        return [
            ("roc.png", lambda _: (5.2, 4.6), _roc),
            ("confusion.png", _confusion_size, _confusion),
            ("calibration.png", lambda _: (5.2, 4.6), _calibration),
        ]
    if isinstance(task, RegressionTask):
        return [("scatter.png", lambda t: (4.6 * min(t.outputs, 3), 4.4), _scatter)]
    return [("kaplan_meier.png", lambda _: (6.4, 5.0), _kaplan_meier)]


def _curves(figure: "Figure", histories: Histories, config: TrainConfig) -> None:
    metric = (
        config.metric
        if config.metric != "loss"
        else {"classification": "auroc", "regression": "spearman"}.get(config.task, "c_index")
    )
    loss, other = figure.subplots(1, 2)
    several = len(histories) > 1
    for number, (fold, history) in enumerate(histories.items()):
        colour = PALETTE[number % len(PALETTE)]
        epochs = [row["epoch"] + 1 for row in history]
        name = f"fold {fold}" if several else ""
        train_colour, val_colour = (colour, colour) if several else PALETTE[:2]
        loss.plot(epochs, _values(history, "train_loss"), color=train_colour, lw=1.6, label=name or "train")
        kept = [row for row in history if row["best"]][-1]
        if "val_loss" in kept:
            loss.plot(
                epochs, _values(history, "val_loss"), "--", color=val_colour, lw=1.6,
                label=None if several else "validation",
            )  # fmt: skip
            values = _values(history, f"val_{metric}")
            other.plot(epochs, values, color=val_colour, lw=1.6, label=name or "validation")
            for axes, key in ((loss, "val_loss"), (other, f"val_{metric}")):
                if kept[key] is not None:
                    axes.plot(
                        kept["epoch"] + 1, kept[key], "o", color=val_colour, ms=6, mec="white", zorder=5
                    )
        else:
            other.plot(epochs, _values(history, "lr"), color=colour, lw=1.6, label=name)
    validated = any("val_loss" in row for history in histories.values() for row in history)
    loss.set_title("Loss" + (": train solid, validation dashed" if several and validated else ""))
    other.set_title(f"{TITLES.get(metric, metric)} of the validation part" if validated else "Learning rate")
    if validated:
        other.plot([], [], "o", color=PALE, label="kept")
        if metric != "mae":
            # From chance to the best that can be, so that small moves look small.
            other.set_ylim(min(0.48, *other.get_ylim()), 1.02)
    for axes in (loss, other):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        if axes.get_legend_handles_labels()[1]:
            axes.legend()


def _values(history: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [np.nan if row.get(name) is None else float(row[name]) for row in history]


def _roc(figure: "Figure", task: ClassificationTask, shown: Predictions) -> None:
    from sklearn.metrics import roc_auc_score, roc_curve

    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], ":", color=PALE, lw=1)
    classes = [1] if task.outputs == 2 else list(range(task.outputs))
    drawn = 0
    for place, each in enumerate(classes[:_MOST_CURVES]):
        mine = shown.targets.reshape(-1) == each
        if not mine.any() or mine.all():
            continue
        drawn += 1
        colour = PALETTE[place % len(PALETTE)]
        folds = np.unique(shown.folds)
        for fold in folds if task.outputs == 2 and len(folds) > 1 else []:
            rows = shown.folds == fold
            if mine[rows].any() and not mine[rows].all():
                wrong, right, _ = roc_curve(mine[rows], shown.values[rows, each])
                axes.plot(wrong, right, color=colour, lw=0.8, alpha=0.35)
        wrong, right, _ = roc_curve(mine, shown.values[:, each])
        area = roc_auc_score(mine, shown.values[:, each])
        axes.plot(
            wrong, right, color=colour, lw=2, label=f"{task.classes[each]}: {area:.3f} (n = {mine.sum()})"
        )
    axes.set(
        xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="false positive rate", ylabel="true positive rate"
    )
    axes.set_aspect("equal")
    axes.set_title(f"ROC, {_who(shown)}")
    if drawn:
        axes.legend(loc="lower right", title="area under the curve")
    else:
        _say(axes, "one class only:\nno curve")


def _say(axes: "Axes", text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=PALE)


def _who(shown: Predictions) -> str:
    folds = len(np.unique(shown.folds))
    return f"{shown.parts[0]}, {len(shown)} bags" + (f" of {folds} folds" if folds > 1 else "")


def _confusion_size(task: ClassificationTask) -> tuple[float, float]:
    side = 2.8 + 0.75 * min(task.outputs, 14)
    return side + 1.0, side


def _confusion(figure: "Figure", task: ClassificationTask, shown: Predictions) -> None:
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(
        shown.targets.reshape(-1).astype(int), shown.values.argmax(axis=1), labels=range(task.outputs)
    )
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes = figure.subplots()
    axes.grid(False)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        text = f"{count}\n{shares[row, column]:.0%}" if count and task.outputs <= 8 else f"{count}"
        axes.text(
            column, row, text, ha="center", va="center", fontsize=10 if task.outputs <= 8 else 8,
            color="white" if shares[row, column] > 0.55 else INK,
        )  # fmt: skip
    names = [name if len(name) <= 18 else name[:17] + "…" for name in task.classes]
    turned: dict[str, Any] = {"rotation": 35, "ha": "right"} if max(map(len, names)) > 8 else {}
    axes.set_xticks(range(task.outputs), names, **turned)
    there = counts.sum(axis=1).tolist()
    axes.set_yticks(range(task.outputs), [f"{name} ({n})" for name, n in zip(names, there, strict=True)])
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_title(f"Confusion, {_who(shown)}")
    figure.colorbar(
        image, ax=axes, label="share of the true class", shrink=0.8, format=lambda v, _: f"{v:.0%}"
    )


def _calibration(figure: "Figure", task: ClassificationTask, shown: Predictions) -> None:
    targets = shown.targets.reshape(-1).astype(int)
    if task.outputs == 2:
        chance, right = shown.values[:, 1], targets == 1
        names = f"predicted probability of {task.classes[1]}", f"share that is {task.classes[1]}"
    else:
        chance, right = shown.values.max(axis=1), shown.values.argmax(axis=1) == targets
        names = "probability of the predicted class", "share predicted right"
    place = np.clip((chance * _BINS).astype(int), 0, _BINS - 1)
    count = np.bincount(place, minlength=_BINS)
    there = count > 0
    mean = np.bincount(place, chance, _BINS)[there] / count[there]
    share = np.bincount(place, right, _BINS)[there] / count[there]
    error = float((count[there] * np.abs(mean - share)).sum() / len(chance))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    upper.plot([0, 1], [0, 1], ":", color=PALE, lw=1)
    upper.plot(mean, share, "o-", color=PALETTE[0], lw=1.6, ms=5)
    upper.set(ylim=(-0.03, 1.03), ylabel=names[1])
    upper.set_title(f"Calibration, {_who(shown)}\nexpected calibration error {error:.3f}")
    lower.bar((np.arange(_BINS) + 0.5) / _BINS, count, width=0.9 / _BINS, color=PALETTE[0], alpha=0.55)
    lower.set(xlim=(0, 1), xlabel=names[0], ylabel="bags")


def _scatter(figure: "Figure", task: RegressionTask, shown: Predictions) -> None:
    columns = min(task.outputs, 3)
    for n, axes in enumerate(np.atleast_1d(figure.subplots(1, columns))):
        wanted, said = shown.targets[:, n], shown.values[:, n]
        ends = min(wanted.min(), said.min()), max(wanted.max(), said.max())
        axes.plot(ends, ends, ":", color=PALE, lw=1)
        for place, fold in enumerate(np.unique(shown.folds)):
            mine = shown.folds == fold
            axes.plot(
                wanted[mine], said[mine], "o", ms=4.5, alpha=0.7, color=PALETTE[place % len(PALETTE)], mew=0
            )
        axes.set(xlabel=f"true {task.names[n]}", ylabel=f"predicted {task.names[n]}")
        axes.set_title(f"{task.names[n]}, {_who(shown)}")


def _kaplan_meier(figure: "Figure", task: Task, shown: Predictions) -> None:
    from lifelines import KaplanMeierFitter
    from lifelines.statistics import logrank_test

    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(7, 1))
    high = ranked_within_folds(shown).values[:, 0] > 0.5
    times, events = shown.targets[:, 0], shown.targets[:, 1]
    groups = (("high risk", high, PALETTE[5]), ("low risk", ~high, PALETTE[0]))
    for name, mine, colour in groups:
        if mine.any():
            label = f"{name}: {mine.sum()} bags, {int(events[mine].sum())} events"
            fit = KaplanMeierFitter(label=label).fit(times[mine], events[mine])
            fit.plot_survival_function(ax=axes, color=colour, lw=2, ci_alpha=0.15)
    said = ""
    if high.any() and not high.all() and events.any():
        with warnings.catch_warnings():
            # lifelines 0.30 calls pandas in a way that pandas 4 will not take; the constraint on pandas is theirs.
            warnings.filterwarnings("ignore", "Starting with pandas version 4")
            found = logrank_test(times[high], times[~high], events[high], events[~high])
        said = f"\nlog-rank p = {found.p_value:.2g}"
    axes.set(xlim=(0, times.max() * 1.02), ylim=(0, 1.03), ylabel="share without event", xlabel="")
    axes.set_title(f"Kaplan–Meier by the median risk, {_who(shown)}{said}")
    axes.legend(loc="best")
    below.grid(False)
    below.spines[:].set_visible(False)
    below.tick_params(length=0)
    below.tick_params(axis="y", pad=18)
    below.set(ylim=(-0.6, 1.6), xlabel=str(task.about()["time"]))
    below.set_yticks([1, 0], [name for name, _, _ in groups])
    below.set_title("bags at risk", fontsize=9, fontweight="normal", color=PALE)
    for tick in axes.get_xticks():
        for row, (_, mine, colour) in zip((1, 0), groups, strict=True):
            if 0 <= tick <= times.max():
                below.text(
                    tick, row, str(int((times[mine] >= tick).sum())), ha="center", va="center", color=colour
                )
