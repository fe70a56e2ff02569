"""The report that an answer is judged against: the one that its row was made from."""

from __future__ import annotations

from collections.abc import Mapping

from slidelake.services.tuning.data import TuningRow
from slidelake.services.tuning.evaluation.verdict import Case

__all__ = ["reference_of"]


def reference_of(row: TuningRow, prediction: str, reports: Mapping[str, str] | None = None) -> Case | None:
    """The case of a row and what was predicted for it; None where no text to judge against is known.

    `reports` are texts by report id: the row's evidence names its own, and several are one after the other. With
    `reports` None the row's own answer stands for the report.
    """
    if reports is None:
        return Case(row.id, row.patient_id, row.question, prediction, row.answer)
    named = dict.fromkeys(each.source for each in row.evidence if each.kind == "report")
    texts = [reports[name] for name in named if reports.get(name, "").strip()]
    if not texts:
        return None
    return Case(row.id, row.patient_id, row.question, prediction, "\n\n".join(texts))
