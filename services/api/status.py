"""What the lake holds and how the server does: status, spaces, columns, health, metrics."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from slidelake._version import __version__
from slidelake.services.api.auth import Reader
from slidelake.services.api.context import SharedContext
from slidelake.services.api.metrics import CONTENT_TYPE_LATEST
from slidelake.services.api.models import ColumnInfo, SpaceInfo, StatusAnswer

__all__ = ["router"]

router = APIRouter(tags=["status"])


@router.get("/health")
async def health() -> dict[str, str]:
    """The server is up. It says nothing about the lake and asks for no token."""
    return {"status": "ok", "version": __version__}


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus's text form."}},
)
def metrics(context: SharedContext, caller: Reader) -> Response:
    """Counters for Prometheus."""
    return Response(context.metrics.text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/api/status")
def status(context: SharedContext, caller: Reader) -> StatusAnswer:
    """Counts by space, the quarantine, and whether the index follows the store."""
    return StatusAnswer.model_validate(context.status.get())


@router.get("/api/spaces")
def spaces(context: SharedContext, caller: Reader) -> list[SpaceInfo]:
    """The spaces, most patches first, then most dimensions."""
    return context.spaces.get()


@router.get("/api/columns")
def columns(
    context: SharedContext,
    caller: Reader,
    space: Annotated[str | None, Query(max_length=200, description="Leave out for lists of slides.")] = None,
) -> list[ColumnInfo]:
    """The columns that filters may name; those of patches where a space is named."""
    view = context.catalog.get()
    if space is not None:
        context.space(space)
    return [
        ColumnInfo(
            name=column.name,
            kind=column.kind,
            level=column.level,
            values=view.values_of(column.name)
            if column.level == "slide" and column.kind != "number"
            else None,
        )
        for column in view.columns.values()
        if space is not None or column.level == "slide"
    ]
