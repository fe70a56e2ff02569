"""One number a patch: attention, a column of the grid, or what a person brings; what a heatmap shows."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import GridMismatchError, UsageError
from slidelake.services.attention_source import find_aggregator
from slidelake.store import slug, split_space

if TYPE_CHECKING:
    from slidelake.store import FeatureStore, Grid

__all__ = [
    "SHOWS",
    "PatchValues",
    "attention_values",
    "choose_values",
    "column_values",
    "file_values",
    "grid_values",
]

#: What of an aggregator's attention can be shown.
SHOWS = ("rank", "attention", "score")


@dataclass(frozen=True)
class PatchValues:
    """What is shown of one slide: `coords` (N, 2) int32 level-0 px, `values` (N,) float64, NaN = not shown.

    `footprint` and `stride` of the grid in level-0 px (x, y), `size` of the slide (width, height). `label` says what
    the values are, `tag` is their part of file names, `measures` (N,) each go into the GeoJSON beside them.
    `sources`: for a rank, the values that were ranked, so that a legend can name them.
    """

    slide_id: str
    grid_id: str
    coords: NDArray[np.int32]
    values: NDArray[np.float64]
    footprint: tuple[float, float]
    stride: tuple[float, float]
    size: tuple[int, int]
    label: str
    tag: str
    measures: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    sources: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = ()

    @property
    def shown(self) -> NDArray[np.bool_]:
        """(N,) which patches have a value."""
        return np.isfinite(self.values)


def choose_values(
    store: "FeatureStore",
    slide_id: str,
    space: str,
    *,
    aggregator: str | None = None,
    column: str | None = None,
    file: Path | None = None,
    show: str = "rank",
    branch: int | None = None,
) -> list[PatchValues]:
    """The values that one of `aggregator` (id, name or checkpoint), `column` and `file` means: several for branches."""
    if sum(each is not None for each in (aggregator, column, file)) != 1:
        raise UsageError(
            "a heatmap shows one thing",
            remedy="Name an aggregator, or a column of the grid, or a file of values.",
        )
    grid_id = split_space(space)[0]
    if column is not None:
        return [column_values(store, slide_id, grid_id, column)]
    if file is not None:
        return [file_values(store, slide_id, grid_id, file)]
    aggregator_id = find_aggregator(store, space, str(aggregator))
    return attention_values(store, slide_id, space, aggregator_id, show=show, branch=branch)


def attention_values(
    store: "FeatureStore",
    slide_id: str,
    space: str,
    aggregator_id: str,
    *,
    show: str = "rank",
    branch: int | None = None,
) -> list[PatchValues]:
    """The stored attention of each branch, or of one: its percentile rank, exp(score − lse), or the raw score.

    Raises UnknownSlideError where the slide has no such embedding; UsageError where the aggregator keeps no scores,
    or has no such branch; GridMismatchError where the scores are another grid's.
    """
    if show not in SHOWS:
        raise UsageError(f"attention is not shown as {show!r}", remedy=f"Choose one of {', '.join(SHOWS)}.")
    pooled = store.pooled(slide_id, space, aggregator_id)
    grid = store.grid(slide_id, split_space(space)[0])
    scores, lse = pooled.scores, pooled.lse
    if scores is None or lse is None:
        raise UsageError(
            f"{aggregator_id} keeps no attention",
            remedy="Name an aggregator that has some: slidelake embed --list shows those there are.",
            slide=slide_id,
        )
    if pooled.commit.grid_checksum != grid.checksum or scores.shape[1] != len(grid):
        raise GridMismatchError(
            f"the scores of {aggregator_id} are for other patches than the grid's",
            remedy="Run slidelake embed again.",
            slide=slide_id,
        )
    branches = range(len(scores)) if branch is None else [branch]
    if branch is not None and not 0 <= branch < len(scores):
        raise UsageError(
            f"{aggregator_id} has no branch {branch}",
            remedy=f"Its branches are 0 to {len(scores) - 1}.",
            slide=slide_id,
        )
    notes: list[str] = []
    if pooled.provenance.get("bag") != store.bag(slide_id, space).commit.attempt:
        notes.append("made from an older generation of the bag: slidelake embed makes it again")
    made = []
    for number in branches:
        score = scores[number].astype(np.float64)
        attention = np.exp(score - float(lse[number]))
        counts = np.isfinite(score)
        score[~counts] = np.nan
        attention[~counts] = np.nan
        rank = percentile_rank(attention)
        which = f", branch {number} of {len(scores)}" if len(scores) > 1 else ""
        measures = {
            "attention": attention,
            "attention x patches": attention * int(counts.sum()),
            "attention percentile": rank,
            "attention score": score,
        }
        made.append(
            _of_grid(
                grid,
                {"rank": rank, "attention": attention, "score": score}[show],
                label=f"{_WORDS[show]} of {aggregator_id}{which}",
                tag=f"{aggregator_id}.{show}" + (f".branch{number}" if len(scores) > 1 else ""),
                measures=measures,
                sources=attention if show == "rank" else None,
                notes=tuple(notes),
            )
        )
    return made


_WORDS = {
    "rank": "percentile rank of the attention",
    "attention": "attention",
    "score": "raw attention score",
}


def column_values(store: "FeatureStore", slide_id: str, grid_id: str, column: str) -> PatchValues:
    """A column of the grid (tissue, blur, pen, …), as it is stored: 0 to 255."""
    grid = store.grid(slide_id, grid_id)
    if column not in grid.columns:
        known = ", ".join(sorted(grid.columns))
        raise UsageError(
            f"the grid {grid_id} has no column {column!r}",
            remedy=f"It has: {known}." if known else "It has none: its features were imported.",
            slide=slide_id,
        )
    values = grid.columns[column].astype(np.float64)
    return _of_grid(grid, values, label=f"{column} (0 to 255)", tag=column, measures={column: values})


def grid_values(
    store: "FeatureStore",
    slide_id: str,
    grid_id: str,
    values: NDArray[np.float64],
    *,
    label: str,
    notes: tuple[str, ...] = (),
) -> PatchValues:
    """Values (N,) in the order of a grid's patches, NaN = not shown."""
    grid = store.grid(slide_id, grid_id)
    if values.shape != (len(grid),):
        raise GridMismatchError(
            f"{values.shape} values are not one for each of {len(grid)} patches",
            remedy="Give one number a patch.",
            slide=slide_id,
        )
    return _of_grid(grid, values, label=label, tag=slug(label), measures={label: values}, notes=notes)


