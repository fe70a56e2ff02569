"""Reports: those of a patient or a slide, and one with its text."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from slidelake.errors import UnknownNameError
from slidelake.services.api.auth import Reader
from slidelake.services.api.conditional import not_modified, tagged
from slidelake.services.api.context import Context, SharedContext
from slidelake.services.api.models import ReportAnswer, ReportEntry
from slidelake.services.api.reports_view import reports_of_slide
from slidelake.store import ReportHead

__all__ = ["router"]

router = APIRouter(prefix="/api/reports", tags=["reports"])

_Id = Annotated[str | None, Query(max_length=200)]


@router.get("")
def reports(
    context: SharedContext,
    caller: Reader,
    patient: _Id = None,
    slide: _Id = None,
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
    limit: Annotated[int, Query(ge=0, le=5000)] = 1000,
) -> list[ReportEntry]:
    """Reports without their texts, by id: all, a patient's, or a slide's (those of its patient that name none too)."""
    found = list(context.reports.get().values())
    if slide is not None:
        found = reports_of_slide(found, slide, context.row(slide).patient_id)
    if patient is not None:
        found = [head for head in found if head.patient_id == patient]
    return [
        ReportEntry(
            report_id=head.report_id,
            title=head.title,
            patient_id=head.patient_id,
            slide_ids=list(head.slide_ids),
            sections=list(head.sections),
        )
        for head in found[offset : offset + limit]
    ]


@router.get("/{report_id}", response_model=ReportAnswer)
def report(report_id: str, request: Request, context: SharedContext, caller: Reader) -> Response:
    """One report with its text; sections are spans of it, in characters."""
    head = _head(context, report_id)
    # A generation's content never changes.
    etag = f"{head.report_id}-{head.generation}"
    headers = {"cache-control": "private, no-cache"}
    if (same := not_modified(request, etag, headers)) is not None:
        return same
    context.audit(caller, "report read", report=head.report_id, patient=head.patient_id)
    whole = ReportAnswer.model_validate(context.lake.store.reports.get(head.report_id).to_dict())
    return Response(whole.model_dump_json(), media_type="application/json", headers=tagged(etag, headers))


def _head(context: Context, report_id: str) -> ReportHead:
    """What is known of a report, looked up by its very id; one that came in a moment ago is looked for once more."""
    head = context.reports.get().get(report_id)
    if head is None:
        context.reports.refresh()
        head = context.reports.get().get(report_id)
    if head is None:
        raise UnknownNameError(
            f"the lake has no report {report_id[:80]!r}", remedy="GET /api/reports lists those there are."
        )
    return head
