"""The catalog as the server shows it: remembered for a moment, filtered, searched and sorted in memory."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from slidelake.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from slidelake.index import Column
    from slidelake.store import FeatureStore

__all__ = ["CatalogView", "Row", "read_catalog_view"]

_MOST_VALUES = 50
#: What every slide has, beside the metadata's columns.
_SORTED_BY = ("slide_id", "patient_id", "patches", "mpp", "width", "height")


@dataclass(frozen=True)
class Row:
    """One slide of the catalog; numbers are None where nothing says them."""

    slide_id: str
    patient_id: str
    mpp: float | None
    width: int | None
    height: int | None
    spaces: tuple[str, ...]
    space_patches: tuple[int, ...]
    patches: int
    metadata: Mapping[str, Any]

    @cached_property
    def text(self) -> str:
        """Everything that a person may look for, in lower case."""
        said = [self.slide_id, self.patient_id, *(str(value) for value in self.metadata.values())]
        return "\n".join(said).casefold()

    @cached_property
    def values(self) -> dict[str, Any]:
        """Values by column, as filters and sorting name them."""
        return {
            **self.metadata,
            "slide_id": self.slide_id,
            "patient_id": self.patient_id,
        }


@dataclass(frozen=True)
class CatalogView:
    """All slides, by id and in order, and the metadata's columns."""

    rows: tuple[Row, ...]
    by_id: Mapping[str, Row]
    columns: Mapping[str, "Column"]

    def choose(self, query: str, where: Sequence[str], sort: str) -> list[Row]:
        """The slides whose text has all words of `query` and that meet all filters, sorted by a column.

        A `-` before the column turns the order round; slides without a value come last. Raises FilterError, and
        UsageError for a column that is not there.
        """
        rows: Sequence[Row] = self.rows
        if where:
            from slidelake.index import parse_where, row_test

            test = row_test(parse_where(where), self.columns)
            rows = [row for row in rows if test(row.values)]
        words = query.casefold().split()
        if words:
            rows = [row for row in rows if all(word in row.text for word in words)]
        return self._sorted(rows, sort)

    def _sorted(self, rows: Sequence[Row], sort: str) -> list[Row]:
        name, backwards = sort.removeprefix("-"), sort.startswith("-")
        if name not in _SORTED_BY and not (name in self.columns and self.columns[name].level == "slide"):
            known = [*_SORTED_BY, *(n for n, c in self.columns.items() if c.level == "slide")]
            raise UsageError(
                f"slides cannot be sorted by {name[:80]!r}",
                remedy=f"Sort by one of: {', '.join(dict.fromkeys(known))}.",
            )

        def key(row: Row) -> Any:
            return getattr(row, name) if name in _SORTED_BY else row.values.get(name)

        there = [row for row in rows if key(row) is not None]
        absent = [row for row in rows if key(row) is None]
        return [*sorted(there, key=key, reverse=backwards), *absent]

    def values_of(self, name: str) -> list[Any] | None:
        """The sorted values of a column where they are few enough to choose from; else None."""
        values = {row.values.get(name) for row in self.rows} - {None}
        return sorted(values) if len(values) <= _MOST_VALUES else None


def read_catalog_view(store: "FeatureStore") -> CatalogView:
    """Read the catalog and the metadata as they are now."""
    from slidelake.index import cohort_columns, read_cohort

    frame = store.catalog()
    cohort = read_cohort(store)
    rows = tuple(_row(each, cohort.values) for each in _records(frame))
    return CatalogView(rows, {row.slide_id: row for row in rows}, cohort_columns(cohort, patches=True))


def _records(frame: "pd.DataFrame") -> "list[dict[str, Any]]":
    names = ["slide_id", "patient_id", "mpp", "width", "height", "spaces", "space_patches", "n_patches"]
    columns = [frame[name].tolist() for name in names]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _row(said: Mapping[str, Any], metadata: Mapping[str, Mapping[str, Any]]) -> Row:
    own = metadata.get(said["slide_id"], {})
    return Row(
        slide_id=said["slide_id"],
        patient_id=said["patient_id"],
        mpp=_number(said["mpp"]),
        width=_whole(said["width"]),
        height=_whole(said["height"]),
        spaces=tuple(said["spaces"]),
        space_patches=tuple(int(each) for each in said["space_patches"]),
        patches=int(said["n_patches"]),
        metadata={name: value for name, value in own.items() if _is_value(value)},
    )


def _is_value(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and math.isfinite(value) else None
