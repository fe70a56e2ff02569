"""Typed filters on declared columns: what people write becomes expressions, never SQL text.

A filter is a conjunction of conditions. It is bound to the columns that the index declares before it is
used: an unknown column or a value of the wrong type is a `FilterError` that names what there is. Values reach
LanceDB as literals of its expression builder, so quotes and semicolons in them are only characters. A row
whose value is missing meets no condition, as in SQL.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from slidelake.errors import FilterError

if TYPE_CHECKING:
    from lancedb.expr import Expr

__all__ = ["Column", "Condition", "Filter", "Scalar", "Where", "as_filter", "parse_where"]

Scalar = str | int | float | bool

#: What callers may pass as `where`.
Where = "Filter | Mapping[str, Any] | Sequence[str] | str | None"

_OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "in", "not in")
_SYMBOL = re.compile(r"\s*(>=|<=|!=|==|=|<|>)\s*")
_WORD = re.compile(r"\s+(not\s+in|in)\s+", re.IGNORECASE)
_TRUE, _FALSE = frozenset({"true", "yes", "1"}), frozenset({"false", "no", "0"})


@dataclass(frozen=True)
class Column:
    """A column that may be filtered on: the name people type, the name in the table, and its type.

    `kind` is "text", "integer", "number" or "boolean"; `level` is "slide" or "patch".
    """

    name: str
    physical: str
    kind: str
    level: str


@dataclass(frozen=True)
class Condition:
    """`column operator value(s)`; more than one value only for "in" and "not in"."""

    column: str
    operator: str
    values: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        if self.operator not in _OPERATORS:
            raise FilterError(
                f"unknown operator {self.operator!r} for column {self.column!r}",
                remedy=f"Use one of: {', '.join(_OPERATORS)}.",
            )
        if not self.values:
            raise FilterError(f"no value to compare {self.column!r} with", remedy="Give at least one value.")

    def __str__(self) -> str:
        return f"{self.column} {self.operator} {', '.join(str(v) for v in self.values)}"

    def typed(self, column: Column) -> list[Scalar]:
        """The values as the column's type; FilterError for what it does not hold."""
        return [_typed(value, column, self.operator) for value in self.values]

    def expression(self, column: Column) -> Expr:
        """The condition as a LanceDB expression over `column`, its values checked against the type."""
        from lancedb.expr import col, lit

        values = self.typed(column)
        left = col(column.physical)
        if self.operator == "in":
            return left.isin(values)
        if self.operator == "not in":
            return ~left.isin(values)
        right = lit(values[0])
        match self.operator:
            case "=":
                return left.eq(right)
            case "!=":
                return left.ne(right)
            case "<":
                return left.lt(right)
            case "<=":
                return left.lte(right)
            case ">":
                return left.gt(right)
            case _:
                return left.gte(right)

    def holds(self, column: Column, values: np.ndarray) -> np.ndarray:
        """(n,) bool: where numbers (n,), NaN for a missing one, meet the condition; as the expression says it."""
        wanted = [float(value) for value in self.typed(column)]
        if self.operator in ("in", "="):
            met = np.isin(values, wanted)
        elif self.operator in ("not in", "!="):
            met = ~np.isin(values, wanted)
        else:
            compare = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}
            met = compare[self.operator](values, wanted[0])
        return np.asarray(met & ~np.isnan(values), bool)


@dataclass(frozen=True)
class Filter:
    """Conditions that must all hold."""

    conditions: tuple[Condition, ...] = ()

    @classmethod
    def from_dict(cls, where: Mapping[str, Any]) -> Filter:
        """`{"site": "larynx", "stage": ["I", "II"], "age": {">=": 50}}`: equal to, one of, compared with."""
        conditions: list[Condition] = []
        for column, value in where.items():
            if isinstance(value, Mapping):
                conditions += [Condition(column, str(op), _values(column, v)) for op, v in value.items()]
            elif isinstance(value, list | tuple | set | frozenset):
                listed = sorted(value, key=str) if isinstance(value, set | frozenset) else value
                conditions.append(Condition(column, "in", _values(column, listed)))
            else:
                conditions.append(Condition(column, "=", _values(column, value)))
        return cls(tuple(conditions))

    def __bool__(self) -> bool:
        return bool(self.conditions)

    def __str__(self) -> str:
        return " and ".join(str(condition) for condition in self.conditions)

    def split(self, columns: Mapping[str, Column]) -> tuple[Expr | None, Expr | None]:
        """The filter over the slides' columns and over the patches' columns; FilterError for any other."""
        parts: dict[str, list[Expr]] = {"slide": [], "patch": []}
        for condition, column in self.bound(columns):
            parts[column.level].append(condition.expression(column))
        return _all_of(parts["slide"]), _all_of(parts["patch"])

    def bound(self, columns: Mapping[str, Column]) -> list[tuple[Condition, Column]]:
        """Each condition with its column; FilterError for a column that is not there."""
        pairs = []
        for condition in self.conditions:
            column = columns.get(condition.column)
            if column is None:
                known = ", ".join(f"{c.name} ({c.kind})" for c in columns.values()) or "none"
                raise FilterError(
                    f"there is no column {condition.column!r} to filter on",
                    remedy=f"The columns are: {known}.",
                )
            pairs.append((condition, column))
        return pairs


