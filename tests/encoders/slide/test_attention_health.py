"""Measures of attention against their definitions, and when a cohort raises an alarm."""

import weakref
from itertools import count

import numpy as np
import pytest

from slidelake.encoders.slide import HealthRules, attention_health, measure_attention
from slidelake.errors import UsageError


def with_lse(scores):
    scores = np.asarray(scores, np.float64)
    top = scores.max(1, keepdims=True)
    lse = top[:, 0] + np.log(np.exp(scores - top).sum(1))
    return scores.astype(np.float32), lse.astype(np.float32)


def cohort(make, slides=40, rows=(30, 400), seed=0):
    generator = np.random.default_rng(seed)
    for n in range(slides):
        yield (f"S{n:02d}", *with_lse(make(generator, int(generator.integers(*rows)))))


def kinds(report):
    return [(alarm.kind, alarm.branches) for alarm in report.alarms]


def test_measures_are_those_of_the_definitions():
    generator = np.random.default_rng(3)
    scores = generator.normal(size=(2, 250)) * [[2.0], [0.3]]
    scores[:, ::9] = -np.inf
    found = measure_attention("S1", *with_lse(scores))
    kept = np.isfinite(scores[0])
    assert (found.rows, found.of) == (kept.sum(), 250)
    weights = []
    for branch, measures in enumerate(found.branches):
        a = np.exp(scores[branch, kept].astype(np.float32).astype(np.float64))
        a /= a.sum()
        weights.append(a)
        n = len(a)
        entropy = -sum(each * np.log(each) for each in a)
        assert measures.entropy == pytest.approx(entropy, rel=1e-12)
        assert measures.normalised_entropy == pytest.approx(entropy / np.log(n), rel=1e-12)
        assert measures.effective == pytest.approx(np.exp(entropy), rel=1e-12)
        assert measures.effective_simpson == pytest.approx(1 / (a**2).sum(), rel=1e-12)
        assert measures.largest == pytest.approx(a.max(), rel=1e-12)
        assert measures.top_1_percent == pytest.approx(np.sort(a)[-3:].sum(), rel=1e-12)  # of 222
        # Gini: half of the mean difference between two weights, over their mean.
        assert measures.gini == pytest.approx(np.abs(a[:, None] - a).mean() / (2 * a.mean()), rel=1e-9)
    one, other = weights
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    assert found.cosines[0, 1] == pytest.approx(cosine, rel=1e-5)
    assert found.cosines[1, 0] == found.cosines[0, 1]


def test_the_ends_of_the_scale():
    even = measure_attention("S", *with_lse(np.full((1, 128), 5.0))).branches[0]
    assert even.normalised_entropy == pytest.approx(1, abs=1e-12)
    assert even.effective == pytest.approx(128)
    assert even.effective_simpson == pytest.approx(128)
    assert even.gini == pytest.approx(0, abs=1e-12)
    scores = np.zeros((1, 128))
    scores[0, 17] = 1000  # all the others have a weight of exactly 0
    single = measure_attention("S", *with_lse(scores)).branches[0]
    assert (single.entropy, single.effective, single.largest, single.top_1_percent) == (0, 1, 1, 1)
    assert single.gini == pytest.approx(1 - 1 / 128)
    alone = measure_attention("S", *with_lse([[3.0]])).branches[0]
    assert (alone.normalised_entropy, alone.effective, alone.gini) == (0, 1, 0)


def test_attention_that_looks_somewhere_raises_no_alarm():
    report = attention_health(cohort(lambda g, n: 2 * g.normal(size=(2, n))))
    assert report.alarms == []
    assert len(report.slides) == 40
    assert report.summary()[0]["near_uniform_slides"] == 0


def test_attention_that_learnt_nothing():
    """Scores of an untrained layer: a spread of a tenth."""
    report = attention_health(cohort(lambda g, n: 0.1 * g.normal(size=(1, n))))
    assert kinds(report) == [("near-uniform", (0,))]
    assert report.alarms[0].share == 1
    assert "nearly as a mean of patches" in report.alarms[0].text
    # The entropy is no better a sign in large bags: here half of the rows have nearly no weight, and it is 0.9.
    half = np.where(np.arange(10_000) % 2, 0.0, -9.0)[None]
    found = attention_health([("S", *with_lse(half))])
    assert found.slides[0].branches[0].normalised_entropy > 0.9
    assert found.alarms == []


