"""A grid made by another program: patch, footprint and stride, from what such programs write down.

They say it in three ways: by magnification (TRIDENT, AtlasPatch), by pyramid level (CLAM) and by micrometres
(STAMP). All become what our own grids say of themselves (FORMAT, "Grids"): `spec`, `footprint_level0`, ….
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import FeatureFileError, MissingFactError, MissingMppError

__all__ = ["Geometry", "by_level", "by_magnification", "by_micrometres", "from_attributes", "number"]

#: µm/px at 1×: 10× objectives scan at about 1 µm/px, 20× at 0.5.
MPP_AT_ONE = 10.0
#: A mpp this near to a usual one is that one, as ingest takes a level for it.
_TOLERANCE = 0.02
_USUAL = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
_LONGEST = 1e6

Pair = tuple[float, float]


@dataclass(frozen=True)
class Geometry:
    """Patch side in the encoder's px at `mpp` µm/px (None: level 0), stride in the same; footprint and stride in
    level-0 px (x, y); the slide's own mpp (x, y) and size (width, height) where they are known."""

    patch_px: int
    mpp: float | None
    stride_px: int
    footprint: Pair
    stride: Pair
    slide_mpp: Pair | None = None
    slide_size: tuple[int, int] | None = None

    def grid_id(self, rule: str) -> str:
        """FORMAT's grid id. `-t<rule>` says whose tissue it is, so that it is never taken for a grid of our own."""
        name = f"{self.patch_px}px-" + ("level0" if self.mpp is None else f"{_shortest(self.mpp)}mpp")
        return name + (f"-s{self.stride_px}" if self.stride_px != self.patch_px else "") + f"-t{rule}"

    def attributes(self) -> dict[str, Any]:
        """What the grid's group says of itself, under the names that our own grids use."""
        native = self.footprint == (self.patch_px, self.patch_px)
        said: dict[str, Any] = {
            "spec": {"patch_px": self.patch_px, "mpp": self.mpp, "stride_px": self.stride_px},
            "footprint_level0": list(self.footprint),
            "stride_level0": list(self.stride),
            # Where pixels of such a patch can be had from; how the other program scaled them it does not say.
            "level": 0,
            "native": native,
            "resampling": "none" if native else "unknown",
        }
        if self.slide_mpp is not None:
            said["effective_mpp"] = [
                mpp * side / self.patch_px for mpp, side in zip(self.slide_mpp, self.footprint, strict=True)
            ]
        if self.slide_size is not None:
            said["slide_size"] = list(self.slide_size)
        return said


def from_attributes(attributes: Mapping[str, Any], mpp: Pair | None) -> Geometry:
    """The geometry of a committed grid, ours or imported, on a slide of `mpp` µm per level-0 px."""
    spec = attributes["spec"]
    size = attributes.get("slide_size")
    return Geometry(
        patch_px=int(spec["patch_px"]),
        mpp=None if spec.get("mpp") is None else float(spec["mpp"]),
        stride_px=int(spec.get("stride_px") or spec["patch_px"]),
        footprint=_pair(attributes["footprint_level0"]),
        stride=_pair(attributes["stride_level0"]),
        slide_mpp=mpp,
        slide_size=(int(size[0]), int(size[1])) if size else None,
    )


