"""What may be asked of the reports, checked before anything is searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from slidelake.errors import QueryError
from slidelake.index.filters import Filter

__all__ = ["MODES", "Mode", "ReportsRequest", "several"]

Mode = Literal["hybrid", "text", "vector"]
MODES = ("hybrid", "text", "vector")

#: What a question may be long: more is a document.
_LONGEST = 20_000
_MOST_HITS = 10_000


@dataclass(frozen=True)
class ReportsRequest:
    """The question, the reports it is about, and how many passages, of how many a report, are wanted.

    Raises QueryError for what no search can answer.
    """

    text: str
    k: int
    mode: Mode
    where: Filter
    patients: tuple[str, ...] | None = None
    exclude_patients: tuple[str, ...] = ()
    slides: tuple[str, ...] | None = None
    per_report: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text.strip():
            raise QueryError("the question is empty", remedy="Ask something, such as a diagnosis or a size.")
        if len(self.text) > _LONGEST:
            raise QueryError(
                f"the question has {len(self.text):,} characters; at most {_LONGEST:,} are taken",
                remedy="Ask for what matters in it.",
            )
        if self.mode not in MODES:
            raise QueryError(f"there is no mode {self.mode!r}", remedy=f"Use one of: {', '.join(MODES)}.")
        for name, count in (("k", self.k), ("per_report", self.per_report)):
            whole = isinstance(count, int | np.integer) and not isinstance(count, bool)
            if not whole or not 1 <= count <= _MOST_HITS:
                raise QueryError(
                    f"{name} is {count!r}", remedy=f"Give a whole number from 1 to {_MOST_HITS:,}."
                )


def several(name: str, values: Sequence[str] | None) -> tuple[str, ...] | None:
    """Ids as a tuple; one id alone is one, not its letters. QueryError for what is no text."""
    if values is None:
        return None
    listed = (values,) if isinstance(values, str) else tuple(values)
    if not all(isinstance(each, str) for each in listed):
        raise QueryError(f"{name} holds what is no id", remedy="Give ids as text.")
    return listed
