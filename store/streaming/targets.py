"""What a model learns from a bag: a class, numbers, or a time to an event."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import ManifestError, UsageError
from slidelake.store.streaming.tables import MISSING, column_of, listed, numbers, texts

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Classification", "Regression", "Survival", "Target"]

_LABELS = "table of labels"


@dataclass(frozen=True)
class Classification:
    """The class that a column names, as its number in `classes`: () int64.

    Classes are those found, sorted (as numbers where all are), or those given, in their order; what is in the
    table but not in given classes is refused.
    """

    column: str
    classes: Sequence[str | int] | None = None

    def __post_init__(self) -> None:
        if self.classes is None:
            return
        names = tuple(str(name).strip() for name in self.classes)
        if isinstance(self.classes, str) or not names or "" in names or len(set(names)) < len(names):
            raise UsageError(
                f"classes {self.classes!r} cannot be",
                remedy="Give a sequence of names, each once, none empty.",
            )
        object.__setattr__(self, "classes", names)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it is read from."""
        return (self.column,)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class by its number; nothing before a table was read."""
        return tuple(map(str, self.classes or ()))

    def parse(
        self, table: "pd.DataFrame", ids: Sequence[str]
    ) -> tuple["Classification", NDArray[Any], NDArray[np.bool_]]:
        """Itself with all classes, (n,) int64 class numbers, and (n,) bool: is there a label?"""
        # A class may be called None or NA where it was named as a class.
        said = texts(column_of(table, self.column, _LABELS), MISSING - set(self.class_names))
        names = self.class_names or _sorted_classes({name for name in said if name})
        number = {name: n for n, name in enumerate(names)}
        wrong = [f"{ids[n]} ({name})" for n, name in enumerate(said) if name and name not in number]
        if wrong:
            raise ManifestError(
                f"the column {self.column} names classes other than {', '.join(names)}: {listed(wrong)}",
                remedy="Add them to `classes`, or leave those rows out.",
            )
        values = np.array([number.get(name, -1) for name in said], np.int64)
        return replace(self, classes=names or None), values, values >= 0

    def groups(self, values: NDArray[Any], bins: int) -> NDArray[np.int64]:
        """The class number; `bins` is for targets that are numbers."""
        return values.astype(np.int64)

    def group_name(self, group: int, bins: int) -> str:
        return self.class_names[group]


@dataclass(frozen=True)
class Regression:
    """The numbers in one or more columns: (C,) float32."""

    names: str | Sequence[str]

    def __post_init__(self) -> None:
        names = (self.names,) if isinstance(self.names, str) else tuple(self.names)
        if not names or len(set(names)) < len(names):
            raise UsageError(f"columns {names!r} cannot be a target", remedy="Name each column once.")
        object.__setattr__(self, "names", names)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it is read from, in the order of the target's numbers."""
        return (self.names,) if isinstance(self.names, str) else tuple(self.names)

    def parse(
        self, table: "pd.DataFrame", ids: Sequence[str]
    ) -> tuple["Regression", NDArray[Any], NDArray[np.bool_]]:
        """Itself, (n, C) float32, and (n,) bool: are all the columns known?"""
        read = [numbers(column_of(table, name, _LABELS), ids, name) for name in self.columns]
        values = _float32(np.stack(read, axis=1), ids, ", ".join(self.columns))
        return self, values, _known(values)

    def groups(self, values: NDArray[Any], bins: int) -> NDArray[np.int64]:
        """Quantile of the first column's number: 0 … bins - 1, fewer where many are equal."""
        return _quantile_of(values[:, 0], values[:, 0], bins)

    def group_name(self, group: int, bins: int) -> str:
        return f"{self.columns[0]} quantile {group + 1}" if bins > 1 else "all"