def test_slides_without_a_finding_may_be_even():
    """Even attention on 8 slides of 10 is no alarm, on 10 it is; and the share that counts is an option."""

    numbers = count()

    def mixed(generator, rows):
        spread = 2.0 if next(numbers) % 5 == 0 else 0.1
        return spread * generator.normal(size=(1, rows))

    report = attention_health(cohort(mixed))
    assert report.alarms == []
    assert report.share("near-uniform", 0) == pytest.approx(0.8)
    strict = attention_health(cohort(mixed), HealthRules(uniform_slides=0.75))
    assert kinds(strict) == [("near-uniform", (0,))]


def test_one_patch_that_holds_everything():
    def single(generator, rows):
        scores = generator.normal(size=(1, rows))
        scores[0, generator.integers(rows)] += 12
        return scores

    report = attention_health(cohort(single))
    assert kinds(report) == [("collapsed", (0,))]
    assert attention_health(cohort(single), HealthRules(collapsed=1.0)).alarms == []


def test_branches_that_agree():
    def twins(generator, rows):
        scores = 2 * generator.normal(size=(3, rows))
        scores[2] = scores[0] + 0.05 * generator.normal(size=rows)
        return scores

    report = attention_health(cohort(twins))
    assert kinds(report) == [("redundant", (0, 2))]
    assert report.agreement()[0, 2][1] == 40
    assert report.agreement()[0, 1][0] < 0.6
    # Even branches always agree, and are told as such.
    report = attention_health(cohort(lambda g, n: 0.1 * g.normal(size=(2, n))))
    assert kinds(report) == [("near-uniform", (0,)), ("near-uniform", (1,))]


def test_slides_that_say_nothing_are_left_out_and_named():
    def stream():
        yield "few", *with_lse(np.random.default_rng(0).normal(size=(1, 19)))
        few = np.full((1, 400), -np.inf)
        few[0, :5] = 1
        yield "unread", *with_lse(few)
        yield "none", np.full((1, 30), -np.inf, np.float32), np.full(1, -np.inf, np.float32)
        yield "empty", np.zeros((1, 0), np.float32), np.full(1, -np.inf, np.float32)
        scores, lse = with_lse(np.zeros((1, 50)))
        yield "changed", scores, lse + 1
        yield "broken", np.where(np.arange(50) == 7, np.nan, scores), lse
        yield "fine", *with_lse(2 * np.random.default_rng(0).normal(size=(1, 20)))

    report = attention_health(stream())
    assert [slide.slide_id for slide in report.slides] == ["fine"]
    reasons = dict(report.excluded)
    assert reasons["few"] == "19 valid rows of 19: fewer than 20"
    assert reasons["unread"] == "5 valid rows of 400: fewer than 20"
    assert reasons["none"] == reasons["empty"] == "no valid row"
    assert reasons["broken"].startswith("its scores hold NaN")
    assert reasons["changed"].startswith("lse of branch 0 is 4.91202, its scores give 3.91202")


def test_no_slide_at_all():
    report = attention_health([])
    assert (report.branches, report.summary(), report.alarms, report.agreement()) == (0, [], [], {})


def test_aggregators_do_not_mix():
    bags = [("a", *with_lse(np.eye(2, 40))), ("b", *with_lse(np.eye(3, 40)))]
    with pytest.raises(UsageError, match="b: it has 3 branches"):
        attention_health(bags)


@pytest.mark.parametrize(
    "rule", [{"uniform": 0}, {"collapsed_slides": 1.5}, {"redundant": -1}, {"min_rows": 1}]
)
def test_rules_that_cannot_be(rule):
    with pytest.raises(UsageError, match=next(iter(rule))):
        HealthRules(**rule)


def test_only_one_bag_is_held():
    """A stream of bags is gone through: none is kept."""
    references, most = [], 0
    for_all = np.random.default_rng(0).normal(size=(2, 1000))

    def stream():
        nonlocal most
        for n in range(6):
            most = max(most, sum(each() is not None for each in references))
            scores, lse = with_lse(for_all)
            references.append(weakref.ref(scores))
            yield f"S{n}", scores, lse
            del scores

    assert len(attention_health(stream()).slides) == 6
    assert most <= 1


def test_a_row_that_one_branch_leaves_out_has_no_weight_there():
    scores = np.zeros((2, 30))
    scores[1, 10:] = -np.inf
    found = measure_attention("S", *with_lse(scores))
    assert found.rows == 30
    assert found.branches[0].effective == pytest.approx(30)
    assert found.branches[1].effective == pytest.approx(10)
    assert found.branches[1].largest == pytest.approx(0.1)
