"""Dividing a cohort into parts or folds: by patient, with the classes' shares kept, by a seed."""

import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xxhash

from slidelake.errors import UsageError
from slidelake.store.feature_store import FeatureStore
from slidelake.store.streaming.labels import GROUP_BINS, Labels
from slidelake.store.streaming.splits import NO_PATIENTS, Splits, patients_of
from slidelake.store.streaming.tables import column_of, listed, texts
from slidelake.store.streaming.targets import Classification

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DEFAULT_PARTS", "make_splits"]

DEFAULT_PARTS: Mapping[str, float] = {"train": 0.7, "val": 0.1, "test": 0.2}


@dataclass(frozen=True)
class _Unit:
    """What goes into one part as a whole: a patient, or all patients of a site."""

    slides: tuple[str, ...]
    #: Its patients, in lower case.
    patients: frozenset[str]
    #: The groups (classes) of its slides, each once, sorted.
    stratum: tuple[int, ...]
    #: How many of its patients have a slide of each group.
    weight: Mapping[int, int]


def make_splits(
    source: "FeatureStore | pd.DataFrame | str | os.PathLike[str]",
    *,
    labels: Labels | None = None,
    parts: Mapping[str, float] | None = None,
    folds: int | None = None,
    by: str = "patient",
    stratify: bool = True,
    seed: int = 0,
    keep: Splits | None = None,
) -> Splits:
    """Divides the slides of a store (or of a table with slide_id, patient_id) into `parts` by share, or k `folds`.

    A patient is never on both sides. With `labels`, slides without one are left out (the notes say so), and with
    `stratify` each part gets its share of each class's patients, to less than one patient; numbers are cut into
    quantiles, survival by event and quantile of time. Folds are scikit-learn's StratifiedGroupKFold. `by` may
    name another column, such as a site: all of a site's patients then stay together, and shares are kept as well
    as they can be. The order of rows does not matter; the same seed gives the same splits.

    With `keep`, earlier splits, every patient stays where it is, and only new ones are dealt out. Raises
    UsageError: nothing to split, shares that are no shares, more folds than a class has patients, a patient that
    is on both sides of `keep` by now.
    """
    shares = _shares(parts, folds)
    _check_seed(seed)
    owner, table = patients_of(source)
    notes = []
    alone = [slide for slide, patient in owner.items() if slide == patient]
    if alone and len(alone) == len(owner):
        notes.append(NO_PATIENTS)
    keeper = _keeper(owner, table, by)
    slide_group, names, left_out = _groups(owner, keeper, labels, len(shares))
    if left_out:
        notes.append(f"left out, having no label ({len(left_out):,}): {listed(left_out)}")
    if not slide_group:
        raise UsageError("there are no slides to split", remedy="Ingest slides, or look at the labels.")
    units = _units(slide_group if stratify else dict.fromkeys(slide_group, 0), owner, keeper)
    kept = _kept(keep, units, tuple(shares), folds)
    if folds is not None:
        _check_folds(folds, units, names if stratify else {})
    if folds is not None and keep is None:
        place = _by_sklearn(units, folds, seed)
    elif by == "patient":
        place = _by_stratum(units, shares, kept, seed)
    else:
        place = _by_weight(units, shares, kept, seed)
    buckets: dict[str, dict[str, tuple[str, ...]]] = {name: {} for name in shares}
    for n, unit in enumerate(units):
        mine = buckets[place[n]]
        for slide in unit.slides:
            mine[owner[slide]] = (*mine.get(owner[slide], ()), slide)
    counts = _counts(buckets, slide_group, names, _patches(table, owner))
    for name, classes in counts.items():
        if without := [each for each in names.values() if each not in classes]:
            of = f" of {', '.join(without)}" if names != {0: "all"} else ""
            notes.append(f"no patient{of} in {'fold ' if folds else ''}{name}")
    rows = sorted([slide, owner[slide], names[slide_group[slide]]] for slide in slide_group)
    return Splits(
        buckets=buckets,
        folds=folds,
        seed=seed,
        by=by,
        stratified=", ".join(labels.target.columns) if labels is not None and stratify else "",
        shares={} if folds else shares,
        counts=counts,
        inputs=xxhash.xxh3_128(json.dumps(rows, ensure_ascii=False).encode()).hexdigest(),
        notes=tuple(notes),
    )


def _shares(parts: Mapping[str, float] | None, folds: int | None) -> dict[str, float]:
    if folds is not None:
        if parts is not None:
            raise UsageError("parts and folds were both given", remedy="Give one of the two.")
        if folds < 2:
            raise UsageError(f"{folds} folds cannot be", remedy="Give 2 or more.")
        return {str(n): 1 / folds for n in range(folds)}
    shares = {str(name).strip(): float(share) for name, share in (parts or DEFAULT_PARTS).items()}
    total = sum(shares.values())
    if not all(shares) or not all(share > 0 for share in shares.values()) or abs(total - 1) > 1e-6:
        said = ", ".join(f"{name}={share:g}" for name, share in shares.items())
        raise UsageError(
            f"the shares {said} do not make a whole", remedy="Give shares above 0 that add up to 1."
        )
    return shares


