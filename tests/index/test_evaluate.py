"""Retrieval metrics against values counted by hand."""

import math

import numpy as np
import pytest

from slidelake.errors import QueryError
from slidelake.index.evaluate import (
    average_precision_at_k,
    bootstrap_difference,
    bootstrap_mean,
    hamming,
    phash64,
    precision_at_k,
    random_scores,
    retrieval_scores,
)


@pytest.mark.parametrize(
    ("hits", "total", "expected"),
    [
        ([1, 1, 1, 1, 1], 9, 1.0),
        ([0, 0, 0, 0, 0], 9, 0.0),
        # (1 / 5) · (1/1 + 2/3)
        ([1, 0, 1, 0, 0], 9, (1 + 2 / 3) / 5),
        # two relevant in all: (1 / 2) · (1/2 + 2/4)
        ([0, 1, 0, 1, 0], 2, 0.5),
        # both found first
        ([1, 1, 0, 0, 0], 2, 1.0),
        # fewer hits than k: the missing ones count as not relevant
        ([1], 4, 1 / 4),
        ([], 4, 0.0),
        # what stands beyond k does not count
        ([0, 0, 0, 0, 0, 1], 3, 0.0),
    ],
)
def test_average_precision_at_5(hits: list[int], total: int, expected: float) -> None:
    assert average_precision_at_k(hits, 5, total) == pytest.approx(expected)


def test_a_query_without_relevant_candidates_says_nothing() -> None:
    assert math.isnan(average_precision_at_k([0, 0], 5, 0))


def test_precision_counts_missing_hits_as_failures() -> None:
    assert precision_at_k([1, 0, 1, 1], 4) == 0.75
    assert precision_at_k([1, 1], 10) == 0.2
    assert precision_at_k([0, 0, 1], 2) == 0.0


def _rows(*angles: float) -> np.ndarray:
    turned = np.radians(angles)
    return np.column_stack([np.cos(turned), np.sin(turned)]).astype(np.float32)


def test_scores_by_hand() -> None:
    # On a circle: a at 0 and 10, b at 4, a at 30.
    scores = retrieval_scores(_rows(0, 10, 4, 30), ["a", "a", "b", "a"], k=2)
    # 0 -> b(4), a(10), a(30): AP = (1/2 + 2/3) / 2; 10 -> b(4), a(0), a(30): the same;
    # 30 -> a(10), b(4), a(0): (1 + 2/3) / 2. b has nothing to find.
    assert scores.average_precision[[0, 1, 3]] == pytest.approx([7 / 12, 7 / 12, 5 / 6])
    assert math.isnan(scores.average_precision[2])
    assert scores.precision[[0, 1, 3]].tolist() == [0.5, 0.5, 0.5]
    assert math.isnan(scores.precision[2])
    assert scores.map_at_k == pytest.approx((7 / 12 + 7 / 12 + 5 / 6) / 3)
    assert scores.mean_precision == 0.5
    assert scores.precision_by_label() == {"a": 0.5}


def test_length_of_a_row_does_not_matter() -> None:
    rows = _rows(0, 10, 4, 30)
    longer = rows * np.array([[1.0], [50.0], [0.02], [7.0]], np.float32)
    labels = ["a", "a", "b", "a"]
    first, second = retrieval_scores(rows, labels), retrieval_scores(longer, labels)
    assert np.array_equal(first.average_precision, second.average_precision, equal_nan=True)


def test_own_group_is_left_out_and_an_empty_group_is_nobodys() -> None:
    rows, labels = _rows(0, 1, 2, 40), ["a", "a", "b", "a"]
    grouped = retrieval_scores(rows, labels, ["p", "p", "q", ""], k=1)
    # 0 may not see 1: b comes first.
    assert grouped.precision[0] == 0.0
    assert grouped.average_precision[0] == pytest.approx(1 / 2)
    alone = retrieval_scores(rows, labels, ["", "", "", ""], k=1)
    assert alone.precision[0] == 1.0


def test_near_identical_images_are_left_out() -> None:
    rows, labels = _rows(0, 1, 2, 40), ["a", "a", "b", "a"]
    hashes = np.array([0, 0b111111, 0b1111111 << 20, 1 << 63 | 0xFFFF], np.uint64)
    # 0 and 1 differ in six bits: left out. 0 and 2 in seven: kept.
    scores = retrieval_scores(rows, labels, None, hashes, k=1)
    assert scores.precision[0] == 0.0
    assert retrieval_scores(rows, labels, None, hashes, k=1, max_bits=5).precision[0] == 1.0


def test_queries_may_differ_from_what_is_searched() -> None:
    rows, labels = _rows(0, 10, 50, 60), ["a", "a", "b", "b"]
    swapped = retrieval_scores(rows, labels, queries=_rows(52, 52, 8, 8), k=1)
    assert swapped.precision.tolist() == [0.0, 0.0, 0.0, 0.0]
    some = retrieval_scores(rows, labels, asked=np.array([3, 0]), k=1)
    assert some.labels.tolist() == ["b", "a"]
    assert some.precision.tolist() == [1.0, 1.0]


