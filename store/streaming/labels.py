"""What each slide or patient is labelled with, from any table: checked once, then looked up."""

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import ManifestError, UnknownSlideError, UsageError
from slidelake.store.feature_store import FeatureStore
from slidelake.store.streaming.tables import (
    NAMES_SHOWN,
    PATIENT_COLUMNS,
    SLIDE_COLUMNS,
    find_column,
    listed,
    read_table,
    suggest,
    texts,
)
from slidelake.store.streaming.targets import Classification, Survival, Target

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GROUP_BINS", "Labels"]

By = Literal["slide", "patient"]
#: Into how many quantiles numbers and times are cut where groups are asked for.
GROUP_BINS = 4


class Labels:
    """The targets of slides (or of patients), by id. Made by `Labels.read`; never changes."""

    def __init__(
        self,
        ids: Sequence[str],
        values: NDArray[Any],
        target: Target,
        by: By,
        *,
        unlabelled: Sequence[str] = (),
        unknown: Sequence[str] = (),
    ) -> None:
        order = sorted(range(len(ids)), key=ids.__getitem__)
        #: The slides (or patients) that have a label, sorted.
        self.ids: tuple[str, ...] = tuple(ids[n] for n in order)
        self.target = target
        self.by = by
        #: Named by the table, but with an empty cell: they have no label.
        self.unlabelled: tuple[str, ...] = tuple(sorted(unlabelled))
        #: Named by the table, but not by the store (with `unknown="ignore"`).
        self.unknown: tuple[str, ...] = tuple(sorted(unknown))
        self._values = values[order]
        self._values.flags.writeable = False
        self._place = {each.casefold(): n for n, each in enumerate(self.ids)}
        self._groups = target.groups(self._values, GROUP_BINS)

    @classmethod
    def read(
        cls,
        source: "FeatureStore | pd.DataFrame | str | os.PathLike[str]",
        target: Target,
        by: By = "slide",
        store: FeatureStore | None = None,
        *,
        unknown: Literal["refuse", "ignore"] = "refuse",
    ) -> "Labels":
        """Reads labels from a DataFrame, a CSV or Parquet file, or the store's own metadata (give the store).

        The table has `slide_id` (or `slide`), or `patient_id` (or `patient`, `case_id`), and the target's columns.
        A table of patients labels all their slides, a table of slides their patients, where `store` tells which
        are whose. Ids that differ only in case are one. With a store, an id that it does not hold is refused;
        with `unknown="ignore"` it is listed in `.unknown`. An empty cell is no label: listed in `.unlabelled`.

        Raises ManifestError: no such column, an id twice, a patient whose slides contradict each other
        (by="patient"), values that cannot be. Raises UnknownSlideError for ids that the store does not hold.
        """
        if by not in ("slide", "patient"):
            raise UsageError(f"there are no labels by {by!r}", remedy="Use by='slide' or by='patient'.")
        if isinstance(source, FeatureStore):
            store, catalog = source, source.catalog()
            table = catalog
        else:
            table = read_table(source, "table of labels")
            catalog = None
        ids, table, strangers = _ids_of(table, by, store, catalog, unknown)
        target, values, labelled = target.parse(table, ids)
        first = _first_labelled(ids, values, labelled, by, target)
        have = {each.casefold() for each in first}
        without = {each for each in ids if each.casefold() not in have}
        places = np.fromiter(first.values(), np.int64, len(first))
        values = values[places]
        if isinstance(target, Survival):
            values = target.with_intervals(values)
        return cls(list(first), values, target, by, unlabelled=sorted(without), unknown=strangers)

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, each: object) -> bool:
        return isinstance(each, str) and each.casefold() in self._place

    def __repr__(self) -> str:
        return f"Labels({len(self)} {self.by}s, {self.target!r}, {len(self.unlabelled)} without a label)"

    @property
    def classes(self) -> tuple[str, ...]:
        """Name of each class by its number; none for numbers and times."""
        return self.target.class_names if isinstance(self.target, Classification) else ()

    def target_of(self, each: str) -> NDArray[Any]:
        """The target of one slide (or patient): () int64, (C,) float32, or (2,) or (3,) float32 (`Survival`).

        Raises UnknownSlideError where it has no label, UsageError for intervals that were not fitted.
        """
        self._need_intervals()
        return np.array(self._values[self._at(each)])

    def targets(self, ids: Iterable[str]) -> NDArray[Any]:
        """The targets of several, end to end: (n,) int64 or (n, C) float32."""
        self._need_intervals()
        return np.array(self._values[[self._at(each) for each in ids]])

    def group_of(self, each: str) -> int:
        """What balancing and stratifying go by: the class; a quantile of the number; event and time's quantile."""
        return int(self._groups[self._at(each)])

    def groups(self, bins: int = GROUP_BINS) -> dict[str, int]:
        """The group of each id, with numbers and times cut into `bins` quantiles."""
        found = self.target.groups(self._values, bins)
        return dict(zip(self.ids, found.tolist(), strict=True))

    def missing(self, ids: Iterable[str]) -> tuple[str, ...]:
        """Those of `ids` that have no label, in their order."""
        return tuple(each for each in ids if each not in self)

    def fit(self, ids: Iterable[str]) -> "Labels":
        """Labels whose survival intervals are quantiles of the event times among `ids` (the part to train on).

        Those without a label are passed over. The cuts stand in `.target.cuts`.
        """
        if not isinstance(self.target, Survival):
            raise UsageError("only survival has intervals to fit", remedy="Use the labels as they are.")
        plain = self._values[:, :2]
        target = self.target.fit(plain[[self._at(each) for each in ids if each in self]])
        return Labels(
            self.ids,
            target.with_intervals(plain),
            target,
            self.by,
            unlabelled=self.unlabelled,
            unknown=self.unknown,
        )

    def _at(self, each: str) -> int:
        try:
            return self._place[each.casefold()]
        except KeyError:
            raise UnknownSlideError(
                f"this {self.by} has no label",
                remedy=suggest(each, self.ids) or "Labels.missing(ids) lists those without.",
                slide=each,
            ) from None

    def _need_intervals(self) -> None:
        if isinstance(self.target, Survival) and self.target.bins and self.target.cuts is None:
            raise UsageError(
                "the intervals of time are not made yet",
                remedy="Make them from the part to train on: labels = labels.fit(splits.part('train')).",
            )


