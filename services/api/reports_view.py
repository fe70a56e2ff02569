"""The reports as lists show them: without their texts, remembered for a moment."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slidelake.store import FeatureStore, ReportHead

__all__ = ["read_reports", "reports_of_slide"]


def read_reports(store: "FeatureStore") -> "dict[str, ReportHead]":
    """All reports without their texts, by id."""
    return {head.report_id: head for head in store.reports.heads()}


def reports_of_slide(heads: "Iterable[ReportHead]", slide_id: str, patient_id: str) -> "list[ReportHead]":
    """Those that name the slide, and those of its patient that name no slide."""
    wanted = slide_id.casefold()
    return [
        head
        for head in heads
        if wanted in {each.casefold() for each in head.slide_ids}
        or (not head.slide_ids and head.patient_id == patient_id)
    ]
