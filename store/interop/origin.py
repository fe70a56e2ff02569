"""What our exports add to another program's layout: one attribute, `slidelake`, that says which commit it is.

Other readers pass over it. Ours uses it to leave alone what is there already, and to get back what the layout
has no place for: the mpp, the exact footprint, the features' dtype.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from slidelake.store.interop.geometry import Geometry, Pair

__all__ = ["OwnFacts", "make_stamp", "read_stamp"]

ATTRIBUTE = "slidelake"


@dataclass(frozen=True)
class OwnFacts:
    """What a stamp tells; all None where there is none, or none that can be read."""

    mpp: Pair | None = None
    footprint: Pair | None = None
    stride: Pair | None = None
    patch: tuple[int, float | None, int] | None = None
    dtype: str | None = None

    def put_right(self, geometry: Geometry) -> Geometry:
        """The geometry with what its layout had to round."""
        if self.footprint is None or self.stride is None or self.patch is None:
            return geometry
        px, mpp, stride_px = self.patch
        return replace(
            geometry,
            patch_px=px,
            mpp=mpp,
            stride_px=stride_px,
            footprint=self.footprint,
            stride=self.stride,
        )


def make_stamp(commit: str, checksums: Mapping[str, str], geometry: Geometry, dtype: str) -> str:
    """The attribute's text for a bag's commit (its key) and the checksums of its arrays."""
    return json.dumps(
        {
            "commit": commit,
            "checksums": dict(checksums),
            "dtype": dtype,
            "mpp": geometry.slide_mpp,
            "footprint_level0": geometry.footprint,
            "stride_level0": geometry.stride,
            "patch": [geometry.patch_px, geometry.mpp, geometry.stride_px],
        },
        sort_keys=True,
    )


def read_stamp(text: Any) -> OwnFacts:
    """What the attribute tells; nothing where it is not one of ours."""
    try:
        said = json.loads(text)
        px, mpp, stride_px = said["patch"]
        facts = OwnFacts(
            mpp=_pair(said["mpp"]),
            footprint=_pair(said["footprint_level0"]),
            stride=_pair(said["stride_level0"]),
            patch=(int(px), None if mpp is None else float(mpp), int(stride_px)),
            dtype=said["dtype"] if said["dtype"] in ("float16", "float32") else None,
        )
    except (TypeError, ValueError, KeyError):
        return OwnFacts()
    sides = [*(facts.mpp or ()), *(facts.footprint or ()), *(facts.stride or ()), px, stride_px]
    return facts if all(0 < side < 1e6 for side in sides) else OwnFacts()


def _pair(value: Any) -> Pair | None:
    return None if value is None else (float(value[0]), float(value[1]))
