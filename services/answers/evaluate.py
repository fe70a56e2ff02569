"""How well questions are answered: citations that lead to the right report, answers given, abstentions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slidelake.errors import UsageError
from slidelake.services.answers.answer import Answer

if TYPE_CHECKING:
    from slidelake.index.reports.questions import Question
    from slidelake.services.answers.endpoint import Endpoint
    from slidelake.services.lake import Lake

__all__ = ["AnswersEvaluation", "evaluate_answers"]


@dataclass(frozen=True)
class AnswersEvaluation:
    """Each question with its answer; all figures come from them."""

    asked: tuple[tuple[Question, Answer], ...]

    @property
    def answered_rate(self) -> float:
        """Of questions that the archive answers, the share that got an answer, right or wrong."""
        return _share([not answer.abstained for question, answer in self.asked if question.report_ids])

    @property
    def abstain_rate(self) -> float:
        """Of questions that the archive does not answer, the share without an answer."""
        return _share([answer.abstained for question, answer in self.asked if not question.report_ids])

    def citation_precision(self, kind: str = "one-report") -> float:
        """Of all citations of reports for questions of a kind, the share whose report answers the question."""
        return _share(
            [
                citation.report_id in question.report_ids
                for question, answer in self.asked
                if question.kind == kind
                for citation in answer.citations
                if citation.kind == "report"
            ]
        )

    def right_rate(self, kind: str = "one-report") -> float:
        """Of questions of a kind, the share whose answer cites a report that answers it; an abstention does not."""
        return _share(
            [
                any(citation.report_id in question.report_ids for citation in answer.citations)
                for question, answer in self.asked
                if question.kind == kind
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """The figures, as plain JSON values."""
        kinds = list(dict.fromkeys(question.kind for question, _ in self.asked))
        answerable = [kind for kind in kinds if kind != "unanswerable"]
        return {
            "questions": {kind: sum(question.kind == kind for question, _ in self.asked) for kind in kinds},
            "citation_precision": {kind: self.citation_precision(kind) for kind in answerable},
            "right_rate": {kind: self.right_rate(kind) for kind in answerable},
            "abstain_rate": self.abstain_rate,
            "answered_rate": self.answered_rate,
        }


def evaluate_answers(
    lake: Lake,
    questions: Iterable[Question],
    *,
    endpoint: Endpoint | None = None,
    progress: Callable[..., None] | None = None,
) -> AnswersEvaluation:
    """Ask every question. Raises UsageError where there are no questions with an answer, or none without."""
    listed = list(questions)
    if not any(each.report_ids for each in listed) or all(each.report_ids for each in listed):
        raise UsageError(
            "the questions are all answerable, or none is",
            remedy="Evaluate with more reports: both kinds are needed.",
        )
    tell = progress or (lambda event, **fields: None)
    tell("start", total=len(listed))
    asked = []
    for question in listed:
        asked.append((question, lake.ask(question.text, endpoint=endpoint)))
        tell("slide", slide_id=question.id)
    tell("end")
    return AnswersEvaluation(tuple(asked))


def _share(flags: list[bool]) -> float:
    return sum(flags) / len(flags) if flags else float("nan")
