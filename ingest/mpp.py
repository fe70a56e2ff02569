"""How large a level-0 pixel is, in µm, and who says so. Never guessed silently.

Order: the manifest (a person's explicit word), the slide's own properties, its TIFF resolution, its objective
power, `--assume-mpp`. What is implausible is refused rather than used: 352.8 µm/px is 72 dots an inch, a print
resolution that image tools write into every TIFF, not a scan.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from slidelake.errors import ImplausibleMppError, MissingMppError

__all__ = ["LIMITS", "Mpp", "resolve_mpp"]

#: µm/px that a scan can have: below is finer than light resolves, above is a thumbnail.
LIMITS = (0.05, 10.0)
#: Sides of a pixel that differ by more than this are two different numbers by mistake, not a scanner's.
_ANISOTROPY = 1.25
_TIFF_UNITS = {"centimeter": 10_000.0, "inch": 25_400.0}
#: µm/px at 1×: 10× objectives scan at about 1 µm/px, 20× at 0.5, 40× at 0.25.
_OBJECTIVE_ONE = 10.0


@dataclass(frozen=True)
class Mpp:
    """µm per level-0 pixel in x and y, and its source: manifest, properties, tiff, objective or assumed."""

    x: float
    y: float
    source: str


def resolve_mpp(
    properties: Mapping[str, str],
    *,
    slide: str,
    manifest: float | None = None,
    assumed: float | None = None,
) -> Mpp:
    """The mpp of a slide with these OpenSlide properties.

    Raises MissingMppError where nothing says, ImplausibleMppError where only the file says and what it says
    cannot be.
    """
    if manifest is not None:
        return _checked(Mpp(manifest, manifest, "manifest"), slide)
    implausible: ImplausibleMppError | None = None
    for found in (_own(properties), _tiff(properties), _objective(properties)):
        if found is None:
            continue
        try:
            return _checked(found, slide)
        except ImplausibleMppError as exc:
            implausible = implausible or exc
    if assumed is not None:
        return _checked(Mpp(assumed, assumed, "assumed"), slide)
    if implausible is not None:
        raise implausible
    raise MissingMppError(
        "the slide does not say how large its pixels are",
        remedy="Pass --assume-mpp 0.5 (or what the scanner used), or give the manifest an mpp column.",
        slide=slide,
    )


def _checked(mpp: Mpp, slide: str) -> Mpp:
    low, high = LIMITS
    sides = sorted((mpp.x, mpp.y))
    if low <= sides[0] and sides[1] <= high and sides[1] <= _ANISOTROPY * sides[0]:
        return mpp
    what = f"{mpp.x:.6g} µm/px" if mpp.x == mpp.y else f"{mpp.x:.6g} × {mpp.y:.6g} µm/px"
    note = ", which is a print resolution of 72 dots an inch" if 352 < mpp.x < 353.5 else ""
    raise ImplausibleMppError(
        f"{what} (from {mpp.source}) is no scan resolution{note}; scans have {low} to {high}",
        remedy="Pass --assume-mpp 0.5 (or what the scanner used), or give the manifest an mpp column.",
        slide=slide,
    )


def _own(properties: Mapping[str, str]) -> Mpp | None:
    x, y = (_number(properties.get(f"openslide.mpp-{axis}")) for axis in "xy")
    if x is None and y is None:
        x = y = _number(properties.get("aperio.MPP"))
    if x is None and y is None:
        return None
    return Mpp(x or y or 0.0, y or x or 0.0, "properties")


def _tiff(properties: Mapping[str, str]) -> Mpp | None:
    unit = _TIFF_UNITS.get(properties.get("tiff.ResolutionUnit", "").lower())
    x, y = (_number(properties.get(f"tiff.{axis}Resolution")) for axis in "XY")
    if unit is None or not x or not y:
        return None
    return Mpp(unit / x, unit / y, "tiff")


def _objective(properties: Mapping[str, str]) -> Mpp | None:
    power = _number(properties.get("openslide.objective-power"))
    return Mpp(_OBJECTIVE_ONE / power, _OBJECTIVE_ONE / power, "objective") if power else None


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else None
    except ValueError:  # vendors write words there too
        return None
    return value if value is not None and 0 < value < float("inf") else None
