"""What changes the lake: slides deleted, the index brought up to date. Callers need the scope `write`."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query

from slidelake.errors import UsageError
from slidelake.services.api.auth import Writer
from slidelake.services.api.context import SharedContext
from slidelake.services.api.models import DeletionAnswer, SyncAnswer

__all__ = ["router"]

router = APIRouter(tags=["manage"])


@router.delete("/api/slides/{slide_id}")
def delete_slide(
    slide_id: str,
    context: SharedContext,
    caller: Writer,
    confirm: Annotated[str, Query(max_length=200, description="The slide's id once more.")] = "",
) -> DeletionAnswer:
    """Delete a slide from the store, the index and all records, and keep it out. It cannot be undone."""
    known = context.source(slide_id).slide.slide_id
    if confirm != known:
        raise UsageError(
            "deleting cannot be undone, and was not confirmed", remedy=f"Pass confirm={known}.", slide=known
        )
    context.changed(known)
    try:
        report = context.lake.delete(slide=known)
    finally:
        # Also after half of it: what is gone must not be shown.
        context.changed(known)
    context.audit(caller, "delete", slide=known, index_rows=report.index_rows)
    return DeletionAnswer.model_validate(report.to_dict())


@router.post("/api/index/sync")
def sync(context: SharedContext, caller: Writer) -> SyncAnswer:
    """Make the index follow the store; waits for another sync to end. One that takes longer than a request may goes
    on after the 504: /api/status says how far the index is."""
    report = context.lake.index.sync()
    context.changed()
    context.audit(caller, "index sync", changed=report.changed)
    return SyncAnswer.model_validate({**asdict(report), "changed": report.changed})
