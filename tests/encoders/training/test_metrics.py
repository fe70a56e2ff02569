"""Measures against scikit-learn and lifelines, and intervals that know patients."""

import numpy as np
import pytest
from lifelines.utils import concordance_index
from sklearn import metrics

from slidelake.encoders.training.bootstrap import classification_draws
from slidelake.encoders.training.metrics import Estimate, estimates, measure, ranked_within_folds
from slidelake.encoders.training.predict import Predictions

RNG = np.random.default_rng(0)


def predictions(
    targets: np.ndarray, values: np.ndarray, patients: list[str], folds: list[int]
) -> Predictions:
    names = tuple(f"S{n}" for n in range(len(targets)))
    return Predictions(names, tuple(patients), ("test",) * len(names), np.array(folds), targets, values)


def test_classification_is_what_scikit_learn_says() -> None:
    targets, values = RNG.integers(0, 3, 60), RNG.dirichlet(np.ones(3), 60)
    said = values.argmax(axis=1)
    found = measure("classification", targets, values)
    assert found["auroc"] == pytest.approx(metrics.roc_auc_score(targets, values, multi_class="ovr"))
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(targets, said))
    assert found["f1"] == pytest.approx(metrics.f1_score(targets, said, average="macro"))
    assert found["kappa"] == pytest.approx(metrics.cohen_kappa_score(targets, said))
    ordered = measure("classification", targets, values, ordered=True)
    assert ordered["kappa"] == pytest.approx(metrics.cohen_kappa_score(targets, said, weights="quadratic"))
    assert ordered["kappa"] != found["kappa"]


@pytest.mark.parametrize(("classes", "ordered"), [(2, False), (4, False), (4, True)])
def test_all_draws_at_once_are_what_each_of_them_is(classes: int, ordered: bool) -> None:
    """Few bags and coarse values: draws with ties, and without some of the classes."""
    rng = np.random.default_rng(classes)
    targets, values = rng.integers(0, classes, 9), rng.integers(1, 5, (9, classes)) / 4
    chosen = rng.integers(0, 9, (60, 9))
    counts = np.stack([np.bincount(each, minlength=9) for each in chosen])
    counts[0], chosen[0] = np.eye(9, dtype=int)[2] * 9, 2  # one class alone
    found = classification_draws(targets, values, counts, ordered=ordered)
    for number, rows in enumerate(chosen):
        alone = measure("classification", targets[rows], values[rows], ordered=ordered)
        together = {name: None if np.isnan(each[number]) else each[number] for name, each in found.items()}
        assert together == pytest.approx(alone), number


def test_a_grade_that_is_not_there_keeps_its_place() -> None:
    """Of four grades the third is neither true nor predicted: the fourth is three from the first all the same."""
    found = measure("classification", np.array([0, 3, 0, 0, 0]), np.eye(4)[[0, 3, 0, 1, 0]], ordered=True)
    # By chance 4 · 1 / 5 of 1, 4 · 1 / 5 of 9, 1 · 3 / 5 of 9 and 1 · 1 / 5 of 4: 14.2.
    assert found["kappa"] == pytest.approx(1 - 1 / 14.2)


def test_of_two_classes_the_second_is_positive() -> None:
    targets = RNG.integers(0, 2, 50)
    chance = RNG.random(50)
    found = measure("classification", targets, np.stack([1 - chance, chance], axis=1))
    assert found["auroc"] == pytest.approx(metrics.roc_auc_score(targets, chance))
    assert found["average_precision"] == pytest.approx(metrics.average_precision_score(targets, chance))


