"""Grids: regular tilings by µm, and what one comes to on a particular slide (FORMAT, Grids)."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import GridError, SlideTooSmallError, TooCoarseError
from slidelake.ingest.mpp import Mpp

__all__ = ["GridPlan", "GridSpec", "plan_grid"]

#: A level this near to the wanted mpp is taken as it is: no pixel is interpolated.
#: The limit itself counts in, whatever the last digit of a division says: 0.51 is taken for 0.5.
NATIVE_TOLERANCE = 0.02 + 1e-9
_FORM = re.compile(
    r"(?P<px>\d+)px[@-](?:(?P<mpp>\d*\.?\d+)mpp|(?P<level0>level0))(?:-s(?P<stride>\d+))?"
    r"(?:-min(?P<min>\d+(?:\.\d+)?))?",
    re.ASCII,
)


@dataclass(frozen=True)
class GridSpec:
    """A tiling: patch side in px at `mpp` µm/px (None: at level 0), stride, and the least tissue share kept."""

    patch_px: int = 256
    mpp: float | None = 0.5
    stride_px: int | None = None
    min_tissue: float = 0.25

    def __post_init__(self) -> None:
        if self.patch_px < 1 or (self.stride_px is not None and self.stride_px < 1):
            raise GridError(
                f"a grid of {self.patch_px} px with stride {self.stride_px} cannot be",
                remedy="Give whole numbers of pixels from 1 on, for example 256px@0.5mpp.",
            )
        if self.mpp is not None and not 0 < self.mpp < 1000:
            raise GridError(
                f"{self.mpp} µm/px cannot be", remedy="Give µm per pixel, for example 256px@0.5mpp."
            )
        if not 0 <= self.min_tissue <= 1:
            raise GridError(
                f"a tissue share of {self.min_tissue} cannot be", remedy="Give a share between 0 and 1."
            )

    @property
    def stride(self) -> int:
        """Stride in px at the grid's mpp."""
        return self.stride_px or self.patch_px

    @classmethod
    def parse(cls, text: str) -> "GridSpec":
        """From what people type: `256px@0.5mpp`, `256px-0.5mpp-s128`, `672px-level0`. Raises GridError."""
        found = _FORM.fullmatch(text.strip())
        if found is None:
            raise GridError(
                f"{text!r} is no grid", remedy="Write 256px@0.5mpp, 256px@0.5mpp-s128 or 672px-level0."
            )
        return cls(
            patch_px=int(found["px"]),
            mpp=None if found["level0"] else float(found["mpp"]),
            stride_px=int(found["stride"]) if found["stride"] else None,
            min_tissue=float(found["min"]) / 100 if found["min"] else 0.25,
        )

    def grid_id(self, tissue_rule: str = "", default_rule: str = "") -> str:
        """The id of this grid in a store whose default tissue rule (with version) is `default_rule`."""
        name = f"{self.patch_px}px-" + ("level0" if self.mpp is None else f"{_shortest(self.mpp)}mpp")
        if self.stride != self.patch_px:
            name += f"-s{self.stride}"
        if tissue_rule != default_rule:
            name += f"-t{tissue_rule}"
        if self.min_tissue != 0.25:
            name += f"-min{self.min_tissue * 100:.10g}"  # 0.07 · 100 is 7.000000000000001
        return name

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "stride_px": self.stride}


@dataclass(frozen=True)
class GridPlan:
    """A grid on one slide: footprint and stride in level-0 px (x, y), and the level its pixels come from."""

    spec: GridSpec
    footprint: tuple[float, float]
    stride: tuple[float, float]
    level: int
    level_mpp: tuple[float, float]
    effective_mpp: tuple[float, float]
    native: bool
    slide_size: tuple[int, int]

    def cells(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Left edges (nx,) and top edges (ny,) of the cells that lie wholly inside the slide, level-0 px."""
        return tuple(
            _starts(size, stride, footprint)
            for size, stride, footprint in zip(self.slide_size, self.stride, self.footprint, strict=True)
        )  # type: ignore[return-value]

    def attributes(self) -> dict[str, Any]:
        """What the grid's group says of itself."""
        return {
            "spec": self.spec.to_dict(),
            "footprint_level0": list(self.footprint),
            "stride_level0": list(self.stride),
            "level": self.level,
            "level_mpp": list(self.level_mpp),
            "effective_mpp": list(self.effective_mpp),
            "native": self.native,
            "resampling": "none" if self.native else "area",
            "min_tissue": self.spec.min_tissue,
            "slide_size": list(self.slide_size),
        }


def plan_grid(
    spec: GridSpec, *, size: tuple[int, int], downsamples: Sequence[float], mpp: Mpp, slide: str
) -> GridPlan:
    """Lay a grid on a slide of `size` (width, height) whose levels have these downsamples.

    Raises SlideTooSmallError where not one cell fits, TooCoarseError where the scan is coarser than the grid.
    """
    own = (mpp.x, mpp.y)
    if spec.mpp is None:
        side, step = float(spec.patch_px), float(spec.stride)
        plan = GridPlan(spec, (side, side), (step, step), 0, own, own, True, size)
    else:
        plan = _by_mpp(spec, spec.mpp, size, downsamples, own, slide)
    width, height = plan.footprint
    if width > size[0] or height > size[1]:
        raise SlideTooSmallError(
            f"at {size[0]} × {size[1]} px it is smaller than one patch of {width:.0f} × {height:.0f} level-0 px",
            remedy="Ask for a smaller patch, for example --grid 64px@0.5mpp, or leave the slide out.",
            slide=slide,
        )
    return plan


def _by_mpp(
    spec: GridSpec,
    target: float,
    size: tuple[int, int],
    downsamples: Sequence[float],
    own: tuple[float, float],
    slide: str,
) -> GridPlan:
    for level, downsample in enumerate(downsamples):
        level_mpp = (own[0] * downsample, own[1] * downsample)
        if all(abs(each / target - 1) <= NATIVE_TOLERANCE for each in level_mpp):
            side, step = spec.patch_px * downsample, spec.stride * downsample
            return GridPlan(spec, (side, side), (step, step), level, level_mpp, level_mpp, True, size)
    finer = [i for i, downsample in enumerate(downsamples) if max(own) * downsample <= target]
    if not finer:
        raise TooCoarseError(
            f"it was scanned at {max(own):.4g} µm/px, coarser than the {target:g} µm/px asked for",
            remedy=f"Ask for a coarser grid, for example --grid {spec.patch_px}px@{_shortest(round(max(own), 2))}mpp.",
            slide=slide,
        )
    level = max(finer, key=lambda i: downsamples[i])
    return GridPlan(
        spec=spec,
        footprint=(spec.patch_px * target / own[0], spec.patch_px * target / own[1]),
        stride=(spec.stride * target / own[0], spec.stride * target / own[1]),
        level=level,
        level_mpp=(own[0] * downsamples[level], own[1] * downsamples[level]),
        effective_mpp=(target, target),
        native=False,
        slide_size=size,
    )


def _starts(size: int, stride: float, footprint: float) -> NDArray[np.int32]:
    count = max(0, int((size - footprint) / stride) + 2)
    starts = np.floor(np.arange(count, dtype=np.float64) * stride + 0.5)
    # A footprint that ends at the edge is inside, also where its fraction is off in the last digits.
    return starts[starts + footprint <= size + 1e-6].astype(np.int32)


def _shortest(number: float) -> str:
    text = repr(float(number))
    return text.removesuffix(".0")
