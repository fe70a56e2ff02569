"""Whoever follows the rule passes, whoever takes the shortcut falls below 0.5, and nothing else decides."""

import numpy as np
import pytest
import torch
from PIL import Image

from slidelake.encoders.mil_tests import (
    MIL_TESTS,
    BagsToTest,
    MilTable,
    MilVerdict,
    draw_table,
    run_mil_tests,
)
from slidelake.encoders.mil_tests.bags import BACKGROUND, FIRST, SECOND
from slidelake.errors import UnknownAggregatorError, UsageError


def density(rows: np.ndarray, mean: float, spread: float) -> np.ndarray:
    """(T,) log density of rows whose dimensions are independent normal numbers."""
    return (-0.5 * ((rows - mean) / spread) ** 2 - np.log(spread)).sum(axis=1)


def largest(values: np.ndarray, bags: BagsToTest) -> np.ndarray:
    return np.maximum.reduceat(values, bags.cu_seqlens[:-1])


def perfect(bags: BagsToTest, seed: int):
    """The rule by hand: how much more likely a row is of the concept than of the background; the bag's best row.

    It is told one thing: whether one concept is enough (whose two kinds of rows are then spread widely).
    """
    one_is_enough = bags.features[bags.kinds == SECOND].std() > 0.5
    kinds = MIL_TESTS["single-concept" if one_is_enough else "multi-concept"].kinds

    def score(other: BagsToTest) -> np.ndarray:
        rows = other.features.astype(np.float64)
        against = density(rows, *kinds[BACKGROUND])
        first, second = (density(rows, *kinds[kind]) - against for kind in (FIRST, SECOND))
        # A row at -10 is unlikely under the background too: what lies there is no concept, however wide that is.
        odd = rows.mean(axis=1) < -4
        first, second = (largest(np.where(odd, -1e6, each), other) for each in (first, second))
        return np.maximum(first, second) if one_is_enough else np.minimum(first, second)

    return score


def mean_with_the_decoy(bags: BagsToTest, seed: int):
    """A cheat: bags whose mean lies on the side where positive training bags lay."""

    def means(other: BagsToTest) -> np.ndarray:
        sums = np.add.reduceat(other.features.mean(axis=1), other.cu_seqlens[:-1])
        return sums / np.diff(other.cu_seqlens)

    ours = means(bags)
    side = np.sign(ours[bags.labels == 1].mean() - ours[bags.labels == 0].mean())
    return lambda other: side * means(other)


@pytest.fixture(scope="module")
def by_hand() -> MilTable:
    return run_mil_tests({"perfect": perfect, "mean": mean_with_the_decoy}, seeds=[0, 1], bags=200)


@pytest.mark.parametrize("test", MIL_TESTS)
def test_the_rule_passes_and_the_cheat_does_not(by_hand, test):
    assert by_hand.of("perfect", test).outcome == "passes"
    cheat = by_hand.of("mean", test)
    assert cheat.outcome == "shortcut"
    assert min(cheat.train_auc) > 0.65
    assert max(cheat.test_auc) < 0.4


def test_a_trained_mean_takes_every_shortcut_and_gives_the_same_table_twice():
    steps: list[str] = []
    one = run_mil_tests(["mean"], seeds=1, bags=200, progress=lambda event, **_: steps.append(event))
    assert steps == ["start", "slide", "slide", "slide", "end"]
    assert {verdict.test: verdict.outcome for verdict in one} == dict.fromkeys(MIL_TESTS, "shortcut")
    again = run_mil_tests(["mean"], seeds=[0], bags=200)
    assert again == one
    assert run_mil_tests(["mean"], seeds=[1], bags=200) != one


def test_the_callers_chance_and_threads_are_left_alone():
    before = torch.random.get_rng_state(), torch.get_num_threads()
    run_mil_tests(["mean"], seeds=1, bags=40)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert torch.get_num_threads() == before[1]


@pytest.mark.parametrize(
    ("train", "test", "outcome"),
    [
        ((1.0, 1.0), (0.99, 0.95), "passes"),
        ((1.0, 1.0), (0.99, 0.85), "partly"),
        ((1.0, 1.0), (0.60, 0.30), "shortcut"),
        ((0.7, 0.6), (0.60, 0.55), "not learnt"),
    ],
)
def test_outcomes(train, test, outcome, tmp_path):
    verdict = MilVerdict("abmil", "multi-concept", train, test)
    assert verdict.outcome == outcome
    row = verdict.row()
    assert row["outcome"] == outcome
    assert (row["test_auc_least"], row["test_auc_most"], row["seeds"]) == (min(test), max(test), 2)
    assert row["test_auc"] == pytest.approx(sum(test) / 2)


def test_the_picture_has_a_cell_a_verdict(tmp_path):
    table = MilTable(
        tuple(
            MilVerdict(name, test, (1.0,), (auc,))
            for name, auc in (("bad", 0.0), ("good", 1.0))
            for test in MIL_TESTS
        )
    )
    with Image.open(draw_table(table, tmp_path / "folder" / "table.png")) as picture:
        colours = {colour for count, colour in picture.convert("RGB").getcolors(1 << 24) if count > 20_000}
    assert colours == {(255, 255, 255), (213, 94, 0), (0, 114, 178)}


def test_what_is_refused():
    with pytest.raises(UnknownAggregatorError, match="Did you mean mean"):
        run_mil_tests(["meen"])
    for seeds in ([], 0, [-1]):
        with pytest.raises(UsageError, match="seeds"):
            run_mil_tests(["mean"], seeds=seeds)
    with pytest.raises(UsageError, match="1 bags"):
        run_mil_tests(["mean"], bags=1)
