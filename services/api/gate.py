"""What every request passes: its id, the limits, the time it may take, headers of the answer, log and counters.

One ASGI layer of our own around the app. Nothing in it reads bodies or waits for threads.
"""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slidelake.errors import SlidelakeError
from slidelake.services.api.auth import caller_in
from slidelake.services.api.context import Context
from slidelake.services.api.error_answers import error_answer, of_ours, status_of
from slidelake.services.api.openai_errors import described

__all__ = ["Gate"]

log = logging.getLogger(__name__)
access = logging.getLogger("slidelake.api.access")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
#: Characters of a path at most (below Python's limit for the digits of one number), and of a query.
_LONGEST_PATH, _LONGEST_QUERY = 4096, 16_384
#: Values in a body of JSON at most, by its commas: it is parsed and checked between all other requests, and a body
#: of 15 MB with a million wrong fields held them up for 20 s. Base64 has no commas.
_MOST_VALUES = 100_000
#: Read by a thread, with limits of its own.
_OWN_LIMITS = re.compile(r"/api/slides/[^/]+/annotations")
#: Answered however busy the server is: a watchman has to see it.
_ALWAYS = frozenset({"/health"})
#: Methods that come with a body.
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
#: Where the token itself is in the body.
_SIGN_IN = "/api/session"
_API_POLICY = b"default-src 'none'; frame-ancestors 'none'"


