"""Every error in one form, `{"error": {kind, problem, remedy, slide}}`, with the HTTP status that fits it."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from slidelake.errors import (
    AlreadyCommittedError,
    EditConflictError,
    EncoderError,
    GridMismatchError,
    IndexStateError,
    KernelError,
    ReportError,
    ServiceError,
    SlideDeletedError,
    SlideError,
    SlidelakeError,
    StoreError,
    UnknownNameError,
    UsageError,
)
from slidelake.services.api.models import ErrorAnswer

__all__ = ["COMMON_ANSWERS", "add_error_answers", "error_answer", "of_ours", "status_of"]

#: The first that fits counts: what is narrower stands first.
_STATUS: tuple[tuple[type[SlidelakeError], int], ...] = (
    (UnknownNameError, 404),
    (UsageError, 400),
    (ReportError, 400),
    (KernelError, 400),
    (IndexStateError, 409),
    (AlreadyCommittedError, 409),
    (GridMismatchError, 409),
    (EditConflictError, 412),
    (SlideDeletedError, 409),
    (SlideError, 503),
    (StoreError, 503),
    (EncoderError, 503),
)
_REMEDIES = {
    400: "Send JSON; GET /api/openapi.json has the form and an example.",
    404: "GET /api/openapi.json lists what there is.",
    405: "GET /api/openapi.json says which methods there are.",
    413: "Send less; slidelake serve --max-body allows more bytes.",
}
_WORDS = {
    400: "The request itself is wrong.",
    401: "No token, or a wrong one.",
    403: "The token's scope does not allow it, or another site's page asked.",
    404: "There is no such thing.",
    409: "The index is missing or behind, or something else came first.",
    412: "It has been changed since it was read.",
    413: "Too much was sent.",
    422: "A parameter or the body is not of its form.",
    429: "Too many requests at once.",
    503: "The store, or something that it needs, cannot be reached.",
    504: "No answer in time.",
}
#: For `responses=` of routers: OpenAPI then shows the one form of errors.
COMMON_ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": words} for status, words in _WORDS.items()
}
#: Complaints of one request that are told; a body may have thousands of wrong numbers.
_TOLD = 3


def status_of(error: SlidelakeError) -> int:
    """The HTTP status of one of our errors."""
    if isinstance(error, ServiceError):
        return error.status
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def error_answer(status: int, kind: str, problem: str, remedy: str = "", slide: str = "") -> JSONResponse:
    """An error in our form."""
    headers = {"www-authenticate": "Bearer"} if status == 401 else {}
    if status == 429:
        headers["retry-after"] = "1"
    described = {"kind": kind, "problem": _plain(problem), "remedy": _plain(remedy), "slide": _plain(slide)}
    return JSONResponse({"error": described}, status_code=status, headers=headers)


def of_ours(error: SlidelakeError) -> JSONResponse:
    """One of our errors in that form."""
    return error_answer(status_of(error), type(error).__name__, error.problem, error.remedy, error.slide)


def add_error_answers(app: FastAPI) -> None:
    """Answer all errors of an app in that form: ours, Starlette's (404, 405, …) and the validation's."""
    app.add_exception_handler(SlidelakeError, _ours)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)


async def _ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SlidelakeError)
    return of_ours(error)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kind = {404: "NotFound", 405: "MethodNotAllowed", 413: "TooLargeError"}.get(
        error.status_code, "HTTPError"
    )
    problem = str(error.detail)
    if error.status_code in (404, 405):
        problem = f"{request.method} {request.url.path[:200]}: {problem.lower()}"
    answer = error_answer(error.status_code, kind, problem, _REMEDIES.get(error.status_code, ""))
    answer.headers.update(error.headers or {})
    return answer


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    told = [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()]
    problem = "; ".join(each[:300] for each in told[:_TOLD])
    if len(told) > _TOLD:
        problem += f"; and {len(told) - _TOLD} more"
    return error_answer(422, "ValidationError", problem, "GET /api/openapi.json has the form and an example.")


def _plain(text: str) -> str:
    """Text that UTF-8 can write: half a surrogate pair came from the request and would end in a 500."""
    return text.encode("utf-8", "backslashreplace").decode()