def test_ties_go_to_the_lower_row() -> None:
    scores = retrieval_scores(_rows(0, 20, 20, 20), ["a", "b", "a", "a"], k=1)
    assert scores.precision[0] == 0.0


def test_what_does_not_agree_or_is_not_finite_is_refused() -> None:
    rows = _rows(0, 1)
    with pytest.raises(QueryError):
        retrieval_scores(rows, ["a"])
    with pytest.raises(QueryError):
        retrieval_scores(rows, ["a", "b"], ["p"])
    with pytest.raises(QueryError):
        retrieval_scores(rows, ["a", "b"], None, np.array([1], np.uint64))
    rows[0, 0] = np.nan
    with pytest.raises(QueryError):
        retrieval_scores(rows, ["a", "b"])


def test_random_scores_reach_the_share_of_the_class_and_are_seeded() -> None:
    labels = ["a"] * 30 + ["b"] * 10
    scores = random_scores(labels, rounds=200, seed=1)
    by_label = scores.precision_by_label()
    assert by_label["a"] == pytest.approx(29 / 39, abs=0.02)
    assert by_label["b"] == pytest.approx(9 / 39, abs=0.02)
    assert (
        random_scores(labels, rounds=3, seed=1).precision == random_scores(labels, rounds=3, seed=1).precision
    ).all()


def test_bootstrap_interval_covers_the_mean_and_narrows() -> None:
    generator = np.random.default_rng(0)
    few, many = generator.normal(0.5, 0.2, 40), generator.normal(0.5, 0.2, 4000)
    wide, narrow = bootstrap_mean(few), bootstrap_mean(many)
    assert wide.low < wide.mean < wide.high
    assert wide.mean == pytest.approx(few.mean())
    # 2 · 1.96 · 0.2 / sqrt(4000)
    assert narrow.high - narrow.low == pytest.approx(0.0124, rel=0.1)
    assert wide.high - wide.low > 5 * (narrow.high - narrow.low)
    assert bootstrap_mean(few, seed=3) == bootstrap_mean(few, seed=3)


def test_bootstrap_leaves_out_queries_that_say_nothing() -> None:
    assert bootstrap_mean([1.0, np.nan, 0.0]).mean == 0.5
    assert math.isnan(bootstrap_mean([np.nan]).mean)


def test_paired_difference_is_sharper_than_the_two_apart() -> None:
    luck = np.random.default_rng(0).uniform(0, 1, 100)
    gain = bootstrap_difference(luck + 0.1, luck)
    assert (gain.mean, gain.low, gain.high) == pytest.approx((0.1, 0.1, 0.1))
    with pytest.raises(QueryError):
        bootstrap_difference([1.0], [1.0, 2.0])


def _picture(side: int, seed: int = 0) -> np.ndarray:
    y, x = np.mgrid[0:side, 0:side] / side
    generator = np.random.default_rng(seed)
    waves = sum(
        np.cos(2 * np.pi * (a * x + b * y) + c) for a, b, c in generator.uniform((0, 0, 0), (3, 3, 6), (6, 3))
    )
    grey = np.uint8(127 + 20 * waves)
    return np.repeat(grey[..., None], 3, axis=2)


def test_phash_is_golden() -> None:
    assert f"{phash64(_picture(96)):016x}" == "ad09da70c3863ce7"


def test_phash_survives_size_brightness_and_noise_and_tells_pictures_apart() -> None:
    first = _picture(96)
    alike = [
        _picture(192),
        first[..., 0],
        np.clip(first.astype(int) + 20, 0, 255).astype(np.uint8),
        np.clip(first + np.random.default_rng(1).normal(0, 3, first.shape), 0, 255).astype(np.uint8),
    ]
    distances = hamming([phash64(first)], [phash64(image) for image in alike])[0]
    assert distances.max() <= 6
    others = [phash64(_picture(96, seed)) for seed in range(1, 9)]
    assert hamming([phash64(first)], others).min() > 6


def test_phash_of_small_and_oblong_images() -> None:
    assert hamming([phash64(_picture(48))], [phash64(_picture(200))])[0, 0] <= 6
    assert 0 <= phash64(_picture(20)) < 1 << 64
    assert 0 <= phash64(_picture(96)[:50]) < 1 << 64
    assert phash64(np.full((50, 50, 3), 255, np.uint8)) == phash64(np.full((9, 70, 3), 255, np.uint8))


def test_what_is_no_image_is_refused() -> None:
    for wrong in (np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3)), np.zeros(8, np.uint8)):
        with pytest.raises(QueryError):
            phash64(wrong)


def test_hamming_by_hand() -> None:
    found = hamming([0, 0xFFFFFFFFFFFFFFFF], [0, 1, 0xF0])
    assert found.tolist() == [[0, 1, 4], [64, 63, 60]]