def by_magnification(
    said: Mapping[str, Any],
    *,
    where: str,
    mpp: Pair | None,
    size: tuple[int, int] | None,
    patch_size: int | None = None,
    patch_size_level0: float | None = None,
) -> Geometry:
    """From `patch_size` (px at the target magnification), `patch_size_level0`, magnifications and `overlap`.

    The grid's mpp is 10 / target magnification, as the other program meant it: what it comes to on a slide is
    `effective_mpp`. Raises MissingFactError, MissingMppError.
    """
    patch = _whole(number(said, "patch_size", where) or patch_size, "patch_size", where)
    own, target = number(said, "level0_magnification", where), number(said, "target_magnification", where)
    side = number(said, "patch_size_level0", where) or patch_size_level0
    if side is None and own and target:
        side = patch * own / target
    if side is None:
        raise MissingFactError(
            "the file does not say how many level-0 pixels a patch covers",
            remedy="Pass --patch-size-level0 PX.",
            slide=where,
        )
    if target:
        spec_mpp = round(MPP_AT_ONE / target, 6)
    elif mpp is not None:
        spec_mpp = _nominal(mpp[0] * side / patch)
    else:
        raise _no_mpp("the file does not say at what magnification its patches are", where)
    stride_px = patch - _whole(number(said, "overlap", where) or 0, "overlap", where, least=0)
    width, height = number(said, "level0_width", where), number(said, "level0_height", where)
    told = (int(width), int(height)) if width and height else None
    if size is not None and told is not None and size != told:
        raise FeatureFileError(
            f"it was made from a slide of {told[0]:,} × {told[1]:,} px, and that of --slides has "
            f"{size[0]:,} × {size[1]:,}",
            remedy="Give the slide that it was made from; two slides may have one name.",
            slide=where,
        )
    return _checked(
        Geometry(
            patch_px=patch,
            mpp=spec_mpp,
            stride_px=stride_px,
            footprint=(side, side),
            stride=(side * stride_px / patch,) * 2,
            slide_mpp=mpp,
            slide_size=size or told,
        ),
        where,
    )


def by_level(
    said: Mapping[str, Any],
    coords: NDArray[Any],
    *,
    where: str,
    mpp: Pair | None,
    size: tuple[int, int] | None,
    patch_size: int | None = None,
    patch_size_level0: float | None = None,
) -> Geometry:
    """From `patch_size` (px at `patch_level`), that level's `downsample`, and `custom_downsample` (by which
    patches were shrunk for the encoder). The stride is not written down: it is read off the coordinates.

    Patches of level 0 need no mpp. Raises MissingFactError, MissingMppError.
    """
    cut = _whole(number(said, "patch_size", where) or patch_size, "patch_size", where)
    level = number(said, "patch_level", where)
    shrunk = number(said, "custom_downsample", where) or 1.0
    downsample = _numbers(said.get("downsample"), where)
    if downsample is None and level == 0:
        downsample = (1.0, 1.0)
    if downsample is None and patch_size_level0:
        downsample = (patch_size_level0 / cut,) * 2
    if downsample is None:
        raise MissingFactError(
            "the file does not say how many level-0 pixels a patch covers",
            remedy="Pass --patch-size-level0 PX, or --patches DIR with the files of coordinates.",
            slide=where,
        )
    footprint = (cut * downsample[0], cut * downsample[1])
    patch = max(1, int(cut / shrunk))
    spec_mpp = None
    if footprint != (patch, patch):
        if mpp is None:
            raise _no_mpp(
                f"its patches are of level {int(level or 0)}, and the file does not say of what mpp", where
            )
        spec_mpp = _nominal(mpp[0] * footprint[0] / patch)
    step = _step(coords, footprint[0])
    stride = footprint if step is None else (step, step * footprint[1] / footprint[0])
    return _checked(
        Geometry(
            patch_px=patch,
            mpp=spec_mpp,
            stride_px=max(1, round(patch * stride[0] / footprint[0])),
            footprint=footprint,
            stride=stride,
            slide_mpp=mpp,
            slide_size=size or _level0_size(said, where),
        ),
        where,
    )


def by_micrometres(
    tile_um: float, tile_px: int, *, where: str, mpp: Pair | None, size: tuple[int, int] | None
) -> Geometry:
    """From a tile's side in µm and px, on a slide of `mpp`. Raises MissingMppError."""
    if mpp is None:
        raise _no_mpp("its coordinates are micrometres, and the file does not say the slide's mpp", where)
    footprint = (tile_um / mpp[0], tile_um / mpp[1])
    spec = round(tile_um / tile_px, 6)
    return _checked(Geometry(tile_px, spec, tile_px, footprint, footprint, mpp, size), where)


