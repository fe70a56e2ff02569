"""The cohort's metadata as Arrow columns: numbers stay numbers, truth values stay so, the rest is text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    import pandas as pd

    from slidelake.store import FeatureStore

__all__ = ["Cohort", "read_cohort"]


@dataclass(frozen=True)
class Cohort:
    """Types of the metadata columns, their values by slide, and the patients that the metadata names.

    `generation` is the metadata's own: while it stands, nothing of this changes.
    """

    generation: int
    types: dict[str, pa.DataType]
    values: dict[str, dict[str, Any]]
    patients: dict[str, str]


def read_cohort(store: FeatureStore) -> Cohort:
    """The store's metadata; `patient_id` is kept apart, because every slide has one with or without it."""
    generation = store.metadata.generation()
    frame = store.metadata.read()
    if frame.empty or "slide_id" not in frame:
        return Cohort(generation, {}, {}, {})
    slides = [str(slide) for slide in frame["slide_id"]]
    columns = {str(name): _column(frame[name]) for name in frame.columns if name != "slide_id"}
    patients = columns.pop("patient_id", pa.nulls(len(slides), pa.string())).cast(pa.string()).to_pylist()
    lists = {name: column.to_pylist() for name, column in columns.items()}
    return Cohort(
        generation=generation,
        types={name: column.type for name, column in columns.items()},
        values={slide: {name: lists[name][i] for name in lists} for i, slide in enumerate(slides)},
        patients={slide: p for slide, p in zip(slides, patients, strict=True) if p},
    )


def _column(series: pd.Series) -> pa.Array:
    try:
        array = pa.array(series, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # a column of mixed kinds: text holds them all
        array = pa.array(
            [None if missing else str(v) for v, missing in zip(series, series.isna(), strict=True)]
        )
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    kind = array.type
    if pa.types.is_boolean(kind):
        return array
    if pa.types.is_integer(kind):
        return array.cast(pa.int64())
    if pa.types.is_floating(kind):
        array = array.cast(pa.float64())
        # pandas has no integers with gaps in them: 61.0, NaN were 61 and an empty cell.
        if (
            array.null_count
            and array.null_count < len(array)
            and pc.all(pc.equal(pc.floor(array), array)).as_py()
        ):
            return array.cast(pa.int64())
        return array
    if pa.types.is_dictionary(kind):
        array = array.dictionary_decode()
    if pa.types.is_null(kind):
        return pa.nulls(len(array), pa.string())
    if pa.types.is_temporal(array.type):  # ISO text sorts as time does
        return pa.array([None if v is None else v.isoformat() for v in array.to_pylist()], pa.string())
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        return array.cast(pa.string())
    return pa.array([None if v is None else str(v) for v in array.to_pylist()], pa.string())