def _check_seed(seed: int) -> None:
    if not 0 <= seed < 2**32:
        raise UsageError(f"the seed {seed} cannot be", remedy="Give a whole number from 0 to 2³² - 1.")


def _keeper(owner: Mapping[str, str], table: "pd.DataFrame", by: str) -> dict[str, str]:
    """What keeps slides together: for each patient (in lower case) one name, shared where `by` joins patients."""
    together = {patient.casefold(): patient.casefold() for patient in owner.values()}
    if by == "patient":
        return together

    def root(patient: str) -> str:
        while together[patient] != patient:
            patient = together[patient]
        return patient

    first: dict[str, str] = {}
    for patient, value in zip(owner.values(), texts(column_of(table, by, "table of slides")), strict=True):
        if value:
            a, b = root(patient.casefold()), root(first.setdefault(value, patient.casefold()))
            together[max(a, b)] = min(a, b)
    return {patient: root(patient) for patient in together}


def _groups(
    owner: Mapping[str, str], keeper: Mapping[str, str], labels: Labels | None, buckets: int
) -> tuple[dict[str, int], dict[int, str], list[str]]:
    """The group of each slide that takes part, the groups' names, and the slides without a label."""
    if labels is None:
        return dict.fromkeys(sorted(owner), 0), {0: "all"}, []
    key = {slide: slide if labels.by == "slide" else owner[slide] for slide in sorted(owner)}
    left_out = [slide for slide, each in key.items() if each not in labels]
    for bins in range(1 if isinstance(labels.target, Classification) else GROUP_BINS, 0, -1):
        of = {each.casefold(): group for each, group in labels.groups(bins).items()}
        found = {slide: of[each.casefold()] for slide, each in key.items() if each in labels}
        there = Counter(group for _, group in {(keeper[owner[s].casefold()], g) for s, g in found.items()})
        # Finer quantiles only where each part can have a patient of each.
        if all(count >= buckets for count in there.values()):
            break
    names = {group: labels.target.group_name(group, bins) for group in sorted(set(found.values()))}
    return found, names, left_out


def _units(groups: Mapping[str, int], owner: Mapping[str, str], keeper: Mapping[str, str]) -> list[_Unit]:
    """The units, sorted; each with its slides, sorted."""
    slides: dict[str, list[str]] = {}
    for slide in sorted(groups):
        slides.setdefault(keeper[owner[slide].casefold()], []).append(slide)
    units = []
    for each in sorted(slides):
        seen = {(owner[slide].casefold(), groups[slide]) for slide in slides[each]}
        weight = Counter(group for _, group in seen)
        units.append(_Unit(tuple(slides[each]), frozenset(p for p, _ in seen), tuple(sorted(weight)), weight))
    return units


def _kept(
    keep: Splits | None, units: Sequence[_Unit], names: tuple[str, ...], folds: int | None
) -> dict[int, str]:
    """Where the units are already, by number. A patient that was there keeps its place with its new slides."""
    if keep is None:
        return {}
    if keep.folds != folds or set(keep.buckets) != set(names):
        raise UsageError(
            f"the splits to keep have {', '.join(keep.buckets)}; {', '.join(names)} were asked for",
            remedy="Ask for the same parts or folds.",
        )
    of_slide = {s.casefold(): b for b, ps in keep.buckets.items() for each in ps.values() for s in each}
    of_patient = {p.casefold(): b for b, ps in keep.buckets.items() for p in ps}
    kept = {}
    for n, unit in enumerate(units):
        sides = {of_slide[s.casefold()] for s in unit.slides if s.casefold() in of_slide}
        sides |= {of_patient[p] for p in unit.patients if p in of_patient}
        if len(sides) > 1:
            raise UsageError(
                f"what belongs together is on both sides of the splits to keep ({' and '.join(sorted(sides))}): "
                f"{listed(unit.slides)}",
                remedy="Correct the patients, or make new splits.",
            )
        if sides:
            kept[n] = sides.pop()
    return kept


