"""Which slides are trained on, validated on and tested on: saved, checked and used again.

A patient is on one side only. The file is JSON: `buckets` holds, for each part (or fold), each patient's slides.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slidelake.errors import ManifestError, UnknownSlideError, UsageError
from slidelake.store.feature_store import FeatureStore
from slidelake.store.streaming.tables import (
    PATIENT_COLUMNS,
    SLIDE_COLUMNS,
    column_of,
    find_column,
    listed,
    read_table,
    suggest,
    texts,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SplitCheck", "Splits", "patients_of"]

_FORMAT = 1
_KIND = "slidelake splits"
NO_PATIENTS = "no patients are known: each slide counts as a patient of its own"


@dataclass(frozen=True)
class SplitCheck:
    """How a store differs from the one that was split."""

    #: Slides of the splits that the store holds no more.
    gone: tuple[str, ...]
    #: Slides of the store that the splits do not name: labelled or added since, or left out on purpose.
    new: tuple[str, ...]


@dataclass(frozen=True)
class Splits:
    """Parts (train, val, test, or as they were named), or k folds. Made by `make_splits`, `load`, `from_table`.

    Of k folds, fold i is the test part of turn i, fold i + 1 (round) the validation part where k ≥ 3, the others
    are trained on.
    """

    #: By part or by fold ("0", "1", …): each patient's slides, all sorted.
    buckets: Mapping[str, Mapping[str, tuple[str, ...]]]
    folds: int | None = None
    seed: int | None = None
    by: str = "patient"
    #: What was stratified by; empty where nothing was.
    stratified: str = ""
    #: The shares that were asked for, by part.
    shares: Mapping[str, float] = field(default_factory=dict)
    #: By part or fold and class: {"patients": …, "slides": …, "patches": …} (0 where not told).
    counts: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    #: Checksum of the slides, patients and classes that were split.
    inputs: str = ""
    #: What the reader should know: slides without a label, a class that a part lacks.
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ordered = {
            name: {patient: tuple(sorted(patients[patient])) for patient in sorted(patients)}
            for name, patients in self.buckets.items()
        }
        object.__setattr__(self, "buckets", ordered)
        if self.folds is not None and list(ordered) != [str(n) for n in range(self.folds)]:
            raise UsageError(
                f"these are not {self.folds} folds: {', '.join(ordered)}", remedy="Name them 0, 1, …"
            )
        _refuse_both_sides((name, patient, slides) for name, patients in ordered.items()
                           for patient, slides in patients.items())  # fmt: skip

        every = [
            s.casefold() for patients in ordered.values() for slides in patients.values() for s in slides
        ]
        if len(set(every)) < len(every):
            twice = [each for each, count in Counter(every).items() if count > 1]
            raise UsageError(f"slides stand in a part twice: {listed(twice)}", remedy="Name each once.")

    def __repr__(self) -> str:
        what = f"{self.folds} folds" if self.folds else ", ".join(self.buckets)
        return f"Splits({what}: {len(self.patient_of)} slides)"

    @property
    def parts(self) -> tuple[str, ...]:
        """The names that `part` takes."""
        if self.folds is None:
            return tuple(self.buckets)
        return ("train", "val", "test") if self.folds > 2 else ("train", "test")

    @property
    def patient_of(self) -> dict[str, str]:
        """The patient of each slide that is in a part, by slide_id."""
        return {
            slide: patient
            for patients in self.buckets.values()
            for patient, slides in patients.items()
            for slide in slides
        }

    def part(self, name: str | Sequence[str], fold: int | None = None) -> tuple[str, ...]:
        """The slide ids of a part (or of several), sorted; of folds, of turn `fold`."""
        names = self._buckets_of(name, fold)
        return tuple(sorted(s for each in names for slides in self.buckets[each].values() for s in slides))

    def patients(self, name: str | Sequence[str], fold: int | None = None) -> tuple[str, ...]:
        """The patient ids of a part (or of several), sorted; of folds, of turn `fold`."""
        return tuple(sorted(p for each in self._buckets_of(name, fold) for p in self.buckets[each]))

    def _buckets_of(self, name: str | Sequence[str], fold: int | None) -> list[str]:
        wanted = [name] if isinstance(name, str) else list(name)
        for each in wanted:
            if each not in self.parts:
                raise UsageError(
                    f"there is no part {each} (there are: {', '.join(self.parts)})",
                    remedy=suggest(each, self.parts) or "Name one of those.",
                )
        if self.folds is None:
            if fold is not None:
                raise UsageError("these splits have parts, not folds", remedy="Leave out `fold`.")
            return list(dict.fromkeys(wanted))
        if fold is None or not 0 <= fold < self.folds:
            raise UsageError(
                f"fold {fold} is none of these {self.folds}", remedy=f"Pass fold= from 0 to {self.folds - 1}."
            )
        test, val = fold, (fold + 1) % self.folds if self.folds > 2 else -1
        turn = {n: "test" if n == test else "val" if n == val else "train" for n in range(self.folds)}
        return [str(n) for n, part in turn.items() if part in wanted]

    def check(self, source: "FeatureStore | pd.DataFrame | str | os.PathLike[str]") -> SplitCheck:
        """Compares with a store as it is now, or with a table of slides and patients.

        Raises UsageError where a patient is on both sides by now: the metadata may have merged two.
        """
        now = {slide.casefold(): (slide, patient) for slide, patient in patients_of(source)[0].items()}
        sides = []
        gone = []
        for name, patients in self.buckets.items():
            for slides in patients.values():
                for slide in slides:
                    known = now.pop(slide.casefold(), None)
                    if known is None:
                        gone.append(slide)
                    else:
                        sides.append((name, known[1], (slide,)))
        _refuse_both_sides(sides)
        return SplitCheck(tuple(sorted(gone)), tuple(sorted(slide for slide, _ in now.values())))

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Writes the file; equal splits give equal bytes. Raises UsageError for a file that is there."""
        path = Path(path)
        if path.exists() and not overwrite:
            raise UsageError(
                f"{path} is there already",
                remedy="Choose another name, or pass overwrite=True to replace it.",
            )
        body = {
            "format": _FORMAT,
            "kind": _KIND,
            "folds": self.folds,
            "seed": self.seed,
            "by": self.by,
            "stratified": self.stratified,
            "shares": dict(self.shares),
            "inputs": self.inputs,
            "counts": self.counts,
            "notes": list(self.notes),
            "buckets": self.buckets,
        }
        text = json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            aside.write_text(text, encoding="utf-8")
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Splits":
        """Reads a saved file. Raises UsageError where it is none, is of a newer format, or has a patient on both
        sides (it may have been edited)."""
        remedy = "Give a file that Splits.save or `slidelake split` wrote."
        try:
            body = json.loads(Path(path).read_text(encoding="utf-8"))
            if body["kind"] != _KIND:
                raise KeyError("kind")
            if body["format"] > _FORMAT:
                raise UsageError(
                    f"{path} is of format {body['format']}, this version reads up to {_FORMAT}",
                    remedy="Update slidelake.",
                )
            return cls(
                buckets=_buckets(body["buckets"]),
                folds=body["folds"],
                seed=body["seed"],
                by=body["by"],
                stratified=body["stratified"],
                shares=body["shares"],
                counts=body["counts"],
                inputs=body["inputs"],
                notes=tuple(body["notes"]),
            )
        except FileNotFoundError as exc:
            raise UsageError(f"there is no file {path}", remedy=remedy) from exc
        except UsageError:
            raise
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
            raise UsageError(f"{path} holds no splits ({type(exc).__name__}: {exc})", remedy=remedy) from exc

    @classmethod
    def from_table(
        cls,
        source: "pd.DataFrame | str | os.PathLike[str]",
        *,
        column: str = "split",
        store: FeatureStore | None = None,
    ) -> "Splits":
        """Splits that a table spells out: slide_id, patient_id (or one of them, with a store), and `column`.

        Rows with an empty cell are in no part. Whole numbers 0, 1, … in the column are folds. Raises UsageError
        for a patient on both sides, ManifestError for slides that are there twice,
        UnknownSlideError for what the store does not hold.
        """
        what = "table of splits"
        table = read_table(source, what)
        said = texts(column_of(table, column, what))
        rows = [n for n, part in enumerate(said) if part]
        known = patients_of(store)[0] if store is not None else None
        if find_column(table, SLIDE_COLUMNS) is None and known is not None:
            owners = texts(column_of(table, find_column(table, PATIENT_COLUMNS) or PATIENT_COLUMNS[0], what))
            part_of = _part_of_patients(owners, said)
            there = {owner.casefold() for owner in known.values()}
            _refuse_strangers([each for each in owners if each.casefold() not in there], known.values())
            placed = [
                (part_of[owner.casefold()], owner, slide)
                for slide, owner in known.items()
                if owner.casefold() in part_of
            ]
        else:
            slides, _ = patients_of(table, what)
            order = list(slides.items())
            placed = [(said[n], order[n][1], order[n][0]) for n in rows]
            _refuse_both_sides((part, owner, (slide,)) for part, owner, slide in placed)
            if known is not None:
                placed = _as_in_store(placed, known)
        names = sorted({part for part, _, _ in placed}, key=lambda name: (len(name), name))
        folds = len(names) if len(names) > 1 and names == [str(n) for n in range(len(names))] else None
        if folds is None:
            names = list(dict.fromkeys(part for part, _, _ in placed))
        buckets: dict[str, dict[str, tuple[str, ...]]] = {name: {} for name in names}
        for part, owner, slide in placed:
            buckets[part][owner] = (*buckets[part].get(owner, ()), slide)
        alone = all(owner == slide for _, owner, slide in placed)
        return cls(buckets=buckets, folds=folds, notes=(NO_PATIENTS,) if alone and placed else ())


