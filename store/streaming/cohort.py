"""Which bags a loader streams: slides or patients, their rows and commits, from the store's keys and catalog.

No bag is opened: 10,000 slides cost two listings and one Parquet file.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

import xxhash

from slidelake.errors import UnknownSlideError, UsageError
from slidelake.store.ids import split_space
from slidelake.store.layout import CommitKey, SlideState, Subject
from slidelake.store.names import match_space, no_slide

if TYPE_CHECKING:
    from slidelake.store.feature_store import FeatureStore
    from slidelake.store.streaming.splits import Splits

__all__ = ["BagEntry", "Cohort", "Unit", "read_cohort", "wanted_slides"]

log = logging.getLogger(__name__)

Unit = Literal["slide", "patient"]


class BagEntry(NamedTuple):
    """One bag: its id (a slide's or a patient's), its slides end to end, its patient, its stored rows."""

    bag_id: str
    slide_ids: tuple[str, ...]
    patient_id: str
    rows: int


@dataclass
class Cohort:
    """The bags in order of their ids; the commit of each slide in each space; why the others are left out."""

    spaces: tuple[str, ...]
    unit: Unit
    entries: list[BagEntry]
    keys: dict[tuple[str, str], CommitKey] = field(repr=False)
    left_out: dict[str, str] = field(default_factory=dict, repr=False)
    #: Every slide of the store that is not deleted, streamed or not.
    live: frozenset[str] = field(default=frozenset(), repr=False)

    def keep(self, wanted: Iterable[str], reason: str) -> None:
        """Keeps the bags named, and writes down why the others went."""
        names = set(wanted)
        for entry in self.entries:
            if entry.bag_id not in names:
                self.left_out[entry.bag_id] = reason
        self.entries = [entry for entry in self.entries if entry.bag_id in names]
        self.__dict__.pop("digest", None)

    @cached_property
    def digest(self) -> str:
        """Changes with the bags, their order and their commits: what is resumed must find the same."""
        state = xxhash.xxh3_128()
        for entry in self.entries:
            state.update(f"{entry.bag_id}\n".encode())
            for slide_id in entry.slide_ids:
                for space in self.spaces:
                    state.update(f"{self.keys[slide_id, space].key}\n".encode())
        return state.hexdigest()


def read_cohort(
    store: "FeatureStore",
    spaces: str | Sequence[str] | None,
    *,
    slides: Sequence[str] | None = None,
    unit: Unit = "slide",
    strict: bool = True,
) -> Cohort:
    """The bags of a store that have features in all the spaces named (None: the only one there is).

    `slides` names those wanted; one that is not there is refused with `strict`, else left out and listed.
    Raises UnknownSpaceError, UnknownSlideError, UsageError (a slide twice).
    """
    if unit not in ("slide", "patient"):
        raise UsageError(f"a bag cannot be a {unit!r}", remedy="Use unit='slide' or unit='patient'.")
    states = {slide_id: state for slide_id, state in store.states().items() if state.keys}
    names = _spaces(states, spaces)
    subjects = [Subject("bag", *split_space(name)) for name in names]
    catalog = store.catalog()
    rows = {
        str(slide_id): dict(zip(there, counts, strict=True))
        for slide_id, there, counts in zip(
            catalog["slide_id"], catalog["spaces"], catalog["space_patches"], strict=True
        )
    }
    patients = dict(zip(map(str, catalog["slide_id"]), map(str, catalog["patient_id"]), strict=True))
    wanted = _wanted(store, states, slides, strict)
    cohort = Cohort(tuple(names), unit, [], {}, live=frozenset(states))
    found: list[BagEntry] = []
    for slide_id in wanted:
        state = states.get(slide_id)
        missing = [s for s, n in zip(subjects, names, strict=True) if not _has(state, s, rows, slide_id, n)]
        if state is None or missing:
            what = f"no bag in {'/'.join(missing[0].ids)}" if state else "not in the store"
            if strict and slides is not None:
                raise UnknownSlideError(
                    f"the slide has {what}" if state else f"no such slide in {store.url}",
                    remedy="Ingest it first, or leave it out of slides=.",
                    slide=slide_id,
                )
            if slides is not None:
                cohort.left_out[slide_id] = what
            continue
        for subject, name in zip(subjects, names, strict=True):
            cohort.keys[slide_id, name] = state.keys[subject]
        entry = BagEntry(slide_id, (slide_id,), patients[slide_id], int(rows[slide_id][names[0]]))
        found.append(entry)
    cohort.entries = found if unit == "slide" else _by_patient(found)
    if cohort.left_out:
        log.warning(
            "slides without a bag are left out",
            extra={"slides": len(cohort.left_out), "first": next(iter(cohort.left_out))},
        )
    return cohort


def wanted_slides(
    slides: Sequence[str] | None, splits: "Splits | None", part: str | None, fold: int | None
) -> Sequence[str] | None:
    """The slides that are named, themselves or by a part of splits; None: all. Raises UsageError for both."""
    if splits is None:
        if part is not None or fold is not None:
            raise UsageError("a part was named, but no splits", remedy="Give splits= too.")
        return slides
    if slides is not None or part is None:
        raise UsageError(
            "splits= goes with part=, and without slides=", remedy="Name the part, or the slides."
        )
    return splits.part(part, fold)


def _spaces(states: dict[str, SlideState], wanted: str | Sequence[str] | None) -> list[str]:
    there = sorted(
        {f"{s.grid_id}/{s.encoder_id}" for state in states.values() for s in state.keys if s.kind == "bag"}
    )
    asked = [wanted] if wanted is None or isinstance(wanted, str) else list(wanted)
    if not asked:
        raise UsageError("no space was named", remedy=f"Name one or more of: {', '.join(there)}.")
    names = [match_space(each, there) for each in asked]
    if len(set(names)) != len(names):
        raise UsageError(f"a space is named twice: {', '.join(names)}", remedy="Name each once.")
    return names


def _wanted(
    store: "FeatureStore", states: dict[str, SlideState], slides: Sequence[str] | None, strict: bool
) -> list[str]:
    if slides is None:
        return sorted(states)
    if isinstance(slides, str):
        raise UsageError("slides is one text", remedy="Give a list of slide ids.")
    ids = [str(each) for each in slides]
    twice = sorted({each for each in ids if ids.count(each) > 1}) if len(set(ids)) != len(ids) else []
    if twice:
        raise UsageError(
            f"slides names {', '.join(twice[:5])} more than once", remedy="Name each slide once."
        )
    unknown = [each for each in ids if each not in states]
    if unknown and strict:
        raise no_slide(store.url, unknown[0], "", list(states))
    return sorted(ids)


def _has(
    state: SlideState | None, subject: Subject, rows: dict[str, dict[str, int]], slide_id: str, name: str
) -> bool:
    # The catalog and the listing are two looks: what only one of them saw is not streamed.
    return state is not None and subject in state.keys and name in rows.get(slide_id, {})


def _by_patient(slides: list[BagEntry]) -> list[BagEntry]:
    members: dict[str, list[BagEntry]] = {}
    for entry in slides:
        members.setdefault(entry.patient_id, []).append(entry)
    return [
        BagEntry(patient, tuple(e.bag_id for e in each), patient, sum(e.rows for e in each))
        for patient, each in sorted(members.items())
    ]