def _check_folds(folds: int, units: Sequence[_Unit], names: Mapping[int, str]) -> None:
    if len(units) < folds:
        raise UsageError(
            f"{len(units)} patients cannot be divided into {folds} folds",
            remedy=f"Ask for {len(units)} folds at most." if len(units) > 1 else "Ingest more patients.",
        )
    there = Counter(group for unit in units for group in unit.stratum)
    few = {group: count for group, count in there.items() if count < folds and group in names}
    if few:
        least = min(few.values())
        said = ", ".join(f"{names[group]} ({few[group]})" for group in sorted(few))
        at_most = f"Ask for {least} folds at most, or" if least > 1 else "Leave the class out, or"
        raise UsageError(
            f"there are {folds} folds, but fewer patients of {said}", remedy=f"{at_most} pass stratify=False."
        )


def _by_sklearn(units: Sequence[_Unit], folds: int, seed: int) -> dict[int, str]:
    from sklearn.model_selection import StratifiedGroupKFold

    # A row for each slide would let patients with many slides decide; one for each patient and class does not.
    rows = [(n, group) for n, unit in enumerate(units) for group, w in unit.weight.items() for _ in range(w)]
    owner, groups = np.array(rows).T
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    place: dict[int, str] = {}
    for fold, (_, test) in enumerate(splitter.split(owner, groups, owner)):
        place.update(dict.fromkeys(owner[test].tolist(), str(fold)))
    return place


def _by_stratum(
    units: Sequence[_Unit], shares: Mapping[str, float], kept: Mapping[int, str], seed: int
) -> dict[int, str]:
    """Each stratum by largest remainders; who gets the remainders is balanced over the strata."""
    names, share = list(shares), np.array(list(shares.values()))
    strata: dict[tuple[int, ...], list[int]] = {}
    for n, unit in enumerate(units):
        strata.setdefault(unit.stratum, []).append(n)
    rng = np.random.default_rng(seed)
    place = dict(kept)
    # What each part lacks so far, over all strata; large strata first, so that small ones can even it out.
    lacking = np.zeros(len(names))
    for _, members in sorted(strata.items(), key=lambda item: (-len(item[1]), item[0])):
        here = np.array([sum(kept.get(n) == name for n in members) for name in names])
        new = [n for n in members if n not in kept]
        exact = share * len(members)
        need = np.maximum(exact - here, 0)
        quota = need * (len(new) / need.sum()) if new else np.zeros(len(names))
        seats = np.floor(quota + 1e-9).astype(np.int64)
        lacking += exact - here - seats
        may_have_more = quota - seats > 1e-9
        for _ in range(len(new) - int(seats.sum())):
            more = int(np.argmax(np.where(may_have_more, lacking, -math.inf)))
            seats[more] += 1
            lacking[more] -= 1
            may_have_more[more] = False
        dealt = np.repeat(np.arange(len(names)), seats)
        for n, bucket in zip(rng.permutation(new).tolist(), dealt.tolist(), strict=True):
            place[n] = names[bucket]
    return place


def _by_weight(
    units: Sequence[_Unit], shares: Mapping[str, float], kept: Mapping[int, str], seed: int
) -> dict[int, str]:
    """Units of very different size: the largest first, each where it brings the classes nearest to their shares."""
    names, share = list(shares), np.array(list(shares.values()))
    groups = sorted({group for unit in units for group in unit.stratum})
    weights = np.array([[unit.weight.get(group, 0) for group in groups] for unit in units], np.float64)
    weights = weights / weights.sum(axis=0)
    lacking = np.tile(share[:, None], (1, len(groups)))
    place = dict(kept)
    for n, name in kept.items():
        lacking[names.index(name)] -= weights[n]
    mixed = np.random.default_rng(seed).permutation(len(units))
    for n in mixed[np.argsort(-weights[mixed].sum(axis=1), kind="stable")].tolist():
        if n not in place:
            # Of the squared distances Σ (lacking - weight)², the one that falls most.
            bucket = int(np.argmax(lacking @ weights[n]))
            place[n] = names[bucket]
            lacking[bucket] -= weights[n]
    return place


def _patches(table: "pd.DataFrame", owner: Mapping[str, str]) -> dict[str, int]:
    """Patches of each slide, where the table tells: a store's does."""
    if "n_patches" not in table.columns:
        return {}
    return {slide: int(n) for slide, n in zip(owner, table["n_patches"], strict=True)}


def _counts(
    buckets: Mapping[str, Mapping[str, Sequence[str]]],
    groups: Mapping[str, int],
    names: Mapping[int, str],
    patches: Mapping[str, int],
) -> dict[str, dict[str, dict[str, int]]]:
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for name, patients in buckets.items():
        slides = Counter(groups[slide] for each in patients.values() for slide in each)
        having = Counter(group for each in patients.values() for group in {groups[slide] for slide in each})
        rows = Counter[int]()
        for slide in (slide for each in patients.values() for slide in each):
            rows[groups[slide]] += patches.get(slide, 0)
        counts[name] = {
            text: {"patients": having[group], "slides": slides[group], "patches": rows[group]}
            for group, text in names.items()
            if slides[group]
        }
    return counts
