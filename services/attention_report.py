"""An attention-health report for people: a CSV row a slide and branch, and the cohort in one picture."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from slidelake.services.pen import INK, LINE, PALE, Pen

if TYPE_CHECKING:
    from slidelake.encoders import HealthReport

__all__ = ["draw_health", "write_health"]

#: Apart from one another also for eyes that tell red from green badly (Okabe, Ito 2008).
_BRANCHES = (
    (0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (213, 94, 0), (110, 100, 10),
    (90, 60, 140),
)  # fmt: skip
_ALARM, _WELL = (176, 42, 28), (22, 118, 72)
_WIDTH, _TOP, _BINS = 1180, 176, 24
_PANEL = 300
#: Alarms spelled out.
_LINES = 6


def write_health(report: "HealthReport", path: Path) -> Path:
    """Write a CSV: slide_id, branch, rows, effective_share, near_uniform, collapsed, then every measure."""
    from slidelake.encoders import MEASURES

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        head = ("slide_id", "branch", "rows", "effective_share", "near_uniform", "collapsed")
        writer.writerow([*head, *MEASURES])
        for slide in report.slides:
            for branch, measures in enumerate(slide.branches):
                flags = (slide.near_uniform(branch, report.rules), slide.collapsed(branch, report.rules))
                writer.writerow(
                    [
                        slide.slide_id,
                        branch,
                        slide.rows,
                        repr(measures.effective / slide.rows),
                        *(int(flag) for flag in flags),
                        *(repr(value) for value in measures),
                    ]
                )
    return path


def draw_health(report: "HealthReport", path: Path) -> Path:
    """Write a PNG: by branch, how many slides have which normalised entropy, and which effective number of patches."""
    alarms = [alarm.text for alarm in report.alarms] or ["no alarm"]
    if len(alarms) > _LINES:
        alarms = [*alarms[: _LINES - 1], f"and {len(alarms) - _LINES + 1} more alarms"]
    top = _TOP + 20 * max(len(alarms) - 1, 0)
    pen = Pen(_WIDTH, top + _PANEL + 96)
    pen.text((32, 22), f"Attention of {report.name}", 20)
    left_out = f", {len(report.excluded):,} left out" if report.excluded else ""
    pen.text((32, 52), f"{len(report.slides):,} slides{left_out}; {report.branches} branches", 13, PALE)
    for line, text in enumerate(alarms):
        pen.text((32, 80 + 20 * line), text, 14, _ALARM if report.alarms else _WELL)
    entropies = [report.column(branch, "normalised_entropy") for branch in range(report.branches)]
    box = (72, top, 540, top + _PANEL)
    _histogram(
        pen, box, entropies, np.linspace(0, 1, _BINS + 1), "Normalised entropy (1: uniform)", log=False
    )
    numbers = [report.column(branch, "effective") for branch in range(report.branches)]
    most = max((slide.rows for slide in report.slides), default=10)
    edges = np.geomspace(1, max(most, 2), _BINS + 1)
    box = (652, top, 1120, top + _PANEL)
    _histogram(
        pen, box, numbers, edges, "Effective number of patches (log scale; 1: a single patch)", log=True
    )
    _legend(pen, report.branches, (72, top + _PANEL + 62))
    return pen.save(path)


def _histogram(
    pen: Pen,
    box: tuple[int, int, int, int],
    several: list[NDArray[np.float64]],
    edges: NDArray[np.float64],
    title: str,
    *,
    log: bool,
) -> None:
    """Counts of each series as steps over one another; the area of a single one is filled."""
    left, top, right, bottom = box
    pen.text((left, top - 30), title, 14)
    counts = [np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] for values in several]
    most = max((int(each.max()) for each in counts if len(each)), default=1) or 1
    for share in (0.0, 0.5, 1.0):
        y = bottom - (bottom - top) * share
        pen.line([(left, y), (right, y)], LINE)
        if most * share == int(most * share):
            pen.text((left - 8, y), f"{int(most * share):,}", 11, PALE, "rm")
    pen.upwards((left - 46, (top + bottom) / 2), "slides")
    places = np.linspace(left, right, len(edges))
    for branch, count in enumerate(counts):
        ink = _BRANCHES[branch % len(_BRANCHES)]
        for n in np.flatnonzero(count).tolist():
            y = bottom - (bottom - top) * int(count[n]) / most
            if len(counts) == 1:
                pen.box((places[n] + 1, y, places[n + 1] - 1, bottom), ink)
                continue
            # Each a little beside the others: equal ones would hide one another.
            start, end = float(places[n]) + 2.4 * branch, float(places[n + 1]) + 2.4 * branch
            before, after = (
                bottom - (bottom - top) * int(count[beside]) / most if 0 <= beside < len(count) else bottom
                for beside in (n - 1, n + 1)
            )
            pen.line(
                [(start, before), (start, y), (end, y), *([] if after < bottom else [(end, bottom)])],
                ink,
                2.0,
            )
    for value in _ticks(edges, log=log):
        share = np.log(value / edges[0]) / np.log(edges[-1] / edges[0]) if log else value
        x = left + (right - left) * float(share)
        pen.line([(x, bottom), (x, bottom + 5)], PALE)
        pen.text((x, bottom + 8), f"{value:,g}", 11, PALE, "ma")


def _ticks(edges: NDArray[np.float64], *, log: bool) -> list[float]:
    if not log:
        return [0.0, 0.25, 0.5, 0.75, 1.0]
    powers = [10.0**n for n in range(9) if 10.0**n <= edges[-1]]
    return powers if len(powers) > 1 else [float(edges[0]), float(edges[-1])]


def _legend(pen: Pen, branches: int, at: tuple[float, float]) -> None:
    if branches < 2:
        return
    for branch in range(branches):
        x = at[0] + 110 * branch
        pen.box((x, at[1], x + 12, at[1] + 12), _BRANCHES[branch % len(_BRANCHES)])
        pen.text((x + 18, at[1] + 6), f"branch {branch}", 12, INK, "lm")
