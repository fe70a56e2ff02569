"""The slide at a glance: thumbnail, tissue mask and facts, and the grid's cells that hold tissue."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import FluorescenceError, NoTissueError
from slidelake.ingest.grid import GridPlan
from slidelake.ingest.mpp import Mpp
from slidelake.ingest.tissue import (
    THUMBNAIL_LONGEST,
    THUMBNAIL_MPP,
    TISSUE_RULE,
    TissueMask,
    find_tissue,
    share_in_cells,
)

if TYPE_CHECKING:
    from slidelake.ingest.slide import SlideReader
    from slidelake.ingest.task import SlideTask

__all__ = ["Overview", "lay_grid", "make_overview"]

#: Glass is bright: a picture of which more than this share is darker than this in all channels shows none.
_DARK, _MOSTLY = 40, 0.6
#: Properties of a file that say something about the scan and nothing about the patient.
_KEPT = ("openslide.vendor", "openslide.objective-power", "openslide.mpp-x", "openslide.mpp-y")


@dataclass(frozen=True)
class Overview:
    """A (h, w, 3) RGB thumbnail, its masks, and the slide's facts."""

    thumbnail: NDArray[np.uint8]
    mask: TissueMask
    attributes: dict[str, Any]


def make_overview(reader: "SlideReader", mpp: Mpp, task: "SlideTask") -> Overview:
    """Read the thumbnail (about 8 µm/px) and find the tissue on it."""
    width, height = reader.dimensions
    longest = round(min(THUMBNAIL_LONGEST, max(width * mpp.x, height * mpp.y) / THUMBNAIL_MPP))
    thumbnail = reader.thumbnail(max(longest, 32))
    if float(np.mean(thumbnail.max(axis=2) < _DARK)) > _MOSTLY:
        raise FluorescenceError(
            "it shines on black, as fluorescence does, and is not a brightfield slide",
            remedy="Leave it out: the encoders here are made for brightfield RGB.",
            slide=task.slide_id,
        )
    mask = find_tissue(thumbnail, mpp=mpp.x * width / thumbnail.shape[1], slide_size=(width, height))
    return Overview(
        thumbnail,
        mask,
        {
            "slide_id": task.slide_id,
            "width": width,
            "height": height,
            "mpp_x": mpp.x,
            "mpp_y": mpp.y,
            "mpp_source": mpp.source,
            "level_downsamples": list(reader.level_downsamples),
            "level_dimensions": [list(size) for size in reader.level_dimensions],
            "thumbnail_downsample": [width / thumbnail.shape[1], height / thumbnail.shape[0]],
            "tissue_rule": TISSUE_RULE,
            "properties": {key: reader.properties[key] for key in _KEPT if key in reader.properties},
        },
    )


def lay_grid(
    plan: GridPlan, mask: TissueMask, slide: str
) -> tuple[NDArray[np.int32], dict[str, NDArray[np.uint8]]]:
    """(N, 2) int32 level-0 corners of the cells with tissue enough, by y then x, and their uint8 columns.

    Raises NoTissueError where there is none.
    """
    xs, ys = plan.cells()
    shares = {
        name: share_in_cells(getattr(mask, name), xs, ys, plan.footprint, mask.scale)
        for name in ("tissue", "pen", "background")
    }
    kept = (shares["tissue"] >= plan.spec.min_tissue) & (shares["tissue"] > 0)
    if not kept.any():
        raise NoTissueError(
            f"no cell of the grid holds {plan.spec.min_tissue:.0%} of tissue "
            f"(the mask finds tissue on {mask.tissue.mean():.1%} of the slide)",
            remedy="Look at the slide; if there is tissue, ask for less with a grid such as 256px@0.5mpp-min5.",
            slide=slide,
        )
    rows, columns = np.nonzero(kept)
    coords = np.stack([xs[columns], ys[rows]], axis=1).astype(np.int32)
    return coords, {name: np.round(255 * share[kept]).astype(np.uint8) for name, share in shares.items()}
