"""What the routes of one server share, and how a route asks for it."""

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request

from slidelake.services.api.grid_facts import GridFacts
from slidelake.services.api.settings import ServeSettings

if TYPE_CHECKING:
    from slidelake.services.api.auth import Caller
    from slidelake.services.lake import Lake

__all__ = ["Context", "SharedContext", "shared_context"]

log = logging.getLogger(__name__)


@dataclass
class Context:
    """One server's lake and settings."""

    lake: "Lake"
    settings: ServeSettings
    grids: GridFacts = field(init=False)

    def __post_init__(self) -> None:
        self.grids = GridFacts(self.lake.store)
        self.lake.index.serve(fresh_for=self.settings.fresh_for, resident_bytes=self.settings.resident_bytes)

    def url(self, path: str) -> str:
        """A path of this server as a URL for callers."""
        return path

    def audit(self, caller: "Caller", action: str, **facts: Any) -> None:
        """Record what a caller did."""
        log.info("%s: %s", caller.name, action, extra=facts)


def shared_context(request: Request) -> Context:
    """The context of the app that a request came to."""
    context: Context = request.app.state.context
    return context


#: A route's parameter: `context: SharedContext`.
SharedContext = Annotated[Context, Depends(shared_context)]
