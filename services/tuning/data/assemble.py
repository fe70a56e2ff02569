"""From the records of a run's steps to its data set: duplicates, the cap on text, splits, checks, files."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slidelake.services.tuning.data.card import write_card
from slidelake.services.tuning.data.duplicates import Duplicates
from slidelake.services.tuning.data.files import new_text
from slidelake.services.tuning.data.pipeline import Run, Step
from slidelake.services.tuning.data.row import TuningRow
from slidelake.services.tuning.data.sheet import write_sheet
from slidelake.services.tuning.data.split import PatientSplit, check_splits
from slidelake.services.tuning.data.tally import vision_of
from slidelake.services.tuning.data.write import (
    Picture,
    drop_other_images,
    read_rows,
    write_forms,
    write_rows,
)

if TYPE_CHECKING:
    from slidelake.store import FeatureStore

__all__ = ["Assembly", "assemble", "deleted"]


@dataclass(frozen=True)
class Assembly:
    """How the rows of steps become a data set.

    `rows_per_picture` caps how many rows there are about one slide or patch (0: no cap): more text for the same slides
    has made published models worse. Which ones stay is chosen by a hash with the seed. `repeats` gives the text by
    which rows repeat each other and the group inside which they do (None: rows are not compared).
    """

    split: PatientSplit
    rows_per_picture: int = 0
    repeats: Callable[[TuningRow], tuple[str, str]] | None = None
    near: float = 0.8
    picture: Picture | None = None
    lance: bool = False
    #: For the card: what the data set is, in a sentence or two.
    about: str = ""


def assemble(
    run: Run, steps: tuple[Step, ...], plan: Assembly, store: FeatureStore | None = None
) -> dict[str, Any]:
    """Writes the data set into the run's folder; returns what counts.json says.

    The rows are the records of the last step. Rows about a patient or slide on the deny-list of `store` never come
    through. The same steps give the same bytes. Raises UsageError for a leak between splits.
    """
    dropped: dict[str, Counter[str]] = {step.name: Counter(step.dropped) for step in steps}
    late = dropped["assemble"] = Counter()
    split_of = _choose(run.seed, steps[-1], plan, late, store)
    rows = (TuningRow.read(record) for record in steps[-1])
    tally = write_rows(
        run.folder, (replace(row, split=split_of[row.id]) for row in rows if row.id in split_of)
    )
    check_splits(read_rows(run.folder))
    drop_other_images(run.folder, _kept(steps[-1], run.folder))
    files = write_forms(run.folder, picture=plan.picture, lance=plan.lance)
    counts = {
        "command": run.asked["command"],
        "seed": run.seed,
        **tally.to_dict(),
        "items": {step.name: step.items for step in steps},
        "dropped": {name: dict(sorted(rules.items())) for name, rules in dropped.items() if rules},
        "duplicates": {how: late[f"{how}-duplicate"] for how in ("exact", "near")},
        "inputs": {step.name: step.inputs for step in steps},
        "files": [*files, "DATASET.md", "sheet.html"],
    }
    write_sheet(run.folder, seed=run.seed)
    write_card(run.folder, run.asked, counts, about=plan.about)
    with new_text(run.folder / "counts.json") as out:
        out.write(json.dumps(counts, indent=1, ensure_ascii=False) + "\n")
    return counts


def _kept(step: Step, folder: Path) -> Iterator[TuningRow]:
    """The rows of the data set, and those of the step that rest on files alone: a later run may choose these."""
    yield from read_rows(folder)
    yield from (row for row in map(TuningRow.read, step) if row.image_files)


def _choose(
    seed: int, step: Step, plan: Assembly, dropped: Counter[str], store: FeatureStore | None
) -> dict[str, str]:
    """The split of each row that stays, by id; what goes is counted: repeats, the denied, what is over the cap."""
    seen = Duplicates(plan.near)
    patients: set[str] = set()
    slides: set[str] = set()
    rows: list[tuple[str, str, tuple[str, ...], tuple[str, ...]]] = []
    for record in step:
        row = TuningRow.read(record)
        if plan.repeats is not None:
            text, group = plan.repeats(row)
            repeated = seen.find(row.id, text, group)
            if repeated is not None:
                dropped[f"{repeated[0]}-duplicate"] += 1
                continue
        about = tuple({row.slide_id, *(each.slide_id for each in row.images)} - {""})
        patients.add(row.patient_id)
        slides.update(about)
        rows.append((row.id, row.patient_id, about, vision_of(row)))
    gone_patients, gone_slides = deleted(store, patients, slides) if store is not None else (set(), set())
    taken: Counter[str] = Counter()
    split_of = {}
    for name, patient, about, pictures in sorted(rows, key=lambda each: _order(seed, each[0])):
        part = plan.split.of(patient)
        if patient in gone_patients or gone_slides.intersection(about):
            dropped["deleted"] += 1
        elif not part:
            dropped["in-no-split"] += 1
        elif plan.rows_per_picture and any(taken[each] >= plan.rows_per_picture for each in pictures):
            dropped["over-cap"] += 1
        else:
            split_of[name] = part
            taken.update(pictures)
    return split_of


def deleted(store: FeatureStore, patients: set[str], slides: set[str]) -> tuple[set[str], set[str]]:
    """Those of the patients and slides that are on the store's deny-list."""
    return store.denied.among("patient", patients), store.denied.among("slide", slides)


def _order(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()
