"""The bags are what the rules say, the shortcut is there in training and turned round in testing."""

import numpy as np
import pytest

from slidelake.encoders.mil_tests import MIL_TESTS, BagsToTest
from slidelake.encoders.mil_tests.bags import BACKGROUND, DECOY, FIRST, SECOND

COUNT = 200


def counts(bags: BagsToTest, kind: int) -> np.ndarray:
    """(B,) how many rows of a kind each bag has."""
    return np.add.reduceat(bags.kinds == kind, bags.cu_seqlens[:-1], dtype=np.int64)


@pytest.mark.parametrize("name", MIL_TESTS)
@pytest.mark.parametrize("part", ["train", "test"])
def test_labels_follow_the_rule(name, part):
    bags = MIL_TESTS[name].draw(COUNT, part)
    first, second = counts(bags, FIRST), counts(bags, SECOND)
    right = (first + second > 0) if name == "single-concept" else (first > 0) & (second > 0)
    np.testing.assert_array_equal(bags.labels, right)
    assert bags.labels.sum() == COUNT // 2
    assert (counts(bags, BACKGROUND) > 0).all()


@pytest.mark.parametrize("name", ["single-concept", "multi-concept"])
def test_the_decoy_changes_sides(name):
    training, testing = (MIL_TESTS[name].draw(COUNT, part) for part in ("train", "test"))
    np.testing.assert_array_equal(counts(training, DECOY), 1 - training.labels)
    np.testing.assert_array_equal(counts(testing, DECOY), testing.labels)


def test_frequency_changes_sides():
    def concepts(part):
        bags = MIL_TESTS["false-frequency"].draw(COUNT, part)
        rows = counts(bags, FIRST) + counts(bags, SECOND)
        assert DECOY not in bags.kinds
        return rows[bags.labels == 1], rows[bags.labels == 0]

    positive, negative = concepts("train")
    assert (positive.min(), positive.max(), negative.min(), negative.max()) == (2, 4, 1, 2)
    positive, negative = concepts("test")
    assert (positive.min(), positive.max()) == (2, 4)
    assert 35 <= negative.min() <= negative.max() <= 45


@pytest.mark.parametrize("name", MIL_TESTS)
def test_rows_are_drawn_from_their_kind(name):
    test = MIL_TESTS[name]
    bags = test.draw(1000, "train")
    assert bags.features.dtype == np.float32
    for kind, (mean, spread) in test.kinds.items():
        rows = bags.features[bags.kinds == kind]
        if len(rows):
            assert rows.mean() == pytest.approx(mean, abs=5 * spread / np.sqrt(rows.size))
            assert rows.std() == pytest.approx(spread, rel=5 / np.sqrt(rows.size))


def test_a_kind_has_no_place_of_its_own_in_a_bag():
    bags = MIL_TESTS["single-concept"].draw(COUNT, "train")
    starts = set((np.flatnonzero(bags.kinds == DECOY) - bags.cu_seqlens[:-1][bags.labels == 0]).tolist())
    assert starts == set(range(11))


def test_equal_seeds_give_equal_bags_and_others_others():
    test = MIL_TESTS["multi-concept"]
    one, same = test.draw(50, "train", seed=3), test.draw(50, "train", seed=3)
    for name in ("features", "cu_seqlens", "labels", "kinds"):
        np.testing.assert_array_equal(getattr(one, name), getattr(same, name))
    for other in (test.draw(50, "train", seed=4), test.draw(50, "test", seed=3)):
        assert not np.isin(other.features[:, 0], one.features[:, 0]).any()
