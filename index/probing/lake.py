"""Labelled rows of a lake: from a column of its metadata, a column of its grids, or a table of patch labels."""

from __future__ import annotations

import os
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from slidelake.errors import UnknownNameError, UsageError
from slidelake.index.probing.labelled import Labelled

if TYPE_CHECKING:
    import pandas as pd

    from slidelake.store import FeatureStore

__all__ = ["lake_patches"]

#: A column of the grid with more values than this is a measure (tissue, blur), and no label.
_MOST_VALUES = 32

Rows = npt.NDArray[np.int64]
#: What labels one slide's patches: its rows, and a label for each.
Labeller = Callable[[str], tuple[Rows, npt.NDArray[np.str_]]]


@dataclass
class _Taken:
    """What was taken of one slide."""

    slide_id: str
    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.str_]


def lake_patches(
    store: FeatureStore,
    space: str | None = None,
    *,
    metadata: str = "",
    column: str = "",
    table: pd.DataFrame | str | os.PathLike[str] | None = None,
    centre: str = "",
    unit: Literal["patch", "slide"] = "patch",
    per_slide: int = 200,
    seed: int = 0,
) -> Labelled:
    """The labelled rows of a space, slide by slide; one bag is in memory at a time.

    The labels are one of: `metadata`, a column about slides, which all their patches then bear; `column`, a column of
    the grids (its numbers are the classes); `table`, a table or file of `slide_id`, `x`, `y`, `label`. `centre` names
    the metadata column of the medical centre. At most `per_slide` rows of a class are drawn from a slide, the same
    for a seed. `unit="slide"` gives one row a slide, the mean of its valid rows; it needs `metadata`.

    Raises UsageError, UnknownNameError (no such column), UnknownSpaceError, ManifestError (of the table).
    """
    if [bool(metadata), bool(column), table is not None].count(True) != 1:
        raise UsageError(
            "labels come from one place", remedy="Give a metadata column, a column of the grid, or a table."
        )
    if per_slide < 1:
        raise UsageError(f"per_slide={per_slide}", remedy="Take at least one row of a slide.")
    if unit == "slide" and not metadata:
        raise UsageError(
            "a slide has no label of its patches", remedy="Name a metadata column, or probe patches."
        )
    from slidelake.store import cohort

    chosen = cohort(store, space)
    slides = chosen.slides
    facts = _facts(slides, [name for name in (metadata, centre) if name])
    left_out: Counter[str] = Counter()
    labeller = _labeller(store, chosen.space, metadata, column, table, facts, left_out)
    taken = []
    for slide_id in slides["slide_id"]:
        found = _take(store, chosen.space, str(slide_id), labeller, unit, per_slide, seed, left_out)
        taken += [found] if found is not None else []
    patients = dict(zip(slides["slide_id"], slides["patient_id"], strict=True))
    counts = [len(each.labels) for each in taken]
    ids = [each.slide_id for each in taken]
    return Labelled(
        chosen.space,
        np.concatenate([np.empty((0, chosen.dim), np.float32), *(each.features for each in taken)]),
        np.concatenate([np.empty(0, np.str_), *(each.labels for each in taken)]),
        np.repeat(np.array([str(patients[each] or each) for each in ids], np.str_), counts),
        np.repeat(np.array(ids, np.str_), counts),
        np.repeat(np.array([facts[centre][each] if centre else "" for each in ids], np.str_), counts),
        {reason: count for reason, count in left_out.items() if count},
        ("a patch bears the label of its slide",) if metadata and unit == "patch" else (),
    )


def _facts(slides: pd.DataFrame, columns: list[str]) -> dict[str, dict[str, str]]:
    """Column → slide → value as text, "" where it is missing."""
    found: dict[str, dict[str, str]] = {}
    for name in columns:
        if name not in slides.columns:
            raise UnknownNameError(
                f"the lake's metadata has no column {name!r}",
                remedy="`slidelake metadata show` lists the columns; `slidelake metadata update` adds some.",
            )
        values = zip(slides["slide_id"], slides[name], slides[name].isna(), strict=True)
        found[name] = {str(slide): "" if missing else _text(value) for slide, value, missing in values}
    return found


def _text(value: Any) -> str:
    # A column of integers with gaps is one of floats to pandas.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _labeller(
    store: FeatureStore,
    space: str,
    metadata: str,
    column: str,
    table: pd.DataFrame | str | os.PathLike[str] | None,
    facts: Mapping[str, Mapping[str, str]],
    left_out: Counter[str],
) -> Labeller:
    if metadata:

        def by_metadata(slide_id: str) -> tuple[Rows, npt.NDArray[np.str_]]:
            label = facts[metadata][slide_id]
            if not label:
                left_out["slides without a label"] += 1
                return np.empty(0, np.int64), np.empty(0, np.str_)
            rows = len(store.bag(slide_id, space))
            return np.arange(rows), np.full(rows, label)

        return by_metadata
    if column:

        def by_column(slide_id: str) -> tuple[Rows, npt.NDArray[np.str_]]:
            columns = store.grid(slide_id, space.partition("/")[0]).columns
            if column not in columns:
                raise UnknownNameError(
                    f"the grid has no column {column!r}",
                    remedy=f"Name one of: {', '.join(sorted(columns)) or 'there are none'}.",
                    slide=slide_id,
                )
            values = columns[column]
            if len(np.unique(values)) > _MOST_VALUES:
                raise UsageError(
                    f"the column {column!r} has {len(np.unique(values))} values: a measure, not a label",
                    remedy=f"A label has at most {_MOST_VALUES}; give a table of labels instead.",
                    slide=slide_id,
                )
            return np.arange(len(values)), values.astype(np.str_)

        return by_column
    from slidelake.store.streaming import PatchLabels

    assert table is not None
    labels = PatchLabels.read(table, store, space)
    left_out.update(labels.left_out)
    classes = np.array(labels.classes, np.str_)

    def by_table(slide_id: str) -> tuple[Rows, npt.NDArray[np.str_]]:
        if slide_id not in labels.slide_ids:
            return np.empty(0, np.int64), np.empty(0, np.str_)
        rows, targets = labels.of(slide_id)
        return np.asarray(rows, np.int64), classes[targets]

    return by_table


def _take(
    store: FeatureStore,
    space: str,
    slide_id: str,
    labeller: Labeller,
    unit: str,
    per_slide: int,
    seed: int,
    left_out: Counter[str],
) -> _Taken | None:
    rows, labels = labeller(slide_id)
    if not len(rows):
        return None
    bag = store.bag(slide_id, space)
    good = bag.valid[rows] == 1
    left_out["patches that could not be read"] += int((~good).sum())
    rows, labels = rows[good], labels[good]
    if not len(rows):
        left_out["slides without a valid patch"] += 1
        return None
    if unit == "slide":
        mean = np.asarray(bag.features[rows], np.float64).mean(axis=0, keepdims=True)
        return _Taken(slide_id, mean.astype(np.float32), labels[:1])
    # By the slide's name, so that a slide more or less changes no other slide's draw.
    generator = np.random.default_rng([seed, zlib.crc32(slide_id.encode())])
    drawn: list[int] = []
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        drawn += generator.permutation(places)[:per_slide].tolist()
    kept = np.array(sorted(drawn))
    return _Taken(slide_id, np.asarray(bag.features[rows[kept]], np.float32), labels[kept])
