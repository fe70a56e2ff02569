"""The rows of a tuning: read, divided by patient, and each with the place of its features in the lake."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import UsageError
from slidelake.services.tuning.data import PatchPlace, TuningRow
from slidelake.services.tuning.model.config import TuneConfig

if TYPE_CHECKING:
    from slidelake.store import FeatureStore

__all__ = ["PARTS", "Cohort", "Placed", "read_cohort", "read_rows", "with_patches"]

#: Rows learn, are looked at while learning, or are asked when all is learnt.
PARTS = ("train", "val", "test")
_NAMES = 5


@dataclass(frozen=True)
class Placed:
    """A row, its slide, and which rows of the slide's bag it is about: (n,) int64, or None for the whole bag."""

    row: TuningRow
    slide_id: str
    rows: NDArray[np.int64] | None = None

    @property
    def is_caption(self) -> bool:
        """Whether it is learnt from in phase 1."""
        return "caption" in self.row.task


@dataclass(frozen=True)
class Cohort:
    """The rows by part, the space of their features and its encoder's fingerprint, and what was left out and why."""

    space: str
    encoder: Mapping[str, Any]
    dim: int
    parts: Mapping[str, tuple[Placed, ...]]
    left_out: Mapping[str, int]
    digest: str

    @property
    def asked(self) -> str:
        """The part that is asked before and after: "test", or "val" where there is none, or "" without both."""
        return next((part for part in ("test", "val") if self.parts[part]), "")


