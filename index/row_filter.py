"""Filters over plain rows, and the columns that the cohort's metadata declares: for lists of slides.

A search resolves the same filters in LanceDB; here no index need be there.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from slidelake.errors import FilterError
from slidelake.index.tables import declared_columns, metadata_fields, slides_schema

if TYPE_CHECKING:
    from slidelake.index.cohort import Cohort
    from slidelake.index.filters import Column, Condition, Filter

__all__ = ["cohort_columns", "row_test"]

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def cohort_columns(cohort: Cohort, *, patches: bool) -> dict[str, Column]:
    """The columns that filters may name, as an index synced now would declare them."""
    schema = slides_schema("", metadata_fields(cohort.types), cohort.generation)
    return declared_columns(schema, patches=patches)


def row_test(where: Filter, columns: Mapping[str, Column]) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a row (values by column) meets all conditions; a missing value meets none, as in the index.

    Raises FilterError for an unknown column, a column of patches, or a value of the wrong type.
    """
    tests = [_test(condition, column) for condition, column in where.bound(columns)]
    return lambda row: all(test(row) for test in tests)


def _test(condition: Condition, column: Column) -> Callable[[Mapping[str, Any]], bool]:
    if column.level != "slide":
        raise FilterError(
            f"column {column.name!r} is one of patches, not of slides", remedy="Filter a search by it."
        )
    name, values = column.name, condition.typed(column)
    if condition.operator in ("in", "not in"):
        wanted, inside = frozenset(values), condition.operator == "in"
        return lambda row: row.get(name) is not None and (row[name] in wanted) is inside
    compare, value = _COMPARE[condition.operator], values[0]
    return lambda row: row.get(name) is not None and compare(row[name], value)
