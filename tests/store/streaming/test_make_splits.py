"""Made splits: no patient on both sides, every slide once, shares kept, by the seed, earlier ones kept."""

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slidelake.errors import UsageError
from slidelake.store import FeatureStore
from slidelake.store.streaming import Classification, Labels, Regression, Splits, Survival, make_splits

PARTS = {"train": 0.7, "val": 0.1, "test": 0.2}


@st.composite
def cohorts(draw: Callable[[Any], Any], least: int = 1) -> pd.DataFrame:
    """Slides of patients, each patient of one class; at least `least` patients of each class."""
    of_class = draw(st.lists(st.integers(least, 30), min_size=1, max_size=4))
    rows: dict[str, list[str]] = {"slide_id": [], "patient_id": [], "label": []}
    for number, patients in enumerate(of_class):
        for patient in range(patients):
            for slide in range(draw(st.sampled_from([1, 1, 1, 2, 5]))):
                rows["slide_id"].append(f"S{number}-{patient}-{slide}")
                rows["patient_id"].append(f"P{number}-{patient}")
                rows["label"].append("abcd"[number])
    return pd.DataFrame(rows)


def labels_of(frame: pd.DataFrame) -> Labels:
    return Labels.read(frame, Classification("label"))


def whole(splits: Splits, frame: pd.DataFrame) -> None:
    """Every slide is in one part, with its patient, and no patient is in two."""
    placed = [(part, p, s) for part, ps in splits.buckets.items() for p, slides in ps.items() for s in slides]
    assert sorted(s for _, _, s in placed) == sorted(frame.slide_id)
    assert {s: p for _, p, s in placed} == dict(zip(frame.slide_id, frame.patient_id, strict=True))
    assert max(Counter(p for p, _ in {(p, part) for part, p, _ in placed}).values()) == 1


@given(
    cohorts(), st.integers(0, 2**32 - 1), st.sampled_from([PARTS, {"a": 0.5, "b": 0.5}, {"x": 0.9, "y": 0.1}])
)
@settings(deadline=None, max_examples=40)
def test_parts_hold_their_shares(frame: pd.DataFrame, seed: int, parts: dict[str, float]) -> None:
    made = make_splits(frame, labels=labels_of(frame), parts=parts, seed=seed)
    whole(made, frame)
    patients = frame.drop_duplicates("patient_id")
    for part, share in parts.items():
        for label, there in patients.label.value_counts().items():
            got = made.counts[part].get(str(label), {"patients": 0})["patients"]
            assert abs(got - share * there) < 1
        assert abs(len(made.patients(part)) - share * len(patients)) < 2
    mixed = frame.sample(frac=1, random_state=seed)
    assert make_splits(mixed, labels=labels_of(mixed), parts=parts, seed=seed) == made


@given(cohorts(least=5), st.integers(2, 5), st.integers(0, 100))
@settings(deadline=None, max_examples=12)
def test_folds_hold_their_shares(frame: pd.DataFrame, folds: int, seed: int) -> None:
    made = make_splits(frame, labels=labels_of(frame), folds=folds, seed=seed)
    whole(made, frame)
    for label, there in frame.drop_duplicates("patient_id").label.value_counts().items():
        for fold in made.counts.values():
            assert abs(fold[str(label)]["patients"] - there / folds) <= 1
    assert make_splits(frame.iloc[::-1], labels=labels_of(frame), folds=folds, seed=seed) == made


@given(cohorts(least=5), st.randoms(use_true_random=False), st.sampled_from([{"parts": PARTS}, {"folds": 3}]))
@settings(deadline=None, max_examples=30)
def test_earlier_splits_are_kept(frame: pd.DataFrame, random: Random, how: Any) -> None:
    """Slides come, of old patients and of new ones, and one goes; whoever was there stays."""
    # The first slide of the first patients was there from the start, so that there was something to split.
    there = [n < 5 or random.random() < 0.6 for n in frame.groupby("patient_id", sort=False).ngroup()]
    old, now = frame[there], frame.drop(index=frame.index[0])
    before = make_splits(old, **how, stratify=False, seed=random.randrange(99))
    made = make_splits(now, labels=labels_of(now), **how, keep=before, seed=random.randrange(99))
    whole(made, now)
    placed = {p: part for part, ps in made.buckets.items() for p in ps}
    for part, patients in before.buckets.items():
        assert all(placed.get(p, part) == part for p in patients)