def number(said: Mapping[str, Any], name: str, where: str) -> float | None:
    """An attribute as a finite number; None where it is not said. Raises FeatureFileError for other things."""
    value = said.get(name)
    if value is None:
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = float("nan")
    if not np.isfinite(found) or isinstance(value, bool):
        raise FeatureFileError(
            f"its {name} is {str(value)[:80]!r}, not a number",
            remedy="Make the file again with the program that wrote it.",
            slide=where,
        )
    return found


def _numbers(value: Any, where: str) -> Pair | None:
    """One number or two, as two; both positive."""
    if value is None:
        return None
    parts = value if isinstance(value, list) else [value, value]
    if len(parts) != 2:
        raise FeatureFileError(
            f"its downsample is {str(value)[:80]!r}", remedy="Give one number or two.", slide=where
        )
    said = {"downsample": parts[0]}, {"downsample": parts[1]}
    x, y = (number(each, "downsample", where) or 0.0 for each in said)
    return x, y


def _level0_size(said: Mapping[str, Any], where: str) -> tuple[int, int] | None:
    level, downsample = said.get("level_dim"), _numbers(said.get("downsample"), where)
    if downsample is None or not isinstance(level, list) or len(level) != 2:
        return None
    # A level's size is rounded; what it stands for is that of level 0 within a pixel of the level.
    return (int(level[0] * downsample[0] + downsample[0]), int(level[1] * downsample[1] + downsample[1]))


def _step(coords: NDArray[Any], footprint: float) -> float | None:
    """The commonest distance between neighbours in a line; None where no two are."""
    if len(coords) < 2:
        return None
    order = np.lexsort((coords[:, 0], coords[:, 1]))
    line = coords[order].astype(np.float64)
    gaps = np.diff(line[:, 0])[np.diff(line[:, 1]) == 0]
    gaps = gaps[(gaps > 0) & (gaps <= footprint)]
    if not len(gaps):
        return None
    values, counts = np.unique(gaps, return_counts=True)
    return float(values[np.argmax(counts)])


def _checked(geometry: Geometry, where: str) -> Geometry:
    sides = (*geometry.footprint, *geometry.stride, geometry.stride_px)
    if all(0 < side <= _LONGEST and np.isfinite(side) for side in sides):
        return geometry
    raise FeatureFileError(
        f"patches of {geometry.footprint[0]:g} × {geometry.footprint[1]:g} level-0 px every "
        f"{geometry.stride_px} px cannot be",
        remedy="Check the file's attributes, and --mpp, --patch-size and --patch-size-level0.",
        slide=where,
    )


def _whole(value: float | None, name: str, where: str, least: int = 1) -> int:
    if value is None:
        raise MissingFactError(
            "the file does not say how large its patches are", remedy="Pass --patch-size PX.", slide=where
        )
    if value != int(value) or not least <= value <= _LONGEST:
        raise FeatureFileError(
            f"its {name} is {value:g}", remedy="Give a whole number of pixels.", slide=where
        )
    return int(value)


def _nominal(mpp: float) -> float:
    """The mpp that a whole cohort's grids are called by: slides scanned alike differ in the third digit."""
    for usual in _USUAL:
        if abs(mpp / usual - 1) <= _TOLERANCE:
            return usual
    short = float(f"{mpp:.2g}")
    return short if abs(mpp / short - 1) <= _TOLERANCE else float(f"{mpp:.3g}")


def _no_mpp(problem: str, where: str) -> MissingMppError:
    return MissingMppError(
        problem,
        remedy="Pass --slides DIR with this slide in it, or --mpp X (µm per level-0 pixel).",
        slide=where,
    )


def _pair(values: Any) -> Pair:
    return float(values[0]), float(values[1])


def _shortest(value: float) -> str:
    return repr(float(value)).removesuffix(".0")
