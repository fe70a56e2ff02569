"""One picture of a cohort's statistics: how variance falls off, and a sample of patches along two components."""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slidelake.services.pen import INK, PALE, Pen

__all__ = ["Picture", "draw"]

WIDTH, HEIGHT = 1280, 560
BAR, CURVE = (86, 128, 190), (201, 92, 46)
#: Apart from one another also for eyes that tell red from green badly (Okabe, Ito 2008), darkest last.
PALETTE = (
    (0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (213, 94, 0), (150, 140, 20),
    (90, 60, 140), (70, 70, 70), (160, 90, 60),
)  # fmt: skip
_LEGEND = 12


@dataclass(frozen=True)
class Picture:
    """What is drawn: shares of the variance (n,), a sample along two components (S, 2), each point's group (S,)."""

    title: str
    subtitle: str
    shares: NDArray[np.float64]
    points: NDArray[np.float64]
    groups: NDArray[np.int64]
    names: Sequence[str]
    #: What a group is: a slide, a cluster.
    what: str


def draw(picture: Picture, path: Path) -> Path:
    """Writes a PNG; returns its path."""
    pen = Pen(WIDTH, HEIGHT)
    pen.text((32, 22), picture.title, 20)
    pen.text((32, 50), picture.subtitle, 13, PALE)
    _scree(pen, picture, (84, 116, 470, 490))
    _scatter(pen, picture, (584, 116, 1080, 490))
    return pen.save(path)


def _scree(pen: Pen, picture: Picture, box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    shares = picture.shares
    whole = np.cumsum(shares)
    pen.text((left, top - 26), "Share of the variance by component", 14)
    most = _nice(float(shares.max(initial=0.0)) * 100) / 100
    for step in range(5):
        y = bottom - (bottom - top) * step / 4
        pen.line([(left, y), (right, y)])
        pen.text((left - 8, y), f"{100 * most * step / 4:g} %", 11, BAR, "rm")
        pen.text((right + 8, y), f"{25 * step} %", 11, CURVE, "lm")
    slot = (right - left) / max(len(shares), 1)
    for n, share in enumerate(shares):
        x = left + slot * n
        pen.box((x + slot * 0.15, bottom - (bottom - top) * share / most, x + slot * 0.85, bottom), BAR)
    every = max(1, -(-len(shares) // 10))
    for n in range(0, len(shares), every):
        pen.text((left + slot * (n + 0.5), bottom + 6), str(n + 1), 11, PALE, "ma")
    curve = [
        (left + slot * (n + 0.5), bottom - (bottom - top) * float(share)) for n, share in enumerate(whole)
    ]
    if len(curve) > 1:
        pen.line(curve, CURVE, 1.6)
    for at in curve:
        pen.dot(at, 2.4, CURVE)
    pen.text(((left + right) / 2, bottom + 26), "component", 12, PALE, "ma")
    pen.box((left, bottom + 50, left + 10, bottom + 58), BAR)
    pen.text((left + 16, bottom + 54), "each (left)", 11, PALE, "lm")
    pen.dot((left + 106, bottom + 54), 3, CURVE)
    pen.text((left + 116, bottom + 54), "together (right)", 11, PALE, "lm")


def _scatter(pen: Pen, picture: Picture, box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    points = picture.points
    pen.text((left, top - 26), f"{len(points):,} patches drawn evenly, coloured by {picture.what}", 14)
    ticks = []
    for axis in (0, 1):
        low, high = (float(each) for each in np.quantile(points[:, axis], (0.001, 0.999)))
        if high <= low:
            low, high = low - 1.0, high + 1.0
        ticks.append(_ticks(low, high))
    (x_low, *_, x_high), (y_low, *_, y_high) = ticks

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            left + (right - left) * min(max((x - x_low) / (x_high - x_low), 0.0), 1.0),
            bottom - (bottom - top) * min(max((y - y_low) / (y_high - y_low), 0.0), 1.0),
        )

    for x in ticks[0]:
        pen.line([place(x, y_low), place(x, y_high)])
        pen.text((place(x, y_low)[0], bottom + 6), f"{x:g}", 11, PALE, "ma")
    for y in ticks[1]:
        pen.line([place(x_low, y), place(x_high, y)])
        pen.text((left - 8, place(x_low, y)[1]), f"{y:g}", 11, PALE, "rm")
    radius = 1.4 if len(points) > 2000 else 2.2
    # In an order of their own, so that no group lies over all others.
    for n in np.random.default_rng(0).permutation(len(points)):
        pen.dot(place(*points[n]), radius, _colour(int(picture.groups[n]), len(picture.names)))
    pen.text(((left + right) / 2, bottom + 26), "component 1", 12, PALE, "ma")
    pen.upwards((left - 48, (top + bottom) / 2), "component 2")
    _legend(pen, picture, (right + 20, top))


def _legend(pen: Pen, picture: Picture, at: tuple[float, float]) -> None:
    counts = np.bincount(picture.groups, minlength=len(picture.names))
    shown = np.argsort(-counts, kind="stable")[:_LEGEND]
    for place, group in enumerate(sorted(shown.tolist()) if len(counts) <= _LEGEND else shown.tolist()):
        y = at[1] + 6 + 24 * place
        pen.dot((at[0] + 4, y), 4.5, _colour(group, len(picture.names)))
        name = picture.names[group]
        pen.text((at[0] + 16, y), name if len(name) <= 22 else name[:21] + "…", 12, INK, "lm")
    more = len(counts) - len(shown)
    if more > 0:
        pen.text((at[0], at[1] + 24 * _LEGEND + 6), f"and {more:,} more", 12, PALE, "lm")


def _colour(group: int, groups: int) -> tuple[int, int, int]:
    if groups <= len(PALETTE):
        return PALETTE[group]
    # The golden ratio: neighbours lie far apart on the wheel.
    red, green, blue = colorsys.hls_to_rgb((group * 0.61803398875) % 1.0, 0.38 + 0.12 * (group % 3), 0.62)
    return round(255 * red), round(255 * green), round(255 * blue)


def _nice(value: float) -> float:
    """The next of 1, 2, 4, 5, 8, 10 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(step * power for step in (1, 2, 4, 5, 8, 10, 20) if step * power >= value * 0.999))


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from below the least to above the most, about six."""
    rough = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(rough))
    step = float(next(each * power for each in (1, 2, 2.5, 5, 10) if each * power >= rough * 0.999))
    first, last = int(np.floor(low / step)), int(np.ceil(high / step))
    return [float(f"{n * step:.12g}") for n in range(first, last + 1)]