def test_what_is_not_defined_is_none() -> None:
    sure = np.tile([[0.9, 0.1]], (5, 1))
    found = measure("classification", np.zeros(5), sure)
    assert (found["auroc"], found["average_precision"], found["kappa"]) == (None, None, None)
    assert (found["accuracy"], found["balanced_accuracy"]) == (1, 1)
    # A class that is in the model and not in the part is no error, and no warning.
    assert (
        measure("classification", np.zeros(5), np.tile([[0.1, 0.2, 0.7]], (5, 1)))["balanced_accuracy"] == 0
    )
    constant = measure("regression", np.arange(4.0)[:, None], np.ones((4, 1)))
    assert (constant["spearman"], constant["mae"]) == (None, 1.0)
    assert measure("regression", np.ones((4, 1)), np.arange(4.0)[:, None])["r2"] is None
    censored = np.stack([np.arange(4.0), np.zeros(4)], axis=1)
    assert measure("survival", censored, RNG.normal(size=(4, 1)))["c_index"] is None


def test_a_high_risk_is_a_short_time() -> None:
    times, events = RNG.exponential(size=40), RNG.integers(0, 2, 40)
    risks = RNG.normal(size=(40, 1))
    targets = np.stack([times, events], axis=1)
    found = measure("survival", targets, risks)["c_index"]
    assert found == pytest.approx(concordance_index(times, -risks[:, 0], events))
    assert measure("survival", np.stack([times, np.ones(40)], axis=1), -times[:, None])["c_index"] == 1


def test_slides_of_one_patient_are_no_new_evidence() -> None:
    """Each patient's slide copied ten times: by slide the interval would shrink to a third, by patient it stays."""
    targets = RNG.integers(0, 2, 30)
    chance = np.clip(targets * 0.3 + RNG.random(30) * 0.7, 0, 1)
    values = np.stack([1 - chance, chance], axis=1)
    names = [f"P{n}" for n in range(30)]
    once = estimates("classification", predictions(targets, values, names, [0] * 30), draws=40)
    many, much, owners = np.repeat(targets, 10), np.repeat(values, 10, axis=0), list(np.repeat(names, 10))
    often = estimates("classification", predictions(many, much, owners, [0] * 300), draws=40)
    for name in ("auroc", "accuracy"):
        one, ten = once[name], often[name]
        assert (ten.low, ten.high) == (pytest.approx(one.low), pytest.approx(one.high))
        assert one.low is not None
        assert one.high is not None
        assert one.low < (one.value or 0) <= one.high
    strangers = [f"P{n}" for n in range(300)]
    alone = estimates("classification", predictions(many, much, strangers, [0] * 300), draws=40)["accuracy"]
    assert width(alone) < 0.6 * width(often["accuracy"])


def width(estimate: Estimate) -> float:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.high - estimate.low


def test_intervals_are_seeded_and_can_be_left_out() -> None:
    names = [f"P{n}" for n in range(20)]
    made = predictions(RNG.integers(0, 2, 20), RNG.dirichlet(np.ones(2), 20), names, [0] * 20)
    first, again, other = (estimates("classification", made, draws=20, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert estimates("classification", made, draws=0)["auroc"].low is None


def test_no_interval_where_most_draws_define_nothing() -> None:
    """Of two patients with a class each, half of the draws have one class alone."""
    made = predictions(np.array([0, 1]), np.array([[0.8, 0.2], [0.3, 0.7]]), ["P0", "P1"], [0, 0])
    found = estimates("classification", made, draws=40)
    assert (found["auroc"].value, found["auroc"].low) == (1, None)
    assert found["accuracy"].low == 1


def test_risks_of_two_folds_are_compared_by_rank() -> None:
    """The second fold's model adds 100 to each risk: within folds all is right, between them all would be wrong."""
    times = np.array([1.0, 2, 3, 11, 12, 13])
    risks = np.array([3.0, 2, 1, 103, 102, 101])[:, None]
    made = predictions(
        np.stack([times, np.ones(6)], axis=1), risks, [f"P{n}" for n in range(6)], [0] * 3 + [1] * 3
    )
    assert measure("survival", made.targets, made.values)["c_index"] == pytest.approx(6 / 15)
    ranked = ranked_within_folds(made)
    assert (measure("survival", ranked.targets, ranked.values)["c_index"] or 0) > 0.6
    assert ranked.values[:3].tolist() == ranked.values[3:].tolist()
