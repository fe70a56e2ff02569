"""Captions revised: what the evidence does not hold goes. And captions made wrong on purpose, to teach a reviser.

PathGen-1.6M's reviser adds, deletes and edits findings; it learns from good captions to which the inverse was done.
The rules here only take away: a sentence that names something which nothing holds, or which is denied.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from slidelake.services.tuning.data.choices import keyed_random
from slidelake.services.tuning.data.row import TuningRow, Turn, row_id
from slidelake.services.tuning.data.vocabulary import GROUPS, held_by, mentions

__all__ = ["Corruption", "Revision", "corrupt", "revise", "reviser_rows", "sentences"]

Operation = Literal["add", "delete", "edit"]
_OPERATIONS: tuple[Operation, ...] = ("add", "delete", "edit")
#: A name that qualifies another word ("lymphoid cells", "necrotic areas"): a noun in its place would be bad English.
_QUALIFIES = re.compile(
    r"\w(?:ic|al|ous|oid|ar|ed)\b|\b(?:atypical|malignant)\b|\s(?:cells?|nuclei|changes?|areas?)\b"
)
_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9])")


@dataclass(frozen=True)
class Revision:
    """`text` is what is left of a caption, `removed` the sentences that went, each with what nothing holds in it."""

    text: str
    removed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Corruption:
    """A caption made wrong: `operation` is what was done, `change` tells a reviser how to undo it."""

    operation: Operation
    text: str
    change: str


def sentences(text: str) -> list[str]:
    """A caption's sentences."""
    return [each for each in _END.split(text.strip()) if each]


def revise(caption: str, held: Iterable[str]) -> Revision:
    """Leaves out each sentence that names what is not among `held`, or denies what is."""
    there = frozenset(held)
    kept, removed = [], []
    for sentence in sentences(caption):
        wrong = next((each.name for each in mentions(sentence) if (each.name in there) == each.denied), None)
        if wrong is None:
            kept.append(sentence)
        else:
            removed.append((sentence, wrong))
    return Revision(" ".join(kept), tuple(removed))


def corrupt(
    caption: str, operation: Operation, others: Sequence[str], chance: random.Random
) -> Corruption | None:
    """The caption with one finding added (a sentence of another caption), deleted or edited.

    What is added or put in its place is named nowhere in the caption, so that it is wrong there. None where the caption
    does not lend itself: one sentence only, nothing that can be told apart.
    """
    own = sentences(caption)
    named = {each.name for each in mentions(caption)}
    if operation == "add":
        fitting = [
            sentence
            for other in chance.sample(list(others), min(len(others), 20))
            for sentence in sentences(other)
            if (there := held_by(sentence)) and not there & named
        ]
        if not fitting:
            return None
        added = fitting[0]
        at = chance.randrange(len(own) + 1)
        return Corruption("add", " ".join([*own[:at], added, *own[at:]]), f"Remove: {added}")
    if operation == "delete":
        # Only a sentence whose finding no other one names is missed.
        missed = [
            at for at, sentence in enumerate(own)
            if held_by(sentence) - held_by(" ".join([*own[:at], *own[at + 1 :]]))
        ]  # fmt: skip
        if len(own) < 2 or not missed:
            return None
        at = chance.choice(missed)
        return Corruption("delete", " ".join([*own[:at], *own[at + 1 :]]), f"Add: {own[at]}")
    changeable = [
        (each, others_of)
        for each in mentions(caption)
        if not _QUALIFIES.search(caption[each.start : each.end + 12])
        and (others_of := [name for name in GROUPS[each.group] if name not in named])
    ]
    if not changeable:
        return None
    mention, names = chance.choice(changeable)
    was, now = caption[mention.start : mention.end], chance.choice(names)
    text = caption[: mention.start] + (now.capitalize() if was[0].isupper() else now) + caption[mention.end :]
    return Corruption("edit", text, f"Replace: {now} -> {was}")


def reviser_rows(captions: Sequence[TuningRow], *, seed: int, each: int = 1) -> Iterator[TuningRow]:
    """Rows that teach a reviser: a caption made wrong, and what to do about it with the right caption.

    `each` corruptions a caption, their operations drawn by the seed; pictures, evidence, patient and split are those
    of the caption. Captions come from rows of the task "caption"; what is added comes from the same split.
    """
    of_split: dict[str, list[str]] = {}
    for row in captions:
        of_split.setdefault(row.split, []).append(row.answer)
    for row in captions:
        if row.task != "caption":
            continue
        others = [text for text in of_split[row.split] if text != row.answer]
        for number in range(each):
            chance = keyed_random("reviser", seed, row.id, number)
            tried = chance.sample(_OPERATIONS, len(_OPERATIONS))
            made = next(filter(None, (corrupt(row.answer, one, others, chance) for one in tried)), None)
            if made is None:
                continue
            sign = "<image>\n" if row.images or row.image_files else ""
            asked = f"{sign}Correct this description; say what you change.\n{made.text}"
            yield TuningRow(
                id=row_id("reviser", row.id, number),
                task="revise",
                patient_id=row.patient_id,
                turns=(Turn("user", asked), Turn("assistant", f"{made.change}\n{row.answer}")),
                evidence=row.evidence,
                slide_id=row.slide_id,
                space=row.space,
                images=row.images,
                image_files=row.image_files,
                made_by={"step": "reviser", "generator": "none", "seed": seed, "operation": made.operation},
                split=row.split,
                licence=row.licence,
            )