@dataclass(frozen=True)
class Survival:
    """Time to an event or to the end of follow-up: (2,) float32, the time (≥ 0) and the event (1; 0 censored).

    With `bins` or `cuts`, for models of discrete time, (3,) float32: the number of the interval follows. `cuts`
    are the inner borders, ascending; a time at a border belongs to the later interval. `bins` asks for quantiles
    of the times of events, which `Labels.fit` takes from the part that is trained on, and from nothing else.
    """

    time: str
    event: str
    bins: int | None = None
    cuts: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if self.bins is not None and self.bins < 2:
            raise UsageError(f"{self.bins} intervals cannot be", remedy="Give bins from 2 up.")
        if self.cuts is None:
            return
        cuts = tuple(float(cut) for cut in self.cuts)
        if not cuts or not all(np.isfinite(cuts)) or any(b <= a for a, b in pairwise(cuts)):
            raise UsageError(f"cuts {cuts} cannot be", remedy="Give finite times, ascending.")
        if self.bins not in (None, len(cuts) + 1):
            raise UsageError(
                f"{len(cuts)} cuts make {len(cuts) + 1} intervals, not {self.bins}",
                remedy="Give one of the two.",
            )
        object.__setattr__(self, "cuts", cuts)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it is read from."""
        return (self.time, self.event)

    def parse(
        self, table: "pd.DataFrame", ids: Sequence[str]
    ) -> tuple["Survival", NDArray[Any], NDArray[np.bool_]]:
        """Itself, (n, 2) float32 times and events, and (n,) bool: are both known?"""
        time = numbers(column_of(table, self.time, _LABELS), ids, self.time)
        event = numbers(_as_numbers(column_of(table, self.event, _LABELS)), ids, self.event)
        self._refuse(
            time < 0, time, ids, self.time, "is negative", "Give the time from the start of follow-up"
        )
        other = ~np.isnan(event) & ~np.isin(event, (0, 1))
        self._refuse(
            other, event, ids, self.event, "is neither 0 nor 1", "Give 1 for an event, 0 for censored"
        )
        values = _float32(np.stack([time, event], axis=1), ids, self.time)
        return self, values, _known(values)

    @staticmethod
    def _refuse(
        wrong: NDArray[np.bool_], values: NDArray[Any], ids: Sequence[str], name: str, what: str, remedy: str
    ) -> None:
        if wrong.any():
            named = listed(f"{ids[n]} ({values[n]:g})" for n in np.flatnonzero(wrong).tolist())
            raise ManifestError(f"{name} {what} for {named}", remedy=f"{remedy}, or leave the cell empty.")

    def fit(self, values: NDArray[Any]) -> Self:
        """Itself with the cuts: quantiles of the times of the events among (n, 2) values."""
        if self.bins is None:
            raise UsageError(
                "there are no intervals to make", remedy="Ask for them: Survival(…, bins=4), for instance."
            )
        times = values[values[:, 1] == 1, 0].astype(np.float64)
        if len(times) == 0:
            raise UsageError("no event is among these", remedy="Fit on a part that has events.")
        cuts = np.quantile(times, np.arange(1, self.bins) / self.bins)
        if (np.diff(cuts) <= 0).any() or cuts[0] <= times.min():
            raise UsageError(
                f"{len(np.unique(times))} times of events do not make {self.bins} intervals",
                remedy="Ask for fewer bins, or give cuts=.",
            )
        return replace(self, cuts=tuple(cuts.tolist()))

    def with_intervals(self, values: NDArray[Any]) -> NDArray[Any]:
        """(n, 3) of (n, 2): the interval's number follows, where there are cuts."""
        if self.cuts is None:
            return values
        numbers = np.searchsorted(np.asarray(self.cuts), values[:, 0].astype(np.float64), side="right")
        return np.column_stack([values, numbers.astype(np.float32)])

    def groups(self, values: NDArray[Any], bins: int) -> NDArray[np.int64]:
        """Event, and quantile of the time among those with it: event · bins + quantile."""
        groups = np.zeros(len(values), np.int64)
        for event in (0, 1):
            mine = values[:, 1] == event
            groups[mine] = event * bins + _quantile_of(values[mine, 0], values[mine, 0], bins)
        return groups

    def group_name(self, group: int, bins: int) -> str:
        event = "event" if group >= bins else "censored"
        return f"{event}, {self.time} quantile {group % bins + 1}" if bins > 1 else event


Target = Classification | Regression | Survival


def _sorted_classes(names: set[str]) -> tuple[str, ...]:
    try:
        return tuple(sorted(names, key=lambda name: (float(name), name)))
    except ValueError:
        return tuple(sorted(names))


def _as_numbers(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """True and False, also as a CSV spells them, are 1 and 0."""
    words = {"true": 1, "false": 0}
    return column.map(lambda cell: words.get(str(cell).strip().lower(), cell))


def _known(values: NDArray[Any]) -> NDArray[np.bool_]:
    known: NDArray[np.bool_] = np.isfinite(values).all(axis=1)
    return known


def _float32(values: NDArray[np.float64], ids: Sequence[str], what: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        found = values.astype(np.float32)
    too_large = np.isinf(found).any(axis=1)
    if too_large.any():
        raise ManifestError(
            f"{what} is too large for float32 for {listed(ids[n] for n in np.flatnonzero(too_large).tolist())}",
            remedy="Give it in another unit.",
        )
    return found


def _quantile_of(values: NDArray[Any], among: NDArray[Any], bins: int) -> NDArray[np.int64]:
    if not len(among):
        return np.zeros(len(values), np.int64)
    cuts = np.unique(np.quantile(among.astype(np.float64), np.arange(1, bins) / bins))
    return np.searchsorted(cuts, values.astype(np.float64), side="right").astype(np.int64)
