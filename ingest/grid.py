"""Grids: which cells a slide is cut into, and how a cell's pixels are to be read (FORMAT.md, "Grids").

Every rule here is golden: a change makes other grids under the same id. Cells are level-0 pixels.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import GridError, SlideTooSmallError
from slidelake.ingest.mpp import Mpp
from slidelake.ingest.slide import SlideReader

__all__ = ["DEFAULT_TISSUE_RULE", "GridPlan", "GridSpec", "cells", "plan_grid"]

#: The tissue rule and its version, as grid ids name it where it is not the store's.
DEFAULT_TISSUE_RULE = "default1"
#: A level within this share of the target's mpp is taken as it is.
NATIVE_TOLERANCE = 0.02
_TEXT = re.compile(
    r"(?P<px>\d+)px[@-](?:(?P<mpp>\d*\.?\d+)mpp|(?P<level0>level0))"
    r"(?:-s(?P<stride>\d+))?(?:-t(?P<rule>[a-z]+\d+))?(?:-min(?P<min>\d*\.?\d+))?"
)


@dataclass(frozen=True)
class GridSpec:
    """A regular tiling: patches of `patch_px` px a side at `mpp` µm/px (None: at level-0, whatever its mpp).

    `stride_px` is the distance of neighbours in the same pixels (None: `patch_px`, no overlap). A cell is kept
    where at least `min_tissue` of it is tissue by `tissue_rule` (rule and version). Raises GridError.
    """

    patch_px: int = 256
    mpp: float | None = 0.5
    stride_px: int | None = None
    min_tissue: float = 0.25
    tissue_rule: str = DEFAULT_TISSUE_RULE

    def __post_init__(self) -> None:
        for name, value in (("patch", self.patch_px), ("stride", self.stride)):
            if value < 1 or value > 1 << 16:
                raise GridError(f"a {name} of {value} px cannot be", remedy="Give 1 to 65536 px.")
        if self.mpp is not None and not (math.isfinite(self.mpp) and 0 < self.mpp <= 1000):
            raise GridError(
                f"a grid at {self.mpp} µm per pixel cannot be",
                remedy="Give µm per pixel such as 0.5, or level0.",
            )
        if not 0 <= self.min_tissue <= 1:
            raise GridError(
                f"a tissue share of {self.min_tissue} cannot be", remedy="Give a share between 0 and 1."
            )
        if not re.fullmatch(r"[a-z]+\d+", self.tissue_rule):
            raise GridError(
                f"{self.tissue_rule!r} is no tissue rule", remedy="Give its name and version, such as default1."
            )

    @property
    def stride(self) -> int:
        """The stride in patch pixels."""
        return self.patch_px if self.stride_px is None else self.stride_px

    def grid_id(self, store_rule: str = DEFAULT_TISSUE_RULE) -> str:
        """The grid's name in a store whose own tissue rule is `store_rule`."""
        parts = [f"{self.patch_px}px", "level0" if self.mpp is None else f"{_short(self.mpp)}mpp"]
        if self.stride != self.patch_px:
            parts.append(f"s{self.stride}")
        if self.tissue_rule != store_rule:
            parts.append(f"t{self.tissue_rule}")
        percent = round(100 * self.min_tissue, 6)
        if percent != 25:
            parts.append(f"min{_short(percent)}")
        return "-".join(parts)

    @classmethod
    def parse(cls, text: str) -> "GridSpec":
        """`256px@0.5mpp`, `256px-level0`, `256px@0.5mpp-s128-min10` …; raises GridError."""
        found = _TEXT.fullmatch(text.strip())
        if found is None:
            raise GridError(
                f"{text!r} is not a grid",
                remedy="Write it like 256px@0.5mpp, 256px@0.5mpp-s128 or 256px-level0.",
            )
        return cls(
            patch_px=int(found["px"]),
            mpp=float(found["mpp"]) if found["mpp"] else None,
            stride_px=int(found["stride"]) if found["stride"] else None,
            min_tissue=float(found["min"]) / 100 if found["min"] else 0.25,
            tissue_rule=found["rule"] or DEFAULT_TISSUE_RULE,
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; `stride_px` is always a number."""
        return {
            "patch_px": self.patch_px,
            "mpp": self.mpp,
            "stride_px": self.stride,
            "min_tissue": self.min_tissue,
            "tissue_rule": self.tissue_rule,
        }


@dataclass(frozen=True)
class GridPlan:
    """A grid on one slide: cell and stride in level-0 px (x, y), the level that is read, and whether a patch
    is that level's own pixels (`native`) or their area average."""

    spec: GridSpec
    mpp: Mpp | None
    footprint: tuple[float, float]
    stride: tuple[float, float]
    level: int
    downsample: float
    native: bool
    slide_size: tuple[int, int]
    bounds: tuple[int, int, int, int] | None = None

    def attributes(self) -> dict[str, Any]:
        """What a stored grid says of itself: enough to read its patches again without this plan."""
        rule, version = re.fullmatch(r"([a-z]+)(\d+)", self.spec.tissue_rule).groups()  # type: ignore[union-attr]
        level_mpp = self.mpp and [self.mpp.x * self.downsample, self.mpp.y * self.downsample]
        effective = self.mpp and [
            self.mpp.x * self.footprint[0] / self.spec.patch_px,
            self.mpp.y * self.footprint[1] / self.spec.patch_px,
        ]
        return {
            "spec": {
                "patch_px": self.spec.patch_px,
                "mpp": self.spec.mpp,
                "stride_px": self.spec.stride,
            },
            "footprint_level0": list(self.footprint),
            "stride_level0": list(self.stride),
            "level": self.level,
            "level_downsample": self.downsample,
            "level_mpp": level_mpp,
            "effective_mpp": effective,
            "native": self.native,
            "resampling": "none" if self.native else "area",
            "tissue_rule": rule,
            "tissue_version": int(version),
            "min_tissue": self.spec.min_tissue,
            "slide_size": list(self.slide_size),
            "bounds": None if self.bounds is None else list(self.bounds),
        }


def plan_grid(spec: GridSpec, reader: SlideReader, mpp: Mpp | None) -> GridPlan:
    """How the grid lies on an open slide; `mpp` may be None for level-0 grids.

    Raises GridError without an mpp, SlideTooSmallError where no cell fits or the slide was scanned coarser
    than the grid asks for.
    """
    size, bounds = reader.dimensions, _bounds(reader)
    if spec.mpp is None:
        side, step = float(spec.patch_px), float(spec.stride)
        plan = GridPlan(spec, mpp, (side, side), (step, step), 0, 1.0, True, size, bounds)
    elif mpp is None:
        raise GridError(
            "a grid in µm needs the slide's µm per pixel",
            remedy="Pass --assume-mpp, or use level0.",
            slide=reader.uri,
        )
    else:
        plan = _planned(spec, spec.mpp, reader, mpp, bounds)
    if plan.footprint[0] > size[0] or plan.footprint[1] > size[1]:
        raise SlideTooSmallError(
            f"the slide is {size[0]} x {size[1]} px and no patch of {plan.footprint[0]:.4g} x "
            f"{plan.footprint[1]:.4g} level-0 px fits in",
            remedy="Leave it out, or use a grid of smaller patches.",
            slide=reader.uri,
        )
    return plan


def _planned(
    spec: GridSpec, target: float, reader: SlideReader, mpp: Mpp, bounds: tuple[int, int, int, int] | None
) -> GridPlan:
    off = {
        level: max(abs(mpp.x * down - target), abs(mpp.y * down - target)) / target
        for level, down in enumerate(reader.level_downsamples)
    }
    level = min(off, key=lambda each: off[each])
    if off[level] <= NATIVE_TOLERANCE:
        down = reader.level_downsamples[level]
        side, step = spec.patch_px * down, spec.stride * down
        return GridPlan(spec, mpp, (side, side), (step, step), level, down, True, reader.dimensions, bounds)
    finer = [
        level
        for level, down in enumerate(reader.level_downsamples)
        if max(mpp.x, mpp.y) * down <= target * (1 + 1e-9)
    ]
    if not finer:
        raise SlideTooSmallError(
            f"the slide has {max(mpp.x, mpp.y):.4g} µm per pixel at best, coarser than the grid's {target:g}: pixels "
            "would have to be invented",
            remedy=f"Use a grid at {max(mpp.x, mpp.y):.3g} µm per pixel or coarser, or level0, for this slide.",
            slide=reader.uri,
        )
    level = max(finer, key=lambda each: reader.level_downsamples[each])
    return GridPlan(
        spec,
        mpp,
        (spec.patch_px * target / mpp.x, spec.patch_px * target / mpp.y),
        (spec.stride * target / mpp.x, spec.stride * target / mpp.y),
        level,
        reader.level_downsamples[level],
        False,
        reader.dimensions,
        bounds,
    )


def cells(plan: GridPlan) -> NDArray[np.int32]:
    """(N, 2) int32: top-left corners (x, y) of every cell wholly inside the slide, by y, then x."""
    columns, rows = (
        _starts(size, step, side)
        for size, step, side in zip(plan.slide_size, plan.stride, plan.footprint, strict=True)
    )
    x, y = np.meshgrid(columns, rows)
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.int32)


def _starts(size: int, step: float, side: float) -> NDArray[np.int64]:
    starts = np.floor(np.arange(int(size / step) + 2) * step + 0.5).astype(np.int64)
    return starts[starts + side <= size + 1e-6]


def _bounds(reader: SlideReader) -> tuple[int, int, int, int] | None:
    """(x, y, width, height) of the scanned part, where the slide says it."""
    try:
        x, y, width, height = (int(reader.properties[f"openslide.bounds-{n}"]) for n in ("x", "y", "width", "height"))
    except (KeyError, ValueError):
        return None
    return x, y, width, height


def _short(value: float) -> str:
    return np.format_float_positional(value, trim="-")