def read_rows(file: Path) -> list[TuningRow]:
    """The rows of a JSONL file. Raises UsageError naming the line that is none, or for a file without any."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(
            f"{file} cannot be read ({exc})", remedy="Name the rows.jsonl that slidelake tune-data wrote."
        ) from exc
    rows = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                rows.append(TuningRow.read(json.loads(line)))
            except ValueError as exc:  # UsageError is one
                raise UsageError(
                    f"{file}, line {number}: {exc}", remedy="Make the rows again with slidelake tune-data."
                ) from exc
    if not rows:
        raise UsageError(f"{file} holds no rows", remedy="Make rows with slidelake tune-data.")
    if twice := [each for each, count in Counter(row.id for row in rows).items() if count > 1]:
        raise UsageError(
            f"{file} holds {len(twice)} ids more than once, {_listed(twice)}",
            remedy="Remove the second ones: predictions are told apart by id.",
        )
    return rows


def check_parts(rows: Sequence[TuningRow]) -> None:
    """Raises UsageError: a row in no part, nothing to learn from, or a patient or slide in two parts."""
    if lost := [row.id for row in rows if row.split not in PARTS]:
        raise UsageError(
            f"{len(lost)} rows are in no part (train, val, test): {_listed(lost)}",
            remedy="Divide the rows by patient with slidelake tune-data.",
        )
    for what in ("patient_id", "slide_id"):
        parts: dict[str, set[str]] = defaultdict(set)
        for row in rows:
            places = {each.slide_id for each in row.images} if what == "slide_id" else set()
            for name in {getattr(row, what), *places} - {""}:
                parts[name].add(row.split)
        if leaked := sorted(name for name, found in parts.items() if len(found) > 1):
            noun = "patients" if what == "patient_id" else "slides"
            raise UsageError(
                f"{len(leaked)} {noun} are in more than one part: "
                + _listed([f"{name} ({', '.join(sorted(parts[name]))})" for name in leaked]),
                remedy="Divide the rows by patient again: what is measured would be what was learnt.",
            )
    if not any(row.split == "train" for row in rows):
        raise UsageError(
            "no row is in the part train",
            remedy="Divide the rows again, with a larger share of patients to train.",
        )


def read_cohort(store: "FeatureStore", config: TuneConfig) -> Cohort:
    """Reads the rows and finds their features. Raises UsageError and its kinds for what cannot be tuned on."""
    file = Path(config.rows).expanduser()
    rows = read_rows(file)
    check_parts(rows)
    space = _space(store, rows, config)
    catalog = store.catalog()
    there = {
        str(slide): str(patient)
        for slide, patient, spaces in zip(
            catalog["slide_id"], catalog["patient_id"], catalog["spaces"], strict=True
        )
        if space in spaces
    }
    _check_patients(rows, there)
    left_out: Counter[str] = Counter()
    placed, unknown = [], []
    for row in rows:
        slides = {each.slide_id for each in row.images} or {row.slide_id} - {""}
        if len(slides) != 1:
            left_out["about no slide" if not slides else "about several slides"] += 1
        elif (slide := next(iter(slides))) in there:
            placed.append(Placed(row, slide))
        else:
            unknown.append(slide)
            left_out[f"slide has no bag in {space}"] += 1
    if unknown and not config.ignore_unknown:
        raise UsageError(
            f"{len(unknown)} rows are about slides that have no bag in {space}: "
            + _listed(sorted(set(unknown))),
            remedy="Ingest those slides, name another --space, or pass --ignore-unknown to leave the rows out.",
        )
    parts = {part: tuple(each for each in placed if each.row.split == part) for part in PARTS}
    if not parts["train"]:
        raise UsageError(
            "no row of the part train has features in the lake",
            remedy=f"Ingest its slides into {space}, or name another --space.",
        )
    first = store.bag(parts["train"][0].slide_id, space)
    return Cohort(
        space,
        first.commit.provenance.get("encoder") or {},
        first.dim,
        {part: with_patches(store, space, each) for part, each in parts.items()},
        dict(left_out),
        hashlib.sha256(file.read_bytes()).hexdigest(),
    )


def _space(store: "FeatureStore", rows: Sequence[TuningRow], config: TuneConfig) -> str:
    named = sorted({row.space for row in rows} - {""})
    if config.space or not named:
        space = store.resolve_space(config.space or None)
        if others := [each for each in named if each != space]:
            raise UsageError(
                f"the rows are about features of {_listed(others)}, not of {space}",
                remedy="Name that space, or make the rows again for this one.",
            )
        return space
    if len(named) > 1:
        raise UsageError(
            f"the rows are about features of {len(named)} spaces: {_listed(named)}",
            remedy="Tune on the rows of one space.",
        )
    return store.resolve_space(named[0])


def _check_patients(rows: Sequence[TuningRow], there: Mapping[str, str]) -> None:
    """The lake's word on whose slide it is: rows that say otherwise may hide a leak. Raises UsageError."""
    parts: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        for slide in {each.slide_id for each in row.images} | {row.slide_id}:
            if slide in there:
                parts[there[slide]].add(row.split)
    if leaked := sorted(name for name, found in parts.items() if len(found) > 1):
        raise UsageError(
            f"by the lake {len(leaked)} patients are in more than one part: {_listed(leaked)}",
            remedy="Make the rows again with the lake's patients: slidelake metadata shows them.",
        )


def with_patches(store: "FeatureStore", space: str, placed: Iterable[Placed]) -> tuple[Placed, ...]:
    """The rows with their patches found by place. Raises UsageError for a patch that the bag does not have."""
    made = list(placed)
    of_slide: dict[str, list[int]] = defaultdict(list)
    for number, each in enumerate(made):
        if each.row.images:
            of_slide[each.slide_id].append(number)
    # Slide by slide, so that the places of one slide are in memory at a time.
    for slide, numbers in of_slide.items():
        coords = store.bag(slide, space).coords.tolist()
        places = {(x, y): number for number, (x, y) in enumerate(coords)}
        for number in numbers:
            row = made[number].row
            found = sorted({_row_of(place, places, row) for place in row.images})
            made[number] = replace(made[number], rows=np.array(found, np.int64))
    return tuple(made)


def _row_of(place: PatchPlace, places: Mapping[tuple[int, int], int], row: TuningRow) -> int:
    number = places.get((place.x, place.y))
    if number is None:
        raise UsageError(
            f"row {row.id} is about a patch at ({place.x}, {place.y}) that the bag does not have",
            remedy="Make the rows again for this space: the grid is another one.",
            slide=place.slide_id,
        )
    return number


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more
