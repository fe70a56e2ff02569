"""Microns per pixel: where the number comes from, in a fixed order, and which numbers cannot be a scan's.

Order (DESIGN §5): a person's word in the manifest → the slide's own properties → the TIFF's resolution →
the objective's power (10 / power) → a person's assumption for slides that say nothing. Never guessed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from slidelake.errors import ImplausibleMppError, MissingMppError, UsageError

__all__ = ["MAX_MPP", "MIN_MPP", "Mpp", "check_given_mpp", "resolve_mpp"]

#: No scanner works outside of these µm/px. 352.8 is 72 dpi, the default of many programs, not a resolution.
MIN_MPP, MAX_MPP = 0.05, 20.0
_UNIT_UM = {"centimeter": 10_000.0, "inch": 25_400.0}
_REMEDY = "Pass --assume-mpp 0.5 (what it really is), or an mpp column in the manifest."


@dataclass(frozen=True)
class Mpp:
    """µm per level-0 pixel in x and y, and its source: "manifest", "properties", "tiff-resolution",
    "objective" or "assumed"."""

    x: float
    y: float
    source: str


def resolve_mpp(
    properties: Mapping[str, str], *, slide: str, given: float | None = None, assumed: float | None = None
) -> Mpp:
    """The slide's mpp by the order above; `properties` are OpenSlide's.

    Raises ImplausibleMppError where the slide's numbers cannot be a scan's and nobody said better,
    MissingMppError where there is none at all.
    """
    if given is not None:
        return Mpp(given, given, "manifest")
    refused = []
    for source, pair in (
        ("properties", _own(properties)),
        ("tiff-resolution", _tiff(properties)),
        ("objective", _objective(properties)),
    ):
        if pair is None:
            continue
        if all(MIN_MPP <= each <= MAX_MPP for each in pair):
            return Mpp(*pair, source)
        refused.append((source, pair))
    if assumed is not None:
        return Mpp(assumed, assumed, "assumed")
    if refused:
        source, pair = refused[0]
        dpi = " (72 dpi is a print resolution)" if abs(pair[0] - 25_400 / 72) < 1 else ""
        raise ImplausibleMppError(
            f"its {source.replace('-', ' ')} gives {pair[0]:.6g} µm per pixel, outside of "
            f"{MIN_MPP:g} to {MAX_MPP:g}{dpi}",
            remedy=_REMEDY,
            slide=slide,
        )
    raise MissingMppError("the slide does not say its µm per pixel", remedy=_REMEDY, slide=slide)


def check_given_mpp(value: float, where: str) -> float:
    """A person's number as it is, if it can be a resolution at all; raises UsageError."""
    if not (math.isfinite(value) and 0 < value <= 1000):
        raise UsageError(f"{where} is {value!r} µm per pixel", remedy="Give a number such as 0.5.")
    return float(value)


def _own(properties: Mapping[str, str]) -> tuple[float, float] | None:
    # For a plain TIFF OpenSlide derives its mpp from the TIFF's resolution: that is the next step.
    if properties.get("openslide.vendor") == "generic-tiff":
        return None
    return _pair(properties, "openslide.mpp-x", "openslide.mpp-y")


def _tiff(properties: Mapping[str, str]) -> tuple[float, float] | None:
    unit = _UNIT_UM.get(properties.get("tiff.ResolutionUnit", ""))
    per_unit = _pair(properties, "tiff.XResolution", "tiff.YResolution")
    return (unit / per_unit[0], unit / per_unit[1]) if unit and per_unit else None


def _objective(properties: Mapping[str, str]) -> tuple[float, float] | None:
    power = _number(properties.get("openslide.objective-power"))
    return (10 / power, 10 / power) if power else None


def _pair(properties: Mapping[str, str], name_x: str, name_y: str) -> tuple[float, float] | None:
    x, y = _number(properties.get(name_x)), _number(properties.get(name_y))
    # One axis alone is no reason to refuse: pixels of scanners are square but for rounding.
    return (x or y, y or x) if x or y else None  # type: ignore[return-value]


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else 0.0
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None
