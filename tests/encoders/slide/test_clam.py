"""CLAM: its instance loss against a loop over bags, its share of the loss, and what it refuses."""

from dataclasses import replace
from itertools import pairwise
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F

from slidelake.encoders.slide import create_slide_model
from slidelake.encoders.slide.clam import ClamSB
from slidelake.encoders.slide.testing import LearnsPlantedRows, SlideModelTests
from slidelake.encoders.slide.testing_bags import make_bags
from slidelake.errors import UsageError


class TestSingleBranch(SlideModelTests, LearnsPlantedRows):
    name = "clam-sb"
    options: ClassVar = {"projection": 32, "hidden": 16}
    learning: ClassVar = {"projection": 32, "hidden": 16}


class TestMultiBranch(SlideModelTests, LearnsPlantedRows):
    name = "clam-mb"
    options: ClassVar = {"projection": 32, "hidden": 16, "subtyping": True, "instance_loss": "cross-entropy"}
    learning: ClassVar = {"projection": 32, "hidden": 16, "subtyping": True}


class TestWithoutClustering(SlideModelTests):
    name = "clam-sb"
    options: ClassVar = {"projection": 32, "hidden": 16, "instance_weight": 0.0}


def smooth_svm(logits, label):
    """log Σ_j exp(s_j − s_y + [j ≠ y]), the formula alone."""
    margins = torch.tensor([float(j != label) for j in range(2)])
    return (logits - logits[label] + margins).exp().sum().log()


def loop_over_bags(model, bags, targets, per_instance):
    """The instance loss as the paper has it, one bag and one row at a time."""
    rows = model.projection(bags.features, bags.mask)
    _, scores, _ = model.attention(rows, bags.cu_seqlens, bags.mask)
    classifiers = model.instances.weight.view(-1, 2, rows.shape[1]), model.instances.bias.view(-1, 2)
    classes = len(classifiers[0])

    def of(label, row, sign):
        return per_instance(classifiers[0][label] @ rows[row] + classifiers[1][label], sign)

    losses = []
    for (start, stop), target in zip(pairwise(bags.cu_seqlens.tolist()), targets.tolist(), strict=True):
        total, some = torch.zeros(()), False
        for label in range(classes):
            branch = scores[label if len(scores) > 1 else 0]
            kept = [row for row in range(start, stop) if branch[row] > -torch.inf]
            order = sorted(kept, key=lambda row, branch=branch: -branch[row].item())
            some = bool(kept)
            if label == target:
                k = min(model.count, len(kept) // 2)
                terms = [of(label, row, 1) for row in order[:k]]
                terms += [of(label, row, 0) for row in order[len(order) - k :]]
            else:
                terms = [of(label, row, 0) for row in order[: model.count]] if model.subtyping else []
            if terms:
                total = total + torch.stack(terms).mean()
        if some:
            losses.append(total / (classes if model.subtyping else 1))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("subtyping", [False, True], ids=["one side", "subtyping"])
@pytest.mark.parametrize("loss", ["svm", "cross-entropy"])
@pytest.mark.parametrize("name", ["clam-sb", "clam-mb"])
def test_instance_loss_is_that_of_each_bag_alone(name, loss, subtyping):
    torch.manual_seed(0)
    model = create_slide_model(
        name, dim=24, outputs=3, projection=16, hidden=8, dropout=0.0, instance_loss=loss, subtyping=subtyping
    ).train()
    # Longer than 16 rows, shorter, one row, none, and one whose rows are all left out.
    bags = make_bags((40, 5, 1, 0, 16, 3))
    mask = torch.arange(65) % 7 > 0
    mask[62:] = False
    bags, targets = replace(bags, mask=mask), torch.tensor([0, 1, 2, 0, 1, 2])

    def entropy(logits, label):
        return F.cross_entropy(logits, torch.tensor(label))

    wanted = loop_over_bags(model, bags, targets, smooth_svm if loss == "svm" else entropy)
    found = model(bags, targets).losses["instances"]
    # 0.3 of the whole, beside the bags' 0.7 that count as 1 here.
    torch.testing.assert_close(found, wanted * 0.3 / 0.7)
    parameters = list(model.parameters())
    for one, other in zip(
        torch.autograd.grad(found, parameters, allow_unused=True),
        torch.autograd.grad(wanted * 0.3 / 0.7, parameters, allow_unused=True),
        strict=True,
    ):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_the_smooth_svm_wants_a_margin():
    model = create_slide_model("clam-sb", dim=4, outputs=2, projection=4, hidden=4)
    assert isinstance(model, ClamSB)
    logits = torch.tensor([[[0.0, 0.0]], [[0.0, 1.0]], [[0.0, 9.0]]])
    found = model._mean_loss(logits, torch.ones(3, 1, dtype=torch.int64), torch.ones(3, 1, dtype=torch.bool))
    assert found.tolist() == pytest.approx([1.3132617, 0.6931472, 0.0003354], rel=1e-4)


def test_a_branch_a_class_and_each_logit_of_its_own_branch():
    torch.manual_seed(0)
    model = create_slide_model("clam-mb", dim=24, outputs=3, projection=16, hidden=8).eval()
    made = model(make_bags())
    assert made.scores.shape[0] == made.lse.shape[1] == made.embedding.shape[1] == 3
    for label in range(3):
        logit = made.embedding[:, label] @ model.head.weight[label] + model.head.bias[label]
        torch.testing.assert_close(made.logits[:, label], logit)


@pytest.mark.parametrize("name", ["clam-sb", "clam-mb"])
def test_numbers_and_times_are_refused_unless_nothing_is_clustered(name):
    model = create_slide_model(name, dim=24, outputs=2, projection=8, hidden=4)
    with pytest.raises(UsageError, match=rf"{name} .*survival.*classification.*instance_weight=0"):
        model.check_task("survival")
    bags = make_bags((4, 3))
    with pytest.raises(UsageError, match=rf"{name} learns from the bags' classes.*float32"):
        model.train()(bags, torch.zeros(2, 2))
    free = create_slide_model(name, dim=24, outputs=2, projection=8, hidden=4, instance_weight=0)
    free.check_task("survival")
    assert free.train()(bags, torch.zeros(2, 2)).losses == {}


def test_defaults_are_those_published():
    model = create_slide_model("clam-sb", dim=1024, outputs=2)
    assert model.options == {
        "projection": 512,
        "hidden": 256,
        "dropout": 0.25,
        "instances": 8,
        "instance_weight": 0.3,
        "instance_loss": "svm",
        "subtyping": False,
    }
    assert model.projection.linear.weight.shape == (512, 1024)
    assert model.attention.tanh.weight.shape == model.attention.gate.weight.shape == (256, 512)
    with pytest.raises(
        UsageError, match=r"clam-sb: instance_loss is 'hinge'\. Give one of cross-entropy, svm"
    ):
        create_slide_model("clam-sb", dim=8, outputs=2, instance_loss="hinge")
