"""Labels of single patches: a table of slide, x, y and label becomes rows of bags and class numbers."""

import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import ManifestError, UnknownSlideError, UsageError
from slidelake.store.feature_store import FeatureStore
from slidelake.store.ids import split_space
from slidelake.store.streaming.tables import (
    SLIDE_COLUMNS,
    column_of,
    find_column,
    listed,
    numbers,
    read_table,
    suggest,
    texts,
)
from slidelake.store.streaming.targets import Classification

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PatchLabels"]

_WHAT = "table of patch labels"
Match = Literal["corner", "inside"]


class PatchLabels:
    """The labelled patches of a space, by slide and row. Made by `PatchLabels.read`; never changes."""

    def __init__(
        self,
        space: str,
        slide_ids: Sequence[str],
        slides: NDArray[np.int64],
        rows: NDArray[np.int64],
        targets: NDArray[np.int64],
        classes: Sequence[str],
        left_out: dict[str, int] | None = None,
    ) -> None:
        self.space = space
        #: The slides that have a labelled patch, sorted.
        self.slide_ids = tuple(slide_ids)
        #: (n,) int64: each patch's slide, as a number into `slide_ids`; ascending.
        self.slides = slides
        #: (n,) int64: each patch's row in its slide's bag; ascending within a slide.
        self.rows = rows
        #: (n,) int64: each patch's class, as a number into `classes`.
        self.targets = targets
        self.classes = tuple(classes)
        #: How many lines of the table are no label here, by reason.
        self.left_out = dict(left_out or {})
        for array in (slides, rows, targets):
            array.flags.writeable = False
        self._starts = np.searchsorted(slides, np.arange(len(self.slide_ids) + 1))
        self._number = {slide.casefold(): n for n, slide in enumerate(self.slide_ids)}

    @classmethod
    def read(
        cls,
        source: "pd.DataFrame | str | os.PathLike[str]",
        store: FeatureStore,
        space: str | None = None,
        unknown: Literal["refuse", "ignore"] = "refuse",
        *,
        match: Match = "corner",
        column: str = "label",
        classes: Sequence[str | int] | None = None,
    ) -> "PatchLabels":
        """Reads a table with `slide_id` (or `slide`), `x`, `y` (level-0 px) and the label in `column`.

        `match="corner"`: x, y is a patch's top-left corner, exactly. `match="inside"`: x, y is a pixel; where
        patches overlap it belongs to the one whose centre is nearest. Lines that name no slide of the store in
        this space, or no patch, are refused; with `unknown="ignore"` they are counted in `.left_out`. Lines with
        an empty label, and patches whose pixels could not be read, are counted there always.

        Raises ManifestError: no such column, x or y that are no numbers, lines that contradict each other.
        Raises UnknownSlideError, UnknownSpaceError, UsageError (a grid without a footprint).
        """
        if match not in ("corner", "inside"):
            raise UsageError(f"there is no match={match!r}", remedy="Use 'corner' or 'inside'.")
        space = store.resolve_space(space)
        table = read_table(source, _WHAT)
        slide_column = find_column(table, SLIDE_COLUMNS) or SLIDE_COLUMNS[0]
        names = texts(column_of(table, slide_column, _WHAT))
        lines = [f"line {n + 2}" for n in range(len(names))]
        xy = np.stack([numbers(column_of(table, axis, _WHAT), lines, axis) for axis in "xy"], axis=1)
        target, numbered, labelled = Classification(column, classes).parse(table, lines)
        if (homeless := labelled & np.isnan(xy).any(axis=1)).any():
            where = listed(lines[n] for n in np.flatnonzero(homeless).tolist())
            raise ManifestError(f"no x or y in {where} of the {_WHAT}", remedy="Give each label its place.")
        left_out = Counter({"without a label": int((~labelled).sum())})
        used = np.flatnonzero(labelled)
        by_slide = _by_slide(names, used, store, space, unknown, left_out)
        found: list[tuple[str, NDArray[np.int64], NDArray[np.int64]]] = []
        for slide_id, at in sorted(by_slide.items()):
            bag = store.bag(slide_id, space)
            rows = _corner(bag.coords, xy[at]) if match == "corner" else _inside(bag, store, xy[at])
            outside = rows < 0
            if outside.any() and unknown == "refuse":
                where = listed(f"{lines[n]} ({xy[n][0]:g}, {xy[n][1]:g})" for n in at[outside].tolist())
                holds = "has its corner at" if match == "corner" else "holds"
                other = "match='inside' for points in patches, or " if match == "corner" else ""
                raise ManifestError(
                    f"no patch {holds} {where}",
                    remedy=f"Correct the table, or pass {other}unknown='ignore' to leave them out.",
                    slide=slide_id,
                )
            left_out["outside every patch"] += int(outside.sum())
            rows, at = rows[~outside], at[~outside]
            unreadable = bag.valid[rows] == 0
            left_out["patches that could not be read"] += int(unreadable.sum())
            rows, classes_here = _once(rows[~unreadable], numbered[at[~unreadable]], slide_id, left_out)
            if len(rows):
                found.append((slide_id, rows, classes_here))
        counts = [len(rows) for _, rows, _ in found]
        none = np.empty(0, np.int64)
        return cls(
            space,
            [slide_id for slide_id, _, _ in found],
            np.repeat(np.arange(len(found)), counts),
            np.concatenate([none, *(rows for _, rows, _ in found)]),
            np.concatenate([none, *(each for _, _, each in found)]),
            target.class_names,
            {reason: count for reason, count in left_out.items() if count},
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"PatchLabels({len(self)} patches of {len(self.slide_ids)} slides, classes {self.classes})"

    def of(self, slide_id: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(m,) int64 rows of one slide, ascending, and their (m,) int64 classes; none for a slide without."""
        number = self._number.get(slide_id.casefold())
        here = slice(0, 0) if number is None else slice(self._starts[number], self._starts[number + 1])
        return self.rows[here], self.targets[here]

    def counts(self) -> dict[str, int]:
        """How many patches each class has."""
        there = np.bincount(self.targets, minlength=len(self.classes)).tolist()
        return dict(zip(self.classes, there, strict=True))


def _by_slide(
    names: Sequence[str],
    used: NDArray[np.int64],
    store: FeatureStore,
    space: str,
    unknown: str,
    left_out: "Counter[str]",
) -> dict[str, NDArray[np.int64]]:
    """The lines of each slide, as the store spells it; slides that are not in the space are refused or counted."""
    grid_id, encoder_id = split_space(space)
    known = [
        slide_id
        for slide_id, state in store.states().items()
        if any(s.kind == "bag" and (s.grid_id, s.encoder_id) == (grid_id, encoder_id) for s in state.keys)
    ]
    spelling = {slide.casefold(): slide for slide in known}
    lines: dict[str, list[int]] = {}
    strangers: dict[str, int] = {}
    for n in used.tolist():
        slide = spelling.get(names[n].casefold())
        if slide is None:
            strangers[names[n]] = strangers.get(names[n], 0) + 1
        else:
            lines.setdefault(slide, []).append(n)
    if strangers and unknown == "refuse":
        hint = suggest(next(iter(strangers)), known)
        raise UnknownSlideError(
            f"patch labels name no slide of {store.place} in {space}: {listed(map(repr, strangers))}",
            remedy=f"{hint} Correct the table, or pass unknown='ignore' to leave them out.".strip(),
        )
    left_out["no such slide"] += sum(strangers.values())
    return {slide: np.array(each, np.int64) for slide, each in lines.items()}


def _corner(coords: NDArray[np.int32], xy: NDArray[np.float64]) -> NDArray[np.int64]:
    """(m,) int64: the row whose corner each (x, y) is, -1 where there is none."""
    whole = (xy == np.floor(xy)).all(axis=1) & (np.abs(xy) < 2**31).all(axis=1)
    wanted = _key(np.where(whole[:, None], xy, 0).astype(np.int64))
    keys = _key(coords.astype(np.int64))
    order = np.argsort(keys, kind="stable")
    place = np.searchsorted(keys[order], wanted)
    rows = np.append(order, -1)[np.minimum(place, len(order))]
    hit = whole & (place < len(order)) & (np.append(keys, 0)[rows] == wanted)
    return np.where(hit, rows, -1)


def _key(xy: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number for each pair of int32."""
    return (xy[:, 0] << 32) + (xy[:, 1] & 0xFFFFFFFF)


def _inside(bag: Any, store: FeatureStore, xy: NDArray[np.float64]) -> NDArray[np.int64]:
    """(m,) int64: the row of the patch that each pixel (x, y) is in, -1 where there is none."""
    from sklearn.neighbors import KDTree

    footprint = store.grid(bag.slide_id, split_space(bag.space)[0]).attributes.get("footprint_level0")
    if not footprint:
        raise UsageError(
            "the grid does not say how large its patches are",
            remedy="Use match='corner'.",
            slide=bag.slide_id,
        )
    if not len(bag):
        return np.full(len(xy), -1, np.int64)
    # With the patch's side as the unit, a point is inside where the larger of its two distances from the centre
    # is at most a half. The pixel's own centre is never on a border between patches at whole pixels.
    side = np.asarray(footprint, np.float64)
    tree = KDTree((bag.coords + side / 2) / side, metric="chebyshev")
    distance, row = tree.query((np.floor(xy) + 0.5) / side)
    return np.where(distance[:, 0] <= 0.5, row[:, 0], -1).astype(np.int64)


def _once(
    rows: NDArray[np.int64], classes: NDArray[np.int64], slide_id: str, left_out: "Counter[str]"
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each row once, ascending, with its class; raises ManifestError where lines contradict each other."""
    order = np.lexsort((classes, rows))
    rows, classes = rows[order], classes[order]
    again = np.append(False, rows[1:] == rows[:-1]) if len(rows) else np.zeros(0, bool)
    other = again & np.append(False, classes[1:] != classes[:-1])[: len(rows)]
    if other.any():
        raise ManifestError(
            f"patches have two labels that contradict each other: rows {listed(map(str, rows[other].tolist()))}",
            remedy="Give each patch one label.",
            slide=slide_id,
        )
    left_out["said twice"] += int(again.sum())
    return rows[~again], classes[~again]
