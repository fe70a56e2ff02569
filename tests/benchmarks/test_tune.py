"""What the benchmark of tuning asks, and how it counts."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.tune import interval
from benchmarks.tune_cohort import SPACE, TISSUES, commit_slides, draw_slides, make_rows, reading_text
from slidelake.store import FeatureStore


def test_the_answers_are_in_the_features_and_held_out_patients_are_asked_anew(tmp_path: Path) -> None:
    parts = {"train": 12, "val": 2, "test": 4}
    slides = draw_slides(parts, patches=40, seed=3)
    rows = list(make_rows(slides, 3))
    assert {each.split for each in rows} == set(parts)
    asked = {part: {row.question for row in rows if row.split == part} for part in parts}
    assert not asked["train"] & asked["test"]
    assert not any("caption" in row.task for row in rows if row.split == "test")
    store = FeatureStore.open(tmp_path / "lake", create=True)
    commit_slides(store, slides)
    bag = store.bag(slides[0].slide_id, SPACE)
    assert np.array_equal(bag.features, slides[0].features)
    # Without stain the mean of a bag is the mixture of the tissues' places: the largest share is the answer.
    places = np.random.default_rng(20261121).normal(size=(len(TISSUES), bag.dim))
    for slide in slides:
        shares, *_ = np.linalg.lstsq(places.T, slide.features.astype(float).mean(0), rcond=None)
        assert TISSUES[int(shares.argmax())] == slide.most


def test_text_says_in_words_what_slides_say_in_features() -> None:
    pairs = list(reading_text(200, 0))
    for prompt, answer in pairs:
        told = prompt.split("\n")[0]
        assert all(word in told for word in answer.split() if word in TISSUES)
    assert len({prompt.split("\n")[1] for prompt, _ in pairs}) == 14


def test_intervals() -> None:
    same = [{f"P{n}": 0.25 for n in range(20)} for _ in range(3)]
    assert interval(same) == pytest.approx((0.25, 0.25, 0.25))
    rng = np.random.default_rng(0)
    none = [dict(enumerate(rng.normal(size=80).tolist())) for _ in range(3)]
    mean, low, high = interval(none)  # type: ignore[arg-type]
    assert low < 0 < high
    assert low < mean < high
