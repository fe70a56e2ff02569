"""A passage of a report as the frameworks take it: text, an id, and where it is from."""

from typing import TYPE_CHECKING, Any

from slidelake.services.links import report_link

if TYPE_CHECKING:
    from slidelake.index.reports import ReportHit

__all__ = ["facts_of"]


def facts_of(hit: "ReportHit") -> dict[str, Any]:
    """What stands beside a passage: report, patient, slides, section, span of the text, score, link into the page."""
    return {
        "report_id": hit.report_id,
        "patient_id": hit.patient_id,
        "slide_ids": list(hit.slide_ids),
        "section": hit.section,
        "start": hit.start,
        "end": hit.end,
        "score": hit.score,
        "link": report_link(hit.report_id, hit.start, hit.end),
    }
