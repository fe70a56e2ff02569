"""What the routes of one server share, and how a route asks for it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from slidelake.services.api.settings import ServeSettings

if TYPE_CHECKING:
    from slidelake.services.lake import Lake

__all__ = ["Context", "SharedContext", "shared_context"]


@dataclass
class Context:
    """One server's lake and settings."""

    lake: "Lake"
    settings: ServeSettings


def shared_context(request: Request) -> Context:
    """The context of the app that a request came to."""
    context: Context = request.app.state.context
    return context


#: A route's parameter: `context: SharedContext`.
SharedContext = Annotated[Context, Depends(shared_context)]
