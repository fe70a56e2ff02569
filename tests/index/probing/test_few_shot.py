"""Few-shot probes: what they learn, that no patient is on both sides, and what they refuse."""

import json
from dataclasses import replace

import numpy as np
import pytest

from slidelake.errors import UsageError
from slidelake.index.probing import few_shot
from slidelake.index.probing.held_out import held_out
from slidelake.index.probing.labelled import owners
from slidelake.index.probing.linear import fit_linear
from tests.index.probing.rows import clouds, labelled


def test_more_shots_learn_more_and_each_figure_lies_in_its_interval() -> None:
    found = few_shot(clouds(patients=18, rows=12, apart=2.0), shots=(2, 8, 32), draws=300)
    means = [point.balanced_accuracy.mean for point in found.points]
    assert means[0] < means[1] < means[2]
    assert means[2] > 0.8
    for point in found.points:
        assert point.balanced_accuracy.low < point.balanced_accuracy.mean < point.balanced_accuracy.high
        assert len(point.draws) == 10
        assert np.mean(point.draws) == pytest.approx(point.balanced_accuracy.mean, abs=0.02)
        assert point.sd == pytest.approx(np.std(point.draws, ddof=1))
    assert found.chance == pytest.approx(1 / 3)
    json.dumps(found.to_dict(), allow_nan=False)
    assert found.to_frame()["shots"].tolist() == [2, 8, 32]


def test_a_patient_is_on_one_side() -> None:
    """Features that name the patient and nothing else: a probe that met its rows before would always be right."""
    rng = np.random.default_rng(1)
    patients = 40
    code = rng.normal(size=(patients, 30))
    label = rng.permutation(patients) % 2
    of = np.repeat(np.arange(patients), 6)
    rows = labelled(code[of], [f"c{label[p]}" for p in of], groups=[f"P{p}" for p in of])
    point = few_shot(rows, shots=(32,), draws=300).points[0]
    assert point.balanced_accuracy.low < 0.5 < point.balanced_accuracy.high
    assert (
        few_shot(replace(rows, groups=np.array([""] * len(of))), shots=(32,)).points[0].balanced_accuracy.mean
        > 0.8
    )


@pytest.mark.parametrize("seed", range(5))
def test_each_class_is_on_both_sides_of_whole_groups(seed: int) -> None:
    rows = clouds(patients=7, rows=9)
    targets, groups = rows.targets(), owners(rows.groups)
    asked = held_out(targets, groups, share=1 / 3, seed=seed)
    assert {bool(asked[groups == group].all()) for group in groups} == {True, False}
    assert set(groups[asked]).isdisjoint(groups[~asked])
    for number in range(3):
        assert 0 < asked[targets == number].mean() < 0.6


def test_a_class_of_two_patients_has_one_on_each_side() -> None:
    targets = np.array([0] * 30 + [1] * 4)
    groups = np.array([n % 10 for n in range(30)] + [10, 10, 11, 11])
    for seed in range(10):
        asked = held_out(targets, groups, share=1 / 3, seed=seed)
        assert sorted(asked[30:].tolist()) == [False, False, True, True]


def test_draws_trained_at_once_are_those_trained_alone() -> None:
    rows = clouds()
    targets = rows.targets()
    shots = np.stack([np.random.default_rng(n).permutation(120)[:40] for n in range(3)])
    pools = [np.arange(120)] * 3
    together = fit_linear(rows.features, targets, shots, pools, classes=3, seed=4)
    alone = fit_linear(rows.features, targets, shots[:1], pools[:1], classes=3, seed=4)
    np.testing.assert_allclose(together.weights[0], alone.weights[0], atol=1e-5)
    assert not np.allclose(together.weights[0], together.weights[1], atol=1e-2)