def test_new_patients_fill_what_is_lacking() -> None:
    frame = pd.DataFrame({"slide_id": [f"S{n}" for n in range(100)], "label": list("ab") * 50})
    before = make_splits(frame[:50], labels=labels_of(frame[:50]), parts={"train": 0.9, "test": 0.1})
    made = make_splits(frame, labels=labels_of(frame), parts={"train": 0.6, "test": 0.4}, keep=before, seed=5)
    assert set(before.part("test")) < set(made.part("test"))
    # 60 patients belong to train, 45 were there already.
    assert [made.counts[part][label]["patients"] for part in made.parts for label in "ab"] == [30, 30, 20, 20]


def test_what_keep_refuses() -> None:
    frame = pd.DataFrame({"slide_id": [f"S{n}" for n in range(6)], "patient_id": [f"P{n}" for n in range(6)]})
    before = make_splits(frame, parts={"train": 0.5, "test": 0.5})
    one, two = before.part("train")[0], before.part("test")[0]
    merged = frame.assign(patient_id=["P9" if s in (one, two) else s for s in frame.slide_id])
    with pytest.raises(UsageError, match=rf"both sides .*test and train.*({one}, {two}|{two}, {one})"):
        make_splits(merged, parts={"train": 0.5, "test": 0.5}, keep=before)
    for other in ({"parts": {"train": 0.5, "val": 0.5}}, {"folds": 2}):
        with pytest.raises(UsageError, match="splits to keep have train, test"):
            make_splits(frame, keep=before, **other)  # type: ignore[arg-type]
    # The patient's only slide went, another came: the patient stays.
    moved = frame.assign(slide_id=[f"N{n}" for n in range(6)])
    again = make_splits(moved, parts={"train": 0.5, "test": 0.5}, keep=before, seed=3)
    assert again.patients("train") == before.patients("train")


def test_a_store_with_labels(cohort: FeatureStore) -> None:
    labels = Labels.read(cohort, Classification("grade"))
    made = make_splits(cohort, labels=labels, parts={"train": 0.5, "test": 0.5})
    assert made.stratified == "grade"
    assert made.notes == ("left out, having no label (1): S7",)
    # S0 and S1 are of one patient and of two classes.
    assert sum(c["patients"] for part in made.counts.values() for c in part.values()) == 6
    assert sum(c["patches"] for part in made.counts.values() for c in part.values()) == 7 * 20
    by_patient = Labels.read(
        pd.DataFrame({"patient_id": ["P0", "P1", "P2", "P3"], "v": list("aabb")}),
        Classification("v"),
        "patient",
    )
    made = make_splits(cohort, labels=by_patient, folds=2)
    assert made.notes == ("left out, having no label (2): S6, S7",)
    assert [made.counts[fold][label]["patients"] for fold in "01" for label in "ab"] == [1, 1, 1, 1]
    assert make_splits(cohort, seed=1) != make_splits(cohort, seed=3)


