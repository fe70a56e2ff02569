"""The application: routers put together behind one gate, and errors in one form."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from slidelake._version import __version__
from slidelake.services.api.context import Context
from slidelake.services.api.error_answers import COMMON_ANSWERS, add_error_answers
from slidelake.services.api.gate import Gate
from slidelake.services.api.settings import ServeSettings
from slidelake.services.api.tokens import Tokens

if TYPE_CHECKING:
    from slidelake.services.lake import Lake

__all__ = ["create_app"]

#: Modules of this folder with a `router`; one line adds routes.
ROUTERS: tuple[str, ...] = (
    "tiles",
    "patches",
    "slides",
    "reports",
    "status",
    "search",
    "report_search",
    "heatmap",
    "annotations",
    "session",
    "manage",
    "answers",
    "openai_routes",
    "docs",
    "page",
)
_SENT = ["X-Slidelake-Pixels", "X-Slidelake-Rows", "X-Slidelake-Footprint", "X-Request-ID", "ETag"]
_SENT += ["X-Slidelake-Minimum", "X-Slidelake-Maximum", "X-Slidelake-Bounds", "X-Slidelake-Note"]


def create_app(lake: "Lake", settings: ServeSettings | None = None, tokens: Tokens | None = None) -> FastAPI:
    """An ASGI application that serves one lake.

    Without `tokens` everybody who reaches it may read and write: bind it to loopback, as `slidelake serve` does.
    """
    settings = settings or ServeSettings()
    context = Context(lake, settings, tokens)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        context.warm()
        yield
        context.close()

    app = FastAPI(
        title="slidelake",
        version=__version__,
        description="Slides, tiles, search, heatmaps, reports and answers over one lake.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        # It would redirect to the name in the Host header, which a proxy may have changed.
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.context = context
    add_error_answers(app)
    for name in ROUTERS:
        app.include_router(import_module(f"slidelake.services.api.{name}").router, responses=COMMON_ANSWERS)
    if settings.allow_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.allow_origins),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "If-Match", "If-None-Match"],
            expose_headers=_SENT,
        )
    # The last one added is the outermost.
    app.add_middleware(Gate, context=context)
    return app