class Gate:
    """Wraps an app; `context` has the limits."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self._app = app
        self._context = context
        self._in_work = 0
        self._left_over: set[asyncio.Task[None]] = set()
        shared = b"cross-origin" if context.settings.allow_origins else b"same-origin"
        self._headers: list[tuple[bytes, bytes]] = [
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cross-origin-resource-policy", shared),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"x-frame-options", b"DENY"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._context.settings.prefix:
            # Routes are found below it, whether a proxy stripped it from the path or not.
            scope["root_path"] = self._context.settings.prefix
        visit = _Visit(scope, send, self._headers)
        try:
            refusal = self._refusal(scope)
            if refusal is not None:
                await refusal(scope, receive, visit.send)
            else:
                await self._within_time(scope, receive, visit)
        finally:
            self._note(scope, visit)

    def _refusal(self, scope: Scope) -> Response | None:
        """Why the request is not looked at any further; None where it is."""
        settings = self._context.settings
        if settings.prefix and scope["path"] == settings.prefix:
            # The page's own addresses are relative: they need the slash.
            return Response(status_code=307, headers={"location": f"{settings.prefix}/"})
        headers = dict(scope["headers"])
        if settings.hosts and not _host_is_one_of(headers.get(b"host", b""), settings.hosts):
            # A name that somebody made point here: their page would be of the same origin as ours.
            return error_answer(
                400,
                "UsageError",
                "this server does not answer to that host name",
                f"Call it by one of: {', '.join(settings.hosts)}; or serve with --host-name.",
            )
        if len(scope["path"]) > _LONGEST_PATH or len(scope["query_string"]) > _LONGEST_QUERY:
            return error_answer(400, "UsageError", "the URL is too long", "Ask for less at once.")
        said = headers.get(b"content-length", b"")
        if said.isdigit() and (len(said) > 18 or int(said) > settings.max_body):
            return _too_large(settings.max_body)
        if self._in_work >= settings.concurrency and scope["path"] not in _ALWAYS:
            return error_answer(
                429,
                "TooBusyError",
                f"{settings.concurrency} requests are in work already",
                "Ask again in a moment.",
            )
        return self._stranger(scope)

    def _stranger(self, scope: Scope) -> Response | None:
        """A refusal of who has no token, before their body is read: it could be the largest there may be."""
        path = scope["path"].removeprefix(self._context.settings.prefix)
        if not self._context.tokens or scope["method"] not in _WITH_BODY or path == _SIGN_IN:
            return None
        try:
            caller_in(Request(scope), self._context)
        except SlidelakeError as error:
            if path.startswith("/v1/"):
                return JSONResponse(described(error), status_code=status_of(error))
            return of_ours(error)
        return None

    async def _within_time(self, scope: Scope, receive: Receive, visit: "_Visit") -> None:
        """Run the app; where it has not begun to answer in time, answer for it and let it come to its end alone.

        A thread cannot be stopped: its place counts as taken until it is done.
        """
        path = scope["path"].removeprefix(self._context.settings.prefix)
        values = None if _OWN_LIMITS.fullmatch(path) else _MOST_VALUES
        settings = self._context.settings
        limited = _counted(receive, settings.max_body, values, settings.body_pause)
        task = asyncio.create_task(self._run(scope, limited, visit))
        self._in_work += 1
        self._context.metrics.in_work.set(self._in_work)
        task.add_done_callback(self._done)
        limit = self._context.settings.request_time
        try:
            await asyncio.wait({task}, timeout=limit)
            if task.done() or visit.begun:
                await task
                return
        except asyncio.CancelledError:
            task.cancel()
            raise
        late = error_answer(
            504, "TooSlowError", f"no answer within {limit:g} s", "Ask for less, or ask again later."
        )
        self._left_over.add(task)
        task.add_done_callback(self._left_over.discard)
        await late(scope, receive, visit.last_word())

    async def _run(self, scope: Scope, receive: Receive, visit: "_Visit") -> None:
        try:
            await self._app(scope, receive, visit.send)
        except Exception:
            log.exception("a request failed", extra={"request_id": visit.request_id, "path": scope["path"]})
            if visit.begun:
                raise
            answer = error_answer(
                500,
                "InternalError",
                f"the server failed to answer (request {visit.request_id})",
                "Please report it, with the server's log of this request.",
            )
            await answer(scope, receive, visit.send)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._in_work -= 1
        self._context.metrics.in_work.set(self._in_work)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("a request ended with an error", extra={"error": repr(error)})

    def _note(self, scope: Scope, visit: "_Visit") -> None:
        route = getattr(scope.get("route"), "path", "") or "none"
        seconds = time.perf_counter() - visit.start
        metrics = self._context.metrics
        metrics.requests.labels(_method(scope), route, str(visit.status)).inc()
        metrics.seconds.labels(route).observe(seconds)
        # The path alone: a query may hold what nobody should read in a log.
        access.info(
            "%s %s",
            _method(scope),
            quote(scope["path"]),  # a line's end in it would begin a line of the log
            extra={
                "status": visit.status,
                "ms": round(seconds * 1000, 1),
                "caller": scope.get("state", {}).get("caller", "-"),
                "request_id": visit.request_id,
            },
        )


class _Visit:
    """One request on its way: its id, its answer's status, and who may still speak."""

    def __init__(self, scope: Scope, send: Send, headers: Iterable[tuple[bytes, bytes]]) -> None:
        asked = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        mark = asked if _REQUEST_ID.fullmatch(asked) else secrets.token_hex(8).encode()
        self.request_id = mark.decode()
        self.start = time.perf_counter()
        self.status = 0
        self.begun = False
        self._send = send
        self._headers = [*headers, (b"x-request-id", mark)]
        self._given_up = False

    async def send(self, message: Message) -> None:
        """Pass on what the app says, with our headers; nothing any more once the time was up."""
        if not self._given_up:
            await self._pass(message)

    def last_word(self) -> Send:
        """The app is late: from now on only what is sent through this counts."""
        self._given_up = True
        return self._pass

    async def _pass(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own: list[Any] = list(message.get("headers", ()))
            extra = list(self._headers)
            if not any(name == b"content-security-policy" for name, _ in own):
                extra.append((b"content-security-policy", _API_POLICY))
            message = {**message, "headers": [*own, *extra]}
            self.begun = True
        await self._send(message)


def _counted(receive: Receive, most: int, values: int | None, pause: float) -> Receive:
    """`receive` that stops a body at its limits, whatever its headers promised; `values` None: at its bytes alone.

    A body of which nothing comes for `pause` seconds is given up: clients that send half of it and wait would else
    take every place there is.
    """
    taken = commas = 0
    whole = False

    async def counted() -> Message:
        nonlocal taken, commas, whole
        try:
            # After the body only the client's leaving can come, which may take as long as the answer does.
            message = await asyncio.wait_for(receive(), None if whole else pause)
        except TimeoutError:
            raise HTTPException(408, f"nothing came of the body for {pause:g} s") from None
        whole = message["type"] != "http.request" or not message.get("more_body", False)
        if message["type"] == "http.request":
            body = message.get("body", b"")
            taken += len(body)
            if taken > most:
                raise HTTPException(413, f"the body is larger than {most:,} bytes")
            commas += body.count(b",")
            if values is not None and commas > values:
                raise HTTPException(413, f"the body holds more than {values:,} values")
        return message

    return counted


def _too_large(most: int) -> Response:
    return error_answer(
        413,
        "TooLargeError",
        f"the body is larger than {most:,} bytes",
        "Send less; slidelake serve --max-body allows more.",
    )


def _host_is_one_of(header: bytes, hosts: tuple[str, ...]) -> bool:
    name = header.decode("latin-1").strip().lower()
    bare = name.partition("]")[0] + "]" if name.startswith("[") else name.partition(":")[0]
    return bare in hosts


def _method(scope: Scope) -> str:
    """The method as a label: invented ones are one."""
    known = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
    return scope["method"] if scope["method"] in known else "other"