def test_numbers_and_survival_are_stratified_by_quantiles() -> None:
    frame = pd.DataFrame(
        {"slide_id": [f"S{n:02d}" for n in range(80)], "v": range(80), "t": range(80), "e": [1, 0, 0, 0] * 20}
    )
    made = make_splits(frame, labels=Labels.read(frame, Regression("v")), parts={"a": 0.5, "b": 0.5})
    assert made.counts["a"] == {
        f"v quantile {n}": {"patients": 10, "slides": 10, "patches": 0} for n in (1, 2, 3, 4)
    }
    made = make_splits(frame, labels=Labels.read(frame, Survival("t", "e")), folds=5)
    for fold in made.counts.values():
        assert {name: count["patients"] for name, count in fold.items()} == {
            **{f"event, t quantile {n}": 1 for n in (1, 2, 3, 4)},
            **{f"censored, t quantile {n}": 3 for n in (1, 2, 3, 4)},
        }
    # Twelve events do not fill four quantiles in five folds: they are cut more coarsely.
    made = make_splits(frame[:48], labels=Labels.read(frame[:48], Survival("t", "e")), folds=5)
    assert {name.split(",")[0] for name in made.counts["0"]} == {"event", "censored"}
    assert all(
        sum(c["patients"] for n, c in fold.items() if n[0] == "e") >= 2 for fold in made.counts.values()
    )


def test_sites_stay_together() -> None:
    sites = [
        s for s, n in zip("ABCDEFGHIJ", [30, 20, 10, 10, 10, 5, 5, 5, 3, 2], strict=True) for _ in range(n)
    ]
    frame = pd.DataFrame({"slide_id": [f"S{n}" for n in range(100)], "site": sites, "label": list("ab") * 50})
    # A patient seen at two sites joins them.
    frame["patient_id"] = ["P0" if n in (99, 97) else f"P{n}" for n in range(100)]
    for how in ({"parts": PARTS}, {"folds": 3}):
        made = make_splits(frame, labels=labels_of(frame), by="site", **how)  # type: ignore[arg-type]
        assert made.by == "site"
        of = {s: part for part, ps in made.buckets.items() for slides in ps.values() for s in slides}
        assert frame.assign(part=frame.slide_id.map(of)).groupby("site").part.nunique().max() == 1
        assert of["S99"] == of["S97"]
    shares = [len(make_splits(frame, by="site", parts=PARTS).part(part)) for part in PARTS]
    assert shares == [pytest.approx(100 * share, abs=5) for share in PARTS.values()]


def test_a_class_that_a_part_lacks_is_told() -> None:
    frame = pd.DataFrame({"slide_id": [f"S{n}" for n in range(21)], "label": ["rare", *["common"] * 20]})
    made = make_splits(frame, labels=labels_of(frame))
    told = [note for note in made.notes if note.startswith("no patient of rare in ")]
    assert len(told) == 2


EIGHT = pd.DataFrame({"slide_id": [f"S{n}" for n in range(8)], "label": ["a"] * 5 + ["b"] * 3})


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"parts": {"a": 0.5, "b": 0.4}}, r"shares a=0.5, b=0.4 do not make a whole"),
        ({"parts": {"a": 1.5, "b": -0.5}}, "do not make a whole"),
        ({"parts": {"a": float("nan"), "b": 0.5}}, "do not make a whole"),
        ({"parts": {" ": 1.0}}, "do not make a whole"),
        ({"parts": PARTS, "folds": 3}, "both given"),
        ({"folds": 1}, "1 folds"),
        ({"folds": 9}, "8 patients cannot be divided into 9 folds. Ask for 8"),
        (
            {"folds": 4},
            r"4 folds, but fewer patients of b \(3\). Ask for 3 folds at most, or pass stratify=False",
        ),
        ({"seed": -1}, "seed -1"),
        ({"by": "site"}, "no column site"),
    ],
)
def test_what_cannot_be_is_refused(how: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_splits(EIGHT, labels=labels_of(EIGHT), **how)


def test_more_folds_than_a_class_has_patients_without_stratifying() -> None:
    whole(
        make_splits(EIGHT, labels=labels_of(EIGHT), folds=4, stratify=False),
        EIGHT.assign(patient_id=EIGHT.slide_id),
    )


def test_nothing_to_split() -> None:
    with pytest.raises(UsageError, match="no slides to split"):
        make_splits(EIGHT[:0])
    none = Labels.read(pd.DataFrame({"slide_id": ["other"], "label": ["a"]}), Classification("label"))
    with pytest.raises(UsageError, match="no slides to split"):
        make_splits(EIGHT, labels=none)
