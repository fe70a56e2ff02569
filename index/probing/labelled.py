"""Rows with their classes, and whom each is from: what every probe of an encoder works on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from slidelake.errors import UsageError

__all__ = ["Labelled", "owners"]

Texts = npt.NDArray[np.str_]


@dataclass(frozen=True)
class Labelled:
    """N rows of one space with their labels.

    `features` (N, D), kept as float32; `labels`, `groups`, `slides`, `centres` (N,) text: class, patient, slide,
    medical centre. An empty group, slide or centre is unknown: such a row is a group and a slide of its own, and of no
    centre.
    `left_out` counts by reason what had no place here, `notes` say what a reader of the figures should know.
    Raises UsageError for lengths that differ, features that are not finite, and rows without a label.
    """

    name: str
    features: npt.NDArray[np.float32]
    labels: Texts
    groups: Texts
    slides: Texts
    centres: Texts
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.features.ndim != 2:
            raise UsageError(
                f"features of {self.name} have the shape {self.features.shape}",
                remedy="Give (rows, dimensions).",
            )
        if self.features.dtype != np.float32:
            object.__setattr__(self, "features", self.features.astype(np.float32))
        lengths = {name: len(getattr(self, name)) for name in ("labels", "groups", "slides", "centres")}
        if set(lengths.values()) != {len(self.features)}:
            raise UsageError(
                f"{len(self.features)} rows of {self.name} have {lengths} facts",
                remedy="Give one of each a row.",
            )
        if not len(self.features):
            told = ", ".join(f"{count:,} {why}" for why, count in self.left_out.items())
            raise UsageError(
                f"{self.name} has no labelled rows" + (f" (left out: {told})" if told else ""),
                remedy="Look at the label's name, and at the ids in the table of labels.",
            )
        bad = np.flatnonzero(~np.isfinite(self.features).all(axis=1))
        if len(bad):
            raise UsageError(
                f"{len(bad):,} of {len(self.features):,} rows of {self.name} are not finite, the first is row {bad[0]}",
                remedy="Leave these rows out, or encode their patches again.",
                slide=str(self.slides[bad[0]]),
            )
        empty = int((np.asarray(self.labels) == "").sum())
        if empty:
            raise UsageError(
                f"{empty:,} rows of {self.name} have no label", remedy="Leave rows without a label out."
            )

    def __len__(self) -> int:
        return len(self.features)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, sorted. Raises UsageError where there is one alone: nothing can be told apart."""
        found = sorted({str(label) for label in self.labels})
        if len(found) < 2:
            raise UsageError(
                f"all {len(self):,} labelled rows of {self.name} are of one class, {found[0]!r}",
                remedy="Label rows of another class too.",
            )
        return tuple(found)

    def targets(self) -> npt.NDArray[np.int64]:
        """(N,) int64: each row's class as its number in `classes`."""
        found: npt.NDArray[np.int64] = np.searchsorted(np.array(self.classes), self.labels).astype(np.int64)
        return found

    def of_classes(self, wanted: tuple[str, ...]) -> Labelled:
        """The rows of these classes alone. Raises UsageError for a class that is not there."""
        there = {str(label) for label in self.labels}
        missing = [name for name in wanted if name not in there]
        if missing:
            raise UsageError(
                f"{self.name} has no class {', '.join(map(repr, missing))}",
                remedy=f"Its classes: {', '.join(sorted(there))}.",
            )
        keep = np.isin(self.labels, list(wanted))
        return Labelled(
            self.name,
            self.features[keep],
            self.labels[keep],
            self.groups[keep],
            self.slides[keep],
            self.centres[keep],
            {**self.left_out, "of other classes": int((~keep).sum())},
            self.notes,
        )


def owners(names: Texts) -> npt.NDArray[np.int64]:
    """(N,) int64: the same number for the same name; each row without a name has a number of its own."""
    _, numbers = np.unique(names, return_inverse=True)
    found = numbers.reshape(-1).astype(np.int64)
    nobody = np.asarray(names) == ""
    found[nobody] = found.max(initial=0) + 1 + np.arange(int(nobody.sum()))
    _, found = np.unique(found, return_inverse=True)
    return found.reshape(-1).astype(np.int64)
