"""Which patches are good enough: bounds on the grid's columns (tissue, blur, pen, …), as they are stored."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import UsageError

__all__ = ["DEFAULT_QUALITY", "Bound", "apply_bounds", "parse_bound"]

_WRITTEN = re.compile(r"\s*([A-Za-z_][\w.-]*)\s*(<=|>=)\s*(\d+(?:\.\d+)?)\s*")


@dataclass(frozen=True)
class Bound:
    """A column of the grid must be at most (or at least) `value`; columns hold 0 to 255."""

    column: str
    operator: Literal["<=", ">="]
    value: float

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 255:
            raise UsageError(
                f"the bound {self} is outside what a column can hold", remedy="Columns hold 0 to 255."
            )

    def __str__(self) -> str:
        return f"{self.column}{self.operator}{self.value:g}"

    def holds(self, values: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """(N,) which values are within it."""
        return values <= self.value if self.operator == "<=" else values >= self.value


#: A quarter of tissue, not wholly out of focus, hardly any pen. Fat and mucin have few edges and count as rather
#: blurred, so that a sharper bound on blur would leave them out.
DEFAULT_QUALITY = (Bound("tissue", ">=", 64), Bound("blur", "<=", 230), Bound("pen", "<=", 25))


def parse_bound(text: str) -> Bound:
    """A bound as people write it: "blur<=200". Raises UsageError."""
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise UsageError(
            f"{text!r} is no bound of quality",
            remedy="Write COLUMN<=NUMBER or COLUMN>=NUMBER, as in 'blur<=200'.",
        )
    return Bound(found[1], "<=" if found[2] == "<=" else ">=", float(found[3]))


def apply_bounds(
    columns: Mapping[str, NDArray[np.uint8]], bounds: Sequence[Bound], usable: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], dict[str, int], list[str]]:
    """Of the (N,) usable rows those within all bounds; how many each bound left out; and the columns that are missing.

    A row that several bounds leave out counts for the first.
    """
    kept = usable.copy()
    dropped: dict[str, int] = {}
    missing = []
    for bound in bounds:
        if bound.column not in columns:
            missing.append(bound.column)
            continue
        inside = bound.holds(columns[bound.column])
        dropped[str(bound)] = int((kept & ~inside).sum())
        kept &= inside
    return kept, dropped, list(dict.fromkeys(missing))
