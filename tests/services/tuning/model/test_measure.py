"""When an answer counts as right."""

import pytest

from slidelake.services.tuning.model.measure import closed_right, measure_answers, open_recall
from tests.services.tuning.model.cohort import row

CHOICES = ("Fat", "Lymphocytes", "Necrosis", "Fat necrosis")


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("Necrosis", True), ("necrosis.", True), ("C", True), ("(c) Necrosis", True), ("C. necrosis", True),
        ("Fat", False), ("B", False), ("C. Fat", False), ("", False), ("It is fat necrosis", False),
        ("Lymphocytes and necrosis", False), ("The answer is necrosis", True), ("a necrosis", True),
    ],
)  # fmt: skip
def test_choices(text: str, right: bool) -> None:
    asked = row(0, "vqa", "Which?", "C", kind="closed", choices=CHOICES)
    assert closed_right(asked, text) is right


@pytest.mark.parametrize(
    ("text", "right"), [("Yes, it is", True), ("yes", True), ("No", False), ("", False), ("y", False)]
)
def test_yes_and_no(text: str, right: bool) -> None:
    assert closed_right(row(0, "vqa", "Is it?", "yes", kind="closed"), text) is right


def test_recall_counts_each_word_as_often_as_the_answer_has_it() -> None:
    assert open_recall("grade 2 tumour, grade 2.5 stroma", "Tumour of grade 2.5") == pytest.approx(3 / 6)
    assert open_recall("fat", "") == 0
    assert open_recall("fat fat", "fat") == 0.5


def test_measures() -> None:
    answered = [
        (row(0, "vqa", "Which?", "A", kind="closed", choices=CHOICES), "fat"),
        (row(1, "vqa", "Which?", "A", kind="closed", choices=CHOICES), "B"),
        (row(2, "vqa", "What?", "much fat"), "fat"),
    ]
    found = measure_answers(answered)
    assert (found.closed, found.closed_accuracy, found.open, found.open_recall) == (2, 0.5, 1, 0.5)
    assert sorted(found.values.values()) == [0.0, 0.5, 1.0]
    assert measure_answers([]).closed_accuracy is None
