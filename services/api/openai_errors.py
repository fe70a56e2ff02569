"""Errors of the routes that speak OpenAI's form: `{"error": {message, type, param, code}}`."""

from collections.abc import Callable
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from slidelake.errors import SlidelakeError
from slidelake.services.api.error_answers import status_of

__all__ = ["OpenAIRoute", "described"]


class OpenAIRoute(APIRoute):
    """A route whose errors OpenAI's clients understand."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                response: Response = await handle(request)
                return response
            except SlidelakeError as error:
                return JSONResponse(described(error), status_code=status_of(error))
            except RequestValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"] if part != "body")
                return JSONResponse(_body(f"{where}: {first['msg']}", param=where or None), status_code=400)
            except HTTPException as error:
                kind = "authentication_error" if error.status_code == 401 else "invalid_request_error"
                return JSONResponse(
                    _body(str(error.detail), kind=kind), status_code=error.status_code, headers=error.headers
                )

        return handled


def described(error: SlidelakeError) -> dict[str, Any]:
    """An error of ours in OpenAI's form."""
    status = status_of(error)
    kind = {401: "authentication_error", 403: "permission_error"}.get(status, "invalid_request_error")
    return _body(str(error), kind=kind if status < 500 else "server_error", code=type(error).__name__)


def _body(
    message: str, *, kind: str = "invalid_request_error", param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
