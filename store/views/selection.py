"""Which slides belong to a cohort, and which of their rows."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import FilterError, UsageError
from slidelake.store.bag import Bag, Grid
from slidelake.store.checksums import checksum
from slidelake.store.commits import Commit
from slidelake.store.names import no_slide
from slidelake.store.objects import Objects

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Bounds", "Where", "bounds_of", "choose_slides", "columns_of", "good_rows"]

#: Metadata: a value or several by column, or a function of the table that says which rows to take.
Where = Mapping[str, Any] | Callable[["pd.DataFrame"], Any]
#: Least and most of a grid column, both still taken.
Bounds = Mapping[str, tuple[int, int]]


def choose_slides(
    frame: "pd.DataFrame", url: str, space: str, slides: Sequence[str] | None, where: Where | None
) -> "pd.DataFrame":
    """The rows of the catalog that are asked for and have a bag in the space, by slide_id or in the order of
    `slides`. Raises UnknownSlideError, FilterError, UsageError (a slide twice)."""
    import pandas as pd
    import pandas.api.types as types

    has_bag = frame["spaces"].map(lambda spaces: space in spaces).astype(bool)
    if slides is None:
        frame = frame[has_bag]
    else:
        if isinstance(slides, str):
            raise UsageError(f"slides={slides!r} is one string", remedy=f"Write slides=[{slides!r}].")
        wanted = list(slides)
        known = dict(zip(frame["slide_id"], has_bag, strict=True))
        for slide_id in wanted:
            if not known.get(slide_id, False):
                what = f"bag in {space}" if slide_id in known else ""
                raise no_slide(url, slide_id, what, [] if what else list(known))
        if len(set(wanted)) < len(wanted):
            twice = next(each for each in wanted if wanted.count(each) > 1)
            raise UsageError(f"{twice} is asked for twice", remedy="Name each slide once.")
        frame = frame.set_index("slide_id", drop=False).loc[wanted]
    if where is not None:
        fits = pd.Series(_fits(frame, where))
        if len(fits) != len(frame) or not types.is_bool_dtype(fits) or fits.isna().any():
            raise FilterError(
                "where= did not say yes or no for each slide",
                remedy="Return one bool a row of the table; empty cells are neither: .fillna(False).",
            )
        frame = frame[fits.to_numpy(bool)]
    if not len(frame):
        raise FilterError("no slide fits", remedy="Look at store.catalog(): it has the columns and values.")
    return frame.reset_index(drop=True)


def _fits(frame: "pd.DataFrame", where: Where) -> Any:
    if not isinstance(where, Mapping):
        return where(frame)
    fits = np.ones(len(frame), bool)
    for name, value in where.items():
        if name not in frame.columns:
            columns = ", ".join(map(str, frame.columns))
            raise FilterError(f"there is no column {name}", remedy=f"Name one of: {columns}.")
        several = isinstance(value, Collection) and not isinstance(value, str | bytes)
        fits &= np.asarray(frame[name].isin(list(value) if several else [value]), bool)
    return fits


def bounds_of(quality: Mapping[str, tuple[int | None, int | None]] | None) -> dict[str, tuple[int, int]]:
    """Bounds with both ends; raises FilterError for what is not (least, most) within 0…255."""
    bounds = {}
    for name, ends in (quality or {}).items():
        try:
            least, most = ends
            low, high = 0 if least is None else least, 255 if most is None else most
            good = int(low) == low and int(high) == high and 0 <= low <= high <= 255
        except (TypeError, ValueError):
            good = False
        if not good:
            raise FilterError(
                f"{name}={ends!r} is no range",
                remedy="Give (least, most) within 0 to 255; None where there is no limit.",
            )
        bounds[name] = (int(low), int(high))
    return bounds


def columns_of(grid: Commit) -> list[str]:
    """The grid's (N,) uint8 columns; imported ones may hold other arrays beside coords."""
    return sorted(
        name for name, entry in grid.arrays.items() if entry["dtype"] == "uint8" and len(entry["shape"]) == 1
    )


def good_rows(objects: Objects, bag: Commit, grid: Commit | None, bounds: Bounds) -> NDArray[np.int32] | None:
    """Numbers of the rows that are valid and within the bounds; None where all are.

    Reads the columns that are asked for, (N,) uint8 each, and `valid` only where its checksum is not that of
    ones alone.
    """
    rows = int(bag.arrays["features"]["shape"][0])
    keep = np.ones(rows, bool)
    if bag.arrays["valid"]["checksum"] != checksum(keep.view(np.uint8)):
        keep &= Bag(objects, bag).valid != 0
    for name, (least, most) in bounds.items():
        if grid is None or name not in columns_of(grid):
            there = ", ".join(columns_of(grid)) if grid is not None else ""
            raise FilterError(
                f"the grid has no column {name}",
                remedy=f"Name one of: {there}." if there else "Leave this slide out, or ingest it again.",
                slide=bag.slide_id,
            )
        column = Grid(objects, grid).array(name)
        keep &= (column >= least) & (column <= most)
    return None if keep.all() else np.flatnonzero(keep).astype(np.int32)