def _ids_of(
    table: "pd.DataFrame",
    by: By,
    store: FeatureStore | None,
    catalog: "pd.DataFrame | None",
    unknown: Literal["refuse", "ignore"],
) -> tuple[list[str], "pd.DataFrame", list[str]]:
    """An id for each row, as the store spells it; the rows, those of unknown ids left out; the unknown ids."""
    slides, patients = find_column(table, SLIDE_COLUMNS), find_column(table, PATIENT_COLUMNS)
    own, other = (slides, patients) if by == "slide" else (patients, slides)
    if own is None and other is None:
        raise ManifestError(
            f"the table of labels has no column of ids (it has: {', '.join(table.columns) or 'none'})",
            remedy=f"Name the column {by}_id.",
        )
    if own is None and store is None:
        raise ManifestError(
            f"the table of labels has no column {by}_id, and nothing tells which slide is whose",
            remedy="Pass store=, or add the column.",
        )
    column = own or other or ""
    ids = texts(table[column])
    empty = [n + 2 for n, each in enumerate(ids) if not each]
    if empty:
        raise ManifestError(
            f"no {column} in line {listed(map(str, empty))} of the table of labels",
            remedy="Give every row one.",
        )
    if column == slides or (by == "slide" and own is None):
        _refuse_doubles(ids, column)
    if store is None:
        return ids, table, []
    if catalog is None and (by == "patient" or own is None):
        catalog = store.catalog()
    pairs = [] if catalog is None else list(zip(catalog["slide_id"], catalog["patient_id"], strict=True))
    holds = "slide" if column == slides else "patient"
    known = [slide for slide, _ in pairs] if pairs else store.slide_ids()
    if holds == "patient":
        known = list(dict.fromkeys(str(patient) for _, patient in pairs))
    spelling = {each.casefold(): each for each in reversed(known)}
    strangers = [each for each in ids if each.casefold() not in spelling]
    if strangers and unknown == "refuse":
        raise _strangers(strangers, known, holds, store.place)
    kept = [n for n, each in enumerate(ids) if each.casefold() in spelling]
    ids, table = [spelling[ids[n].casefold()] for n in kept], table.iloc[kept].reset_index(drop=True)
    if own is not None:
        return ids, table, strangers
    if by == "patient":
        owner = {slide: str(patient) for slide, patient in pairs}
        return [owner[each] for each in ids], table, strangers
    place = {patient.casefold(): n for n, patient in enumerate(ids)}
    owners = [(slide, str(patient).casefold()) for slide, patient in pairs]
    theirs = [(slide, place[patient]) for slide, patient in owners if patient in place]
    rows = table.iloc[[n for _, n in theirs]].reset_index(drop=True)
    return [slide for slide, _ in theirs], rows, strangers


def _refuse_doubles(ids: Sequence[str], column: str) -> None:
    seen: set[str] = set()
    twice = []
    for each in ids:
        if each.casefold() in seen:
            twice.append(each)
        seen.add(each.casefold())
    if twice:
        raise ManifestError(
            f"the table of labels has a {column} twice (case does not count): {listed(twice)}",
            remedy="Give each one row.",
        )


def _strangers(ids: Sequence[str], known: Sequence[str], holds: str, place: str) -> UnknownSlideError:
    named = []
    for each in ids[:NAMES_SHOWN]:
        hint = suggest(each, known)
        named.append(f"{each} ({hint})" if hint else each)
    more = f" and {len(ids) - NAMES_SHOWN:,} more" if len(ids) > NAMES_SHOWN else ""
    count = "a label names" if len(ids) == 1 else f"{len(ids):,} labels name"
    return UnknownSlideError(
        f"{count} no {holds} of {place}: {', '.join(named)}{more}",
        remedy="Correct the table, or pass unknown='ignore' to leave them out.",
    )


def _first_labelled(
    ids: Sequence[str], values: NDArray[Any], labelled: NDArray[np.bool_], by: By, target: Target
) -> dict[str, int]:
    """The row that labels each id; raises ManifestError where another row of a patient says otherwise."""
    first: dict[str, int] = {}
    spelled: dict[str, str] = {}
    contradicted: dict[str, None] = {}
    for n in np.flatnonzero(labelled).tolist():
        each = spelled.setdefault(ids[n].casefold(), ids[n])
        before = first.setdefault(each, n)
        if before != n and not np.array_equal(values[before], values[n]):
            contradicted[each] = None
    if contradicted:
        raise ManifestError(
            f"{', '.join(target.columns)}: the rows of one {by} contradict each other for {listed(contradicted)}",
            remedy="Correct the table, or read the labels by='slide'.",
        )
    return first
