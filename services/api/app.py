"""The application: routers put together, and errors as JSON."""

from importlib import import_module
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from slidelake._version import __version__
from slidelake.errors import SlidelakeError
from slidelake.services.api.context import Context
from slidelake.services.api.settings import ServeSettings

if TYPE_CHECKING:
    from slidelake.services.lake import Lake

__all__ = ["create_app"]

#: Modules of this folder with a `router`; one line adds routes.
ROUTERS: tuple[str, ...] = ("search", "heatmap", "annotations")


def create_app(lake: "Lake", settings: ServeSettings | None = None) -> FastAPI:
    """An ASGI application that serves one lake."""
    app = FastAPI(title="slidelake", version=__version__)
    app.state.context = Context(lake, settings or ServeSettings())
    app.add_exception_handler(SlidelakeError, _told)
    for name in ROUTERS:
        app.include_router(import_module(f"slidelake.services.api.{name}").router)
    return app


def _told(request: Request, error: Exception) -> JSONResponse:
    """An error of ours as `{"error": {kind, problem, remedy, slide}}`."""
    assert isinstance(error, SlidelakeError)
    described = {
        "kind": type(error).__name__,
        "problem": error.problem,
        "remedy": error.remedy,
        "slide": error.slide,
    }
    return JSONResponse({"error": described}, status_code=400)
