"""Figures of retrieval, against what a hand works out."""

import math

import pytest

from slidelake.errors import UsageError
from slidelake.index.reports.evaluate import (
    ReportsEvaluation,
    evaluate_reports,
    shared_passages,
    wording_overlap,
)
from slidelake.index.reports.questions import Question

ONE = Question("a", "Which tumour is large?", ("r1",), "one-report", "")
SEVERAL = Question("b", "Which are small?", ("r1", "r2", "r3"), "labels", "")
NONE = Question("c", "Which is blue?", (), "unanswerable", "")


def test_measures_are_those_of_the_textbook() -> None:
    ranked = (("r9", "r1"), ("r2", "x", "r1", "y", "z", "r3"), ())
    result = ReportsEvaluation((ONE, SEVERAL, NONE), {"text": ranked})
    one = {
        name: result.mean("text", "one-report", name).mean
        for name in ("recall@1", "recall@5", "mrr@10", "ndcg@10")
    }
    assert one == {"recall@1": 0, "recall@5": 1, "mrr@10": 0.5, "ndcg@10": pytest.approx(1 / math.log2(3))}
    assert result.mean("text", "labels", "recall@5").mean == pytest.approx(2 / 3)
    assert result.mean("text", "labels", "recall@1").mean == 1  # one can be first, and is
    assert result.mean("text", "labels", "hit@5").mean == 1
    ideal = sum(1 / math.log2(rank + 1) for rank in (1, 2, 3))
    gain = sum(1 / math.log2(rank + 1) for rank in (1, 3, 6))
    assert result.mean("text", "labels", "ndcg@10").mean == pytest.approx(gain / ideal)
    assert result.kinds == ["one-report", "labels"]


def test_no_answerable_question_is_refused() -> None:
    with pytest.raises(UsageError, match="no question"):
        evaluate_reports(None, [NONE])  # type: ignore[arg-type]


def test_wording_overlap_is_the_share_of_content_words() -> None:
    assert wording_overlap(ONE, {"r1": "A LARGE thing."}) == 0.5
    assert wording_overlap(ONE, {"r1": "Nothing alike."}) == 0


def test_shared_passages_are_those_of_two_reports() -> None:
    form = "received in formalin and labeled with the patient's name"
    own = "a nodule of one colour beside another of some other colour"
    assert shared_passages([("a", form), ("b", form), ("c", own), ("c", own)]) == 0.5
    assert shared_passages([]) == 0
