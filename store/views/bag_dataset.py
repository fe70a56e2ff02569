"""One bag as an xarray Dataset, read through the checked readers when it is computed."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from slidelake.store.bag import Bag
from slidelake.store.views.blocks import Block, block_rows_for, lazy_array, slim

if TYPE_CHECKING:
    import xarray

__all__ = ["bag_dataset"]


def bag_dataset(bag: Bag) -> "xarray.Dataset":
    """`features (patch, feature)` with the coordinates `row`, `x`, `y` (level-0 px) and `valid` along `patch`;
    the slide's id, its patient, the space and the group's attributes are the dataset's. All rows are there, those
    that are not valid too."""
    import xarray

    dtype = np.dtype(bag.commit.arrays["features"]["dtype"])
    step = block_rows_for(bag.dim * dtype.itemsize)
    commit = slim(bag.commit)
    blocks = [
        Block(bag.objects, commit, None, (start, min(start + step, len(bag))), 0, 0)
        for start in range(0, len(bag), step)
    ]
    label = commit.attempt
    features = lazy_array(
        f"{label}/features", blocks, partial(Block.features, dtype=dtype.name), dtype, bag.dim
    )
    coords = lazy_array(f"{label}/coords", blocks, Block.coords, np.dtype(np.int32), 2)
    valid = lazy_array(
        f"{label}/valid", blocks, partial(Block.column, name="valid"), np.dtype(np.uint8), None
    )
    dataset = xarray.Dataset(
        {"features": (("patch", "feature"), features)},
        {
            "row": ("patch", np.arange(len(bag), dtype=np.int32)),
            "x": ("patch", coords[:, 0]),
            "y": ("patch", coords[:, 1]),
            "valid": ("patch", valid),
        },
    )
    for name in ("x", "y"):
        dataset[name].attrs.update(units="px", description="level-0 pixel of the patch's top-left corner")
    dataset["valid"].attrs["description"] = "0 where the patch's pixels could not be read; the row is zero"
    patient = bag.provenance.get("patient_id") or bag.slide_id
    dataset.attrs.update(
        {**bag.attributes, "slide_id": bag.slide_id, "patient_id": patient, "space": bag.space}
    )
    return dataset
