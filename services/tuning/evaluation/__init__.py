"""How good a tuned model's answers are: measures of text against the reference, and a judge against the report."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slidelake.services.tuning.evaluation.agreement import Agreement, measure_agreement
    from slidelake.services.tuning.evaluation.answers import AnswerMeasures, Measure, measure_answers
    from slidelake.services.tuning.evaluation.closed import read_choice
    from slidelake.services.tuning.evaluation.criteria import CRITERIA, VERDICTS, Criterion
    from slidelake.services.tuning.evaluation.form import Form, check_form
    from slidelake.services.tuning.evaluation.judge import Judge, Judgement, judge_answers
    from slidelake.services.tuning.evaluation.judge_endpoint import EndpointJudge
    from slidelake.services.tuning.evaluation.judge_rules import RulesJudge
    from slidelake.services.tuning.evaluation.predictions import Matched, match, read_predictions, read_rows
    from slidelake.services.tuning.evaluation.references import reference_of
    from slidelake.services.tuning.evaluation.verdict import Case, Finding, MalformedError, Verdict, Way

_HOME = {
    "CRITERIA": "criteria",
    "VERDICTS": "criteria",
    "Agreement": "agreement",
    "AnswerMeasures": "answers",
    "Case": "verdict",
    "Criterion": "criteria",
    "EndpointJudge": "judge_endpoint",
    "Finding": "verdict",
    "Form": "form",
    "Judge": "judge",
    "Judgement": "judge",
    "MalformedError": "verdict",
    "Matched": "predictions",
    "Measure": "answers",
    "RulesJudge": "judge_rules",
    "Verdict": "verdict",
    "Way": "verdict",
    "check_form": "form",
    "judge_answers": "judge",
    "match": "predictions",
    "measure_agreement": "agreement",
    "measure_answers": "answers",
    "read_choice": "closed",
    "read_predictions": "predictions",
    "read_rows": "predictions",
    "reference_of": "references",
}

__all__ = [
    "CRITERIA",
    "VERDICTS",
    "Agreement",
    "AnswerMeasures",
    "Case",
    "Criterion",
    "EndpointJudge",
    "Finding",
    "Form",
    "Judge",
    "Judgement",
    "MalformedError",
    "Matched",
    "Measure",
    "RulesJudge",
    "Verdict",
    "Way",
    "check_form",
    "judge_answers",
    "match",
    "measure_agreement",
    "measure_answers",
    "read_choice",
    "read_predictions",
    "read_rows",
    "reference_of",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(f"slidelake.services.tuning.evaluation.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