def test_the_optimiser_is_that_of_the_protocol() -> None:
    """One batch, worked out by hand for two steps: AdamW, learning rate 0.01, decay 0.01."""
    features = np.array([[1.0, 0.0], [0.0, 2.0]], np.float32)
    targets = np.array([0, 1])
    got = fit_linear(
        features, targets, np.array([[0, 1]]), [np.arange(2)], classes=2, standardise=False, epochs=2
    )
    weights, bias = np.zeros((2, 2)), np.zeros(2)
    moments = {
        name: [np.zeros_like(each), np.zeros_like(each)] for name, each in (("w", weights), ("b", bias))
    }
    for step in (1, 2):
        logits = features @ weights + bias
        chance = np.exp(logits) / np.exp(logits).sum(1, keepdims=True) - np.eye(2)[targets]
        for name, value, slope in (("w", weights, features.T @ chance / 2), ("b", bias, chance.mean(0))):
            first, second = moments[name]
            first[:] = 0.9 * first + 0.1 * slope
            second[:] = 0.999 * second + 0.001 * slope**2
            value *= 1 - 0.01 * 0.01
            value -= 0.01 * first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    np.testing.assert_allclose(got.weights[0], weights, atol=1e-6)
    np.testing.assert_allclose(got.bias[0], bias, atol=1e-6)


def test_standardised_or_not() -> None:
    """A dimension of huge numbers that says nothing drowns the others, unless it is scaled."""
    rows = clouds(apart=4.0)
    noise = np.random.default_rng(0).normal(size=(len(rows), 1)) * 1e4 + 1e5
    loud = replace(rows, features=np.hstack([rows.features, noise]).astype(np.float32))
    scaled, raw = (few_shot(loud, shots=(8,), standardise=each).points[0] for each in (True, False))
    assert scaled.balanced_accuracy.mean > 0.85
    assert raw.balanced_accuracy.mean < 0.6


def test_the_same_seed_gives_the_same() -> None:
    rows = clouds()
    first, again, other = (few_shot(rows, shots=(4,), draws=200, seed=n) for n in (3, 3, 4))
    assert first == again != other


def test_the_gain_of_one_encoder_over_another_is_paired() -> None:
    rows = clouds(apart=2.0)
    blurred = replace(
        rows, features=rows.features + np.random.default_rng(1).normal(size=rows.features.shape) * 0.4
    )
    first, second = few_shot(rows, shots=(8,)), few_shot(blurred, shots=(8,))
    gain = first.gain_over(second)[8]
    one, other = (each.points[0].balanced_accuracy for each in (first, second))
    assert gain.mean == pytest.approx(one.mean - other.mean)
    assert gain.low < gain.mean < gain.high
    # Patients that are hard for one are hard for the other.
    assert gain.high - gain.low < (one.high - one.low) + (other.high - other.low)
    same = first.gain_over(first)[8]
    assert (same.mean, same.low, same.high) == (0, 0, 0)
    with pytest.raises(UsageError, match="not asked about the same rows"):
        first.gain_over(few_shot(rows, shots=(8,), seed=1))


def test_too_few_rows_are_said_or_refused() -> None:
    rows = clouds(patients=12, rows=6)
    found = few_shot(rows, shots=(2, 128))
    assert [point.shots for point in found.points] == [2]
    assert any("128 shots" in note and "class" in note for note in found.notes)
    with pytest.raises(UsageError, match="128 shots"):
        few_shot(rows, shots=(2, 128), short="refuse")
    with pytest.raises(UsageError, match="128 shots"):
        few_shot(rows, shots=(128,))


def test_what_is_refused() -> None:
    rows = clouds()
    with pytest.raises(UsageError, match="one class, 'class 1'"):
        few_shot(rows.of_classes(("class 1",)))
    with pytest.raises(UsageError, match="no class 'lung'"):
        rows.of_classes(("lung",))
    with pytest.raises(UsageError, match="of one patient"):
        few_shot(labelled(np.eye(6), ["a", "a", "a", "b", "b", "b"], groups=["P", "Q", "R", "S", "S", "S"]))
    for bad in ({"shots": ()}, {"shots": (0,)}, {"seeds": 0}, {"share": 1.0}):
        with pytest.raises(UsageError, match="held out"):
            few_shot(rows, **bad)  # type: ignore[arg-type]
    features = rows.features.copy()
    features[7, 2] = np.nan
    with pytest.raises(UsageError, match=r"1 of 120 rows .* not finite, the first is row 7"):
        replace(rows, features=features)
    with pytest.raises(UsageError, match="have no label"):
        labelled(np.eye(2), ["a", ""])
    with pytest.raises(UsageError, match="facts"):
        replace(rows, labels=rows.labels[:-1])
    with pytest.raises(UsageError, match="no labelled rows"):
        labelled(np.empty((0, 3)), [])