def patients_of(source: Any, what: str = "table of slides") -> tuple[dict[str, str], "pd.DataFrame"]:
    """The patient of each slide of a store or table, and the table; a slide without one is its own patient.

    Raises ManifestError for a slide that is there twice (case does not count).
    """
    table = source.catalog() if isinstance(source, FeatureStore) else read_table(source, what)
    slide_column = find_column(table, SLIDE_COLUMNS)
    slides = texts(column_of(table, slide_column or SLIDE_COLUMNS[0], what))
    patient_column = find_column(table, PATIENT_COLUMNS)
    owners = texts(table[patient_column]) if patient_column else [""] * len(slides)
    empty = [n + 2 for n, each in enumerate(slides) if not each]
    if empty:
        raise ManifestError(
            f"no {slide_column} in line {listed(map(str, empty))} of the {what}", remedy="Give every row one."
        )
    found: dict[str, str] = {}
    seen: set[str] = set()
    twice = []
    for slide, owner in zip(slides, owners, strict=True):
        if slide.casefold() in seen:
            twice.append(slide)
        seen.add(slide.casefold())
        found[slide] = owner or slide
    if twice:
        raise ManifestError(
            f"the {what} has a slide twice (case does not count): {listed(twice)}",
            remedy="Give each one row.",
        )
    return found, table