def file_values(store: "FeatureStore", slide_id: str, grid_id: str, path: Path) -> PatchValues:
    """A value a patch from a file: .npy (N,) in the grid's order, or .csv with `value` and `row`, or `x` and `y`.

    A CSV may leave patches out, and may hold other slides by a `slide_id` column. Values that are NaN are not shown.
    """
    grid = store.grid(slide_id, grid_id)
    if not path.is_file():
        raise UsageError(f"there is no file {path}", remedy="Give a .npy or .csv file of values.")
    suffix = path.suffix.lower()
    if suffix == ".npy":
        values = _from_npy(path, len(grid))
    elif suffix == ".csv":
        values = _from_csv(path, slide_id, grid.coords)
    else:
        raise UsageError(f"{path} is neither .npy nor .csv", remedy="Give a .npy or .csv file of values.")
    if not np.isfinite(values).any():
        raise UsageError(f"{path} holds no value for this slide", remedy="Look at its rows.", slide=slide_id)
    return _of_grid(grid, values, label=path.stem, tag=slug(path.stem), measures={path.stem: values})


def percentile_rank(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """0 to 100 by place among the finite values, equal values alike; NaN stays NaN."""
    rank = np.full(len(values), np.nan)
    counts = np.isfinite(values)
    _, inverse, number = np.unique(values[counts], return_inverse=True, return_counts=True)
    before = np.cumsum(number) - number
    rank[counts] = (100 * (before + 0.5 * number) / max(int(counts.sum()), 1))[inverse]
    return rank


def _of_grid(grid: "Grid", values: NDArray[np.float64], **said: Any) -> PatchValues:
    attributes = grid.attributes
    sides = attributes.get("footprint_level0")
    if sides is None:
        raise UsageError(
            "the grid does not say how large a patch is",
            remedy="Import its features again with --patch-size-level0.",
            slide=grid.slide_id,
        )
    footprint = (float(sides[0]), float(sides[1]))
    stride = attributes.get("stride_level0") or footprint
    coords = grid.coords
    size = attributes.get("slide_size")
    if size is None:  # imported features may not know it: what the patches cover is shown
        size = np.ceil(coords.max(axis=0) + footprint) if len(coords) else (1, 1)
    return PatchValues(
        slide_id=grid.slide_id,
        grid_id=grid.commit.subject.grid_id,
        coords=coords,
        values=values,
        footprint=footprint,
        stride=(float(stride[0]), float(stride[1])),
        size=(int(size[0]), int(size[1])),
        **said,
    )


def _from_npy(path: Path, rows: int) -> NDArray[np.float64]:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as exc:
        raise UsageError(f"{path} cannot be read ({exc})", remedy="Save it with numpy.save.") from exc
    if array.shape != (rows,) or array.dtype.kind not in "fiub":
        raise UsageError(
            f"{path} holds {array.shape} {array.dtype}", remedy=f"Give one number a patch: ({rows},)."
        )
    return np.asarray(array, np.float64)


def _from_csv(path: Path, slide_id: str, coords: NDArray[np.int32]) -> NDArray[np.float64]:
    values = np.full(len(coords), np.nan)
    row_at = {(float(x), float(y)): n for n, (x, y) in enumerate(coords)}
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = set(reader.fieldnames or ())
        if "value" not in columns or not ({"row"} <= columns or {"x", "y"} <= columns):
            raise UsageError(
                f"{path} has the columns {', '.join(reader.fieldnames or ()) or 'none'}",
                remedy="Give `value` with `row`, or with `x` and `y` (level-0 px of the patch's top-left corner).",
            )
        for line, record in enumerate(reader, start=2):
            if "slide_id" in columns and record["slide_id"] != slide_id:
                continue
            try:
                by_row = "row" in columns
                row = int(record["row"]) if by_row else row_at[float(record["x"]), float(record["y"])]
                if not 0 <= row < len(coords):
                    raise KeyError(row)
                values[row] = float(record["value"] or "nan")
            except (ValueError, TypeError, KeyError) as exc:
                raise UsageError(
                    f"{path}, line {line}: no patch of this slide, or no number ({record})",
                    remedy=f"Rows are 0 to {len(coords) - 1}; x and y are a patch's top-left corner.",
                    slide=slide_id,
                ) from exc
    return values
