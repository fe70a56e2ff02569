"""DSMIL: both streams against one bag at a time."""

from itertools import pairwise
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F

from slidelake.encoders.slide import create_slide_model
from slidelake.encoders.slide.testing import LearnsPlantedRows, SlideModelTests
from slidelake.encoders.slide.testing_bags import make_bags
from slidelake.errors import UsageError


class TestDSMIL(SlideModelTests, LearnsPlantedRows):
    name = "dsmil"
    learning: ClassVar = {"hidden": 32}
    attention_share = (
        0.2  # its softmax over likenesses in (−1, 1) · √32 cannot be sharp; by chance it is 0.01
    )


class TestAverage(SlideModelTests):
    name = "dsmil"
    options: ClassVar = {"hidden": 16, "average": True}


def one_bag(model, rows):
    """(instance logits of the critical rows (C,), attention (C, N), bag logits (C,)) as the paper has them."""
    instance = model.instance(rows)  # (N, C)
    queries = model.query(rows)
    critical = instance.argmax(0)
    attention = (queries[critical] @ queries.T / queries.shape[1] ** 0.5).softmax(1)
    return instance.amax(0), attention, model.head((attention @ rows).flatten())


@pytest.mark.parametrize("average", [False, True])
def test_both_streams_are_those_of_each_bag_alone(average):
    torch.manual_seed(0)
    model = create_slide_model("dsmil", dim=24, outputs=3, hidden=16, average=average).train()
    bags, targets = make_bags((40, 1, 130)), torch.tensor([0, 2, 1])
    made = model(bags, targets)
    largest = []
    for number, (start, stop) in enumerate(pairwise(bags.cu_seqlens.tolist())):
        critical, attention, logits = one_bag(model, bags.features[start:stop])
        largest.append(critical)
        torch.testing.assert_close(made.logits[number], (logits + critical) / 2 if average else logits)
        torch.testing.assert_close(
            (made.scores[:, start:stop] - made.lse[number][:, None]).exp(), attention, rtol=1e-4, atol=1e-6
        )
    if average:
        assert made.losses == {}
    else:
        torch.testing.assert_close(
            made.losses["critical instance"], F.cross_entropy(torch.stack(largest), targets)
        )


def test_numbers_are_refused_unless_streams_are_averaged():
    model = create_slide_model("dsmil", dim=24, outputs=2)
    with pytest.raises(UsageError, match=r"dsmil .*regression.*average=True"):
        model.check_task("regression")
    with pytest.raises(UsageError, match=r"dsmil learns from the bags' classes.*float32"):
        model.train()(make_bags((4, 3)), torch.zeros(2, 2))
    create_slide_model("dsmil", dim=24, outputs=2, average=True).check_task("regression")