def _refuse_both_sides(placed: Iterable[tuple[str, str, tuple[str, ...]]]) -> None:
    """Raises UsageError where a patient, or a slide, is in two parts; ids that differ in case are one."""
    side: dict[tuple[str, str], tuple[str, str]] = {}
    both: dict[str, None] = {}
    for part, patient, slides in placed:
        for kind, each in (("patient", patient), *(("slide", slide) for slide in slides)):
            before = side.setdefault((kind, each.casefold()), (part, each))[0]
            if before != part:
                both[f"{kind} {each} ({before} and {part})"] = None
    if both:
        raise UsageError(
            f"on both sides of the split: {listed(both)}",
            remedy="Put all of a patient's slides into one part.",
        )


def _buckets(body: Mapping[str, Mapping[str, Sequence[str]]]) -> dict[str, dict[str, tuple[str, ...]]]:
    for patients in body.values():
        for slides in patients.values():
            if not isinstance(slides, list) or not all(isinstance(slide, str) for slide in slides):
                raise TypeError("slides are lists of ids")
    return {name: {p: tuple(slides) for p, slides in patients.items()} for name, patients in body.items()}


def _part_of_patients(owners: Sequence[str], said: Sequence[str]) -> dict[str, str]:
    _refuse_both_sides((part, owner, ()) for part, owner in zip(said, owners, strict=True) if part)
    return {owner.casefold(): part for part, owner in zip(said, owners, strict=True) if part}


def _refuse_strangers(strangers: Sequence[str], known: Iterable[str]) -> None:
    if strangers:
        raise UnknownSlideError(
            f"the table of splits names what the store does not hold: {listed(strangers)}",
            remedy=suggest(strangers[0], known) or "Leave those rows out.",
        )


def _as_in_store(
    placed: Sequence[tuple[str, str, str]], known: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    """As the store spells slides, and with the patients that it tells of."""
    spelling = {slide.casefold(): slide for slide in known}
    strangers = [slide for _, _, slide in placed if slide.casefold() not in spelling]
    _refuse_strangers(strangers, known)
    return [(part, known[spelling[s.casefold()]], spelling[s.casefold()]) for part, _, s in placed]