def parse_where(terms: Sequence[str]) -> Filter:
    """Read `site=larynx`, `age>=50`, `stage in I,II`, `site!=lung`, `stage not in III,IV`; all must hold.

    Values may be quoted (`diagnosis in "adenocarcinoma, mucinous",other`).
    """
    return Filter(tuple(_parse(term) for term in terms))


def as_filter(where: Filter | Mapping[str, Any] | Sequence[str] | str | None) -> Filter:
    """Whatever a caller may give as `where`, as a `Filter`."""
    if where is None:
        return Filter()
    if isinstance(where, Filter):
        return where
    if isinstance(where, str):
        return parse_where([where])
    if isinstance(where, Mapping):
        return Filter.from_dict(where)
    if isinstance(where, Sequence):
        return parse_where(where)
    raise FilterError(
        f"a {type(where).__name__} is not a filter", remedy='Pass {"column": value} or ["column=value", …].'
    )


def _parse(term: str) -> Condition:
    symbol, word = _SYMBOL.search(term), _WORD.search(term)
    first = min((m for m in (symbol, word) if m), key=lambda m: m.start(), default=None)
    column = term[: first.start()].strip() if first else ""
    if first is None or not column:
        raise FilterError(
            f"cannot read the filter {term!r}", remedy='Write column=value, column>=value or "column in a,b".'
        )
    operator = " ".join(first.group(1).lower().split()).replace("==", "=")
    rest = term[first.end() :].strip()
    if operator in ("in", "not in"):
        try:
            row = next(csv.reader([rest], skipinitialspace=True), [])
        except csv.Error as exc:
            raise FilterError(
                f"cannot read the values of {term!r}: {exc}", remedy="Write them as a,b on one line."
            ) from exc
        return Condition(column, operator, tuple(value.strip() for value in row if value.strip()))
    if len(rest) >= 2 and rest[0] == rest[-1] and rest[0] in "'\"":
        rest = rest[1:-1]
    return Condition(column, operator, (rest,))


def _values(column: str, value: Any) -> tuple[Scalar, ...]:
    listed = value if isinstance(value, list | tuple) else [value]
    plain = [v.item() if hasattr(v, "item") else v for v in listed]  # numpy scalars
    for v in plain:
        if not isinstance(v, str | int | float | bool):
            raise FilterError(
                f"column {column!r} cannot be compared with a {type(v).__name__}",
                remedy="Use text, a number, true or false, or a list of these.",
            )
    return tuple(plain)


def _typed(value: Scalar, column: Column, operator: str) -> Scalar:
    """`value` as the column's type; text is read as a number or a truth value where the column is one."""
    wrong = FilterError(
        f"column {column.name!r} holds {column.kind}, which {value!r} is not",
        remedy=f"Compare {column.name} with {_EXAMPLES[column.kind]}.",
    )
    if column.kind == "text":
        if not isinstance(value, str) or not _encodable(value):
            raise wrong
        return value
    if column.kind == "boolean":
        if operator not in ("=", "!=", "in", "not in"):
            raise FilterError(
                f"column {column.name!r} is true or false, which has no order", remedy="Use = or !=."
            )
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in _TRUE | _FALSE:
            return value.lower() in _TRUE
        raise wrong
    if isinstance(value, bool):
        raise wrong
    try:
        number = float(value)
    except ValueError:
        raise wrong from None
    if not math.isfinite(number):
        raise wrong
    if column.kind == "integer" and number.is_integer() and abs(number) < 2**53:
        return int(number)
    return number


def _encodable(text: str) -> bool:
    """False for what a terminal passed on without being able to decode it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_EXAMPLES = {
    "text": 'text, such as "a"',
    "integer": "a number, such as 50",
    "number": "a number, such as 0.5",
    "boolean": "true or false",
}


def _all_of(expressions: list[Expr]) -> Expr | None:
    return reduce(lambda a, b: a & b, expressions) if expressions else None
