"""ACMIL: what is masked, the diversity and the semantic term, and what it refuses."""

from itertools import pairwise
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F

from slidelake.encoders.slide import create_slide_model
from slidelake.encoders.slide.testing import LearnsPlantedRows, SlideModelTests
from slidelake.encoders.slide.testing_bags import make_bags
from slidelake.errors import UsageError
from slidelake.kernels import attention_weights


class TestACMIL(SlideModelTests, LearnsPlantedRows):
    name = "acmil"
    options: ClassVar = {"projection": 20, "hidden": 16}
    learning: ClassVar = {"projection": 32, "hidden": 16}


class TestOneBranch(SlideModelTests):
    name = "acmil"
    options: ClassVar = {"projection": 20, "hidden": 16, "branches": 1, "masked": 0}


def make_model(**options):
    torch.manual_seed(0)
    return create_slide_model("acmil", dim=24, outputs=3, projection=16, hidden=8, **options)


def test_a_random_part_of_each_branch_and_bags_highest_rows_is_masked():
    model, bags = make_model(), make_bags((40, 1, 0, 8, 130))
    plain = model.eval()(bags).scores
    model.train()
    masks = []
    for _ in range(30):
        made = model(bags)
        gone = made.scores.isneginf()
        masks.append(gone)
        torch.testing.assert_close(made.scores[~gone], plain[~gone])
        for start, stop in pairwise(bags.cu_seqlens.tolist()):
            candidates = min(10, stop - start)
            # Of 10 rows 6, of 8 rows 4, of one row none.
            assert (gone[:, start:stop].sum(1) == int(candidates * 0.6)).all()
            for branch in range(5):
                top = set(plain[branch, start:stop].topk(candidates).indices.tolist())
                assert set(gone[branch, start:stop].nonzero()[:, 0].tolist()) <= top
        attention = attention_weights(made.scores, made.lse, bags.cu_seqlens)
        assert (attention[gone] == 0).all()
        rows = model.projection(bags.features)
        pooled = torch.stack([attention[:, a:b] @ rows[a:b] for a, b in pairwise(bags.cu_seqlens.tolist())])
        torch.testing.assert_close(made.embedding, pooled, rtol=1e-4, atol=1e-5)
    share = torch.stack(masks).float().mean(0)
    first = share[0, :40][plain[0, :40].topk(10).indices]
    assert first.min() > 0.2, "each of the ten falls now and then"
    assert first.max() < 1.0


def test_diversity_is_the_mean_cosine_of_the_branches():
    model, bags = make_model(masked=0, branches=3, diversity_weight=0.5), make_bags((40, 1, 0, 130))
    made = model.train()(bags)
    cosines = []
    for start, stop in pairwise(bags.cu_seqlens.tolist()):
        attention = made.scores[:, start:stop].softmax(1)
        if stop > start:
            cosines += [
                F.cosine_similarity(attention[i], attention[j], 0) for i, j in ((0, 1), (0, 2), (1, 2))
            ]
    torch.testing.assert_close(made.losses["diversity"], 0.5 * torch.stack(cosines).mean())


def test_alike_branches_cost_one_and_apart_ones_nothing():
    from slidelake.encoders.slide.acmil import _likeness

    borders = torch.tensor([0, 4])
    alike = torch.tensor([[0.0, 1.0, 2.0, 3.0]] * 2)
    apart = torch.tensor([[50.0, 0.0, 0.0, 0.0], [0.0, 50.0, 0.0, 0.0]])
    assert _likeness(alike, alike.logsumexp(1)[None], borders).item() == pytest.approx(1)
    assert _likeness(apart, apart.logsumexp(1)[None], borders).item() == pytest.approx(0, abs=1e-6)


def test_each_branch_has_to_tell_the_class():
    model, bags = make_model(masked=0, branches=2, branch_weight=2.0), make_bags((40, 9))
    made = model.train()(bags, torch.tensor([2, 0]))
    terms = [
        F.cross_entropy(model.branch_heads[branch](made.embedding[bag, branch]), torch.tensor(target))
        for branch in range(2)
        for bag, target in enumerate((2, 0))
    ]
    torch.testing.assert_close(made.losses["branches"], 2.0 * torch.stack(terms).mean())
    torch.testing.assert_close(made.logits, model.head(made.embedding.mean(1)))
    assert sorted(made.losses) == ["branches", "diversity"]


def test_numbers_are_refused_unless_there_is_no_semantic_term():
    model = make_model()
    with pytest.raises(UsageError, match=r"acmil .*regression.*branch_weight=0"):
        model.check_task("regression")
    with pytest.raises(UsageError, match=r"acmil learns from the bags' classes.*float32"):
        model.train()(make_bags((4, 3)), torch.zeros(2, 3))
    free = make_model(branch_weight=0)
    free.check_task("survival")
    assert sorted(free.train()(make_bags((4, 3)), torch.zeros(2, 2)).losses) == ["diversity"]


def test_defaults_are_those_published():
    options = create_slide_model("acmil", dim=512, outputs=2).options
    assert (options["branches"], options["masked"], options["mask_share"]) == (5, 10, 0.6)
