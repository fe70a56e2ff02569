"""Who calls, and what they may: routes ask for a scope, `read` or `write`.

A caller shows a token in the `Authorization: Bearer …` header, or the cookie of a session that began with one. Never
in the URL: URLs stand in logs and histories. What changes something and comes from a browser has to come from our own
page: a browser says where a request began (`Sec-Fetch-Site`, `Origin`), and other sites are refused.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request

from slidelake.errors import NotAllowedError, SignInError, UsageError
from slidelake.services.api.context import Context
from slidelake.services.api.sessions import COOKIE
from slidelake.services.api.tokens import SCOPES, Token

__all__ = ["Caller", "Reader", "Writer", "bearer", "caller_in", "caller_of", "refuse_other_pages"]

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
#: Names under which people put tokens into URLs.
_IN_URL = frozenset({"token", "access_token", "api_key", "apikey", "key", "authorization"})
_ALL = frozenset({"read", "write"})


@dataclass(frozen=True)
class Caller:
    """Who a request is from: the token's name, or "local" where no token is asked for."""

    name: str = "local"
    scopes: frozenset[str] = _ALL


def _needs(scope: str) -> Callable[[Request], Coroutine[Any, Any, Caller]]:
    # Coroutines: a plain function would cost each request a journey to a thread.
    async def check(request: Request) -> Caller:
        caller = caller_of(request)
        request.state.caller = caller.name
        if scope not in caller.scopes:
            raise NotAllowedError(
                f"the token {caller.name!r} may read, not write",
                remedy="Use a token of scope write.",
            )
        return caller

    return check


def caller_of(request: Request) -> Caller:
    """Who calls. Raises SignInError without a valid token where one is asked for, UsageError for one in the URL."""
    return caller_in(request, request.app.state.context)


def caller_in(request: Request, context: Context) -> Caller:
    """`caller_of`, before a request has come as far as the app: it looks at the headers alone."""
    if named := _IN_URL.intersection(request.query_params):
        raise UsageError(
            f"a token in the URL ({sorted(named)[0]}=…) is refused: URLs are kept in logs",
            remedy="Send it in the header Authorization: Bearer …; and make a new one, this one has been seen.",
        )
    said = request.headers.get("authorization")
    if said is None:
        refuse_other_pages(request, context)
    if not context.tokens:
        return Caller()
    if said is not None:
        token = context.tokens.find(bearer(said))
        if token is None:
            raise SignInError(
                "the token is not one of this server's", remedy="Ask who runs the server for one."
            )
        return _of(token)
    token = context.sessions.find(request.cookies.get(COOKIE, ""))
    if token is None:
        raise SignInError(
            "this server wants a token",
            remedy="Send the header Authorization: Bearer TOKEN, or sign in on the page.",
        )
    return _of(token)


def bearer(header: str) -> str:
    """The token in an Authorization header. Raises SignInError for another kind of header."""
    kind, _, token = header.strip().partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise SignInError(
            "the Authorization header holds no bearer token", remedy="Write Authorization: Bearer TOKEN."
        )
    return token.strip()


def refuse_other_pages(request: Request, context: Context) -> None:
    """Raise NotAllowedError for what another site's page wants to change through its visitor's browser."""
    if request.method in _SAFE:
        return
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    if origin in context.settings.allow_origins:
        return
    foreign = site in ("cross-site", "same-site")
    if origin is not None:
        # Behind a proxy that ends TLS the scheme differs; the host is the page's all the same.
        foreign = foreign or urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower()
    if foreign:
        raise NotAllowedError(
            f"a page of {(origin or 'another site')[:80]} may not change anything here",
            remedy="Use this server's own page, a token in the header, or serve with --allow-origin.",
        )


def _of(token: Token) -> Caller:
    return Caller(token.name, SCOPES[token.scope])


#: A route's parameter: `caller: Reader` lets in those who may read, `caller: Writer` those who may write.
Reader = Annotated[Caller, Depends(_needs("read"))]
Writer = Annotated[Caller, Depends(_needs("write"))]
