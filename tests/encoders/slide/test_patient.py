"""Attention over a patient's slides, around several slide encoders."""

from dataclasses import replace
from itertools import pairwise
from typing import ClassVar

import pytest
import torch

from slidelake.encoders.slide import create_slide_model
from slidelake.encoders.slide.model import Bags
from slidelake.encoders.slide.patient import slide_attention
from slidelake.encoders.slide.testing import LearnsPlantedRows, SlideModelTests
from slidelake.encoders.slide.testing_bags import make_bags
from slidelake.errors import UsageError
from slidelake.kernels import attention_weights


class TestPatient(SlideModelTests, LearnsPlantedRows):
    name = "patient"
    learning: ClassVar = {"hidden": 16, "inner_options": {"hidden": 32}}


class TestPatientWithClam(SlideModelTests):
    name = "patient"
    options: ClassVar = {"inner": "clam-mb", "hidden": 8, "inner_options": {"projection": 16, "hidden": 8}}


class TestPatientWithMean(SlideModelTests):
    name = "patient"
    options: ClassVar = {"inner": "mean", "hidden": 16, "gated": False, "dropout": 0.25}


#: Three patients: slides of 30, 0 and 12 rows; one slide of 5; slides of 9, 1 and 20 (1 and 20 of them masked).
BAGS = replace(
    make_bags((42, 5, 30)),
    slide_seqlens=torch.tensor([0, 30, 30, 42, 47, 56, 57, 77]),
    mask=torch.arange(77) < 56,
)
OF_PATIENT = torch.tensor([0, 3, 4, 7])


def make_model(inner, **options):
    torch.manual_seed(0)
    return create_slide_model("patient", dim=24, outputs=3, inner=inner, inner_options=options or None).eval()


@pytest.mark.parametrize("inner", ["abmil", "mean", "clam-sb", "dsmil"])
def test_slides_are_pooled_alone_and_then_attended_over(inner):
    model = make_model(inner)
    made = model(BAGS)
    slides = model.inner(Bags(BAGS.features, BAGS.slide_seqlens, BAGS.mask))
    beta = slide_attention(made, BAGS.slide_seqlens, BAGS.cu_seqlens)
    assert beta.shape == (made.scores.shape[0], 7)
    # An empty slide and slides without a row that counts get nothing, the only slide there is gets all.
    assert (beta[:, [1, 5, 6]] == 0).all()
    torch.testing.assert_close(beta[:, [3, 4]], torch.ones_like(beta[:, [3, 4]]))
    assert 0.01 < beta[0, 0] < 0.99
    for patient, (start, stop) in enumerate(pairwise(OF_PATIENT.tolist())):
        share = beta[0, start:stop]
        torch.testing.assert_close(made.logits[patient], share @ slides.logits[start:stop])
        torch.testing.assert_close(
            made.embedding[patient].flatten(), share @ slides.embedding[start:stop].flatten(1)
        )
    attention = attention_weights(made.scores, made.lse, BAGS.cu_seqlens)
    if inner == "mean":
        torch.testing.assert_close(attention[0, :30], (beta[0, 0] / 30).expand(30))
    else:
        inside = attention_weights(slides.scores, slides.lse, BAGS.slide_seqlens)
        torch.testing.assert_close(attention[:, :30], beta[:, :1] * inside[:, :30])


def test_a_linear_head_may_stand_before_or_behind_the_attention():
    model = make_model("abmil")
    made = model(BAGS)
    torch.testing.assert_close(made.logits, model.inner.head(made.embedding.flatten(1)))


def test_a_patient_with_one_slide_is_that_slide():
    model, bags = make_model("abmil"), make_bags((40, 7))
    torch.testing.assert_close(model(replace(bags, slide_seqlens=None)).logits, model.inner(bags).logits)


def test_patients_without_a_row():
    model = make_model("abmil")
    slides = torch.tensor([0, 0, 0, 5, 9, 9])
    bags = Bags(torch.randn(9, 24), torch.tensor([0, 0, 9, 9]), slide_seqlens=slides)
    made = model(bags)
    assert made.logits.isfinite().all()
    assert made.lse.isneginf()[:, 0].tolist() == [True, False, True]
    alone = model(Bags(bags.features, torch.tensor([0, 9]), slide_seqlens=torch.tensor([0, 5, 9])))
    torch.testing.assert_close(made.logits[1:2], alone.logits)


def test_the_inner_slide_encoder_decides_what_can_be_trained_and_its_losses_count():
    model = make_model("clam-sb")
    with pytest.raises(UsageError, match=r"patient .*regression.*instance_weight=0"):
        model.check_task("regression")
    make_model("clam-sb", instance_weight=0).check_task("regression")
    made = model.train()(BAGS, torch.tensor([0, 1, 2]))
    slides = torch.tensor([0, 0, 0, 1, 2, 2, 2])  # each slide with its patient's class
    torch.manual_seed(1)
    wanted = model.inner(Bags(BAGS.features, BAGS.slide_seqlens, BAGS.mask), slides).losses
    torch.manual_seed(1)
    made = model(BAGS, torch.tensor([0, 1, 2]))
    assert list(made.losses) == ["instances"]
    torch.testing.assert_close(made.losses["instances"], wanted["instances"])


def test_a_teacher_inside_follows_each_step(monkeypatch):
    model = make_model("abmil")
    called = []
    monkeypatch.setattr(model.inner, "after_step", lambda: called.append(1))
    model.after_step()
    assert called == [1]


def test_what_cannot_be_is_refused():
    with pytest.raises(UsageError, match="slide_seqlens lack a border of a bag"):
        make_model("abmil")(replace(BAGS, slide_seqlens=torch.tensor([0, 30, 77])))
    with pytest.raises(UsageError, match=r"inner is 'patient'\. Give one of abmil"):
        make_model("patient")
    with pytest.raises(UsageError, match=r"patient: abmil has no option 'hiden'.*hidden"):
        make_model("abmil", hiden=3)
    with pytest.raises(UsageError, match="patient: inner_options is 'hidden=3'"):
        create_slide_model("patient", dim=24, outputs=3, inner_options="hidden=3")
    with pytest.raises(UsageError, match="no attention"):
        slide_attention(make_model("mean").inner(BAGS), BAGS.slide_seqlens, BAGS.cu_seqlens)
