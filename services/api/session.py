"""Signing in on the page: a token becomes a cookie that scripts cannot read."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from slidelake.errors import SignInError
from slidelake.services.api.auth import Caller, caller_of, refuse_other_pages
from slidelake.services.api.context import SharedContext
from slidelake.services.api.sessions import COOKIE
from slidelake.services.api.tokens import SCOPES

__all__ = ["router"]

router = APIRouter(prefix="/api/session", tags=["session"])


class SignIn(BaseModel):
    """A token to sign in with."""

    token: Annotated[str, Field(min_length=1, max_length=1024, examples=["the token you were given"])]


class SessionInfo(BaseModel):
    """Who the caller is here."""

    caller: str | None = Field(description="The token's name; null where nobody is signed in.")
    scopes: list[str]
    token_needed: bool


@router.get("")
async def who(request: Request, context: SharedContext) -> SessionInfo:
    """Who the caller is, and whether a token is needed; answered without one."""
    try:
        caller: Caller | None = caller_of(request)
    except SignInError:
        caller = None
    return SessionInfo(
        caller=caller.name if caller else None,
        scopes=sorted(caller.scopes) if caller else [],
        token_needed=bool(context.tokens),
    )


@router.post("")
async def sign_in(said: SignIn, request: Request, response: Response, context: SharedContext) -> SessionInfo:
    """Begin a session: the cookie holds a random word, not the token."""
    refuse_other_pages(request, context)
    if not context.tokens:
        return SessionInfo(caller="local", scopes=["read", "write"], token_needed=False)
    token = context.tokens.find(said.token)
    if token is None:
        raise SignInError("the token is not one of this server's", remedy="Ask who runs the server for one.")
    context.audit(Caller(token.name), "sign in")
    response.set_cookie(
        COOKIE,
        context.sessions.begin(token),
        max_age=int(context.sessions.lifetime),
        path=context.url("/"),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return SessionInfo(caller=token.name, scopes=sorted(SCOPES[token.scope]), token_needed=True)


@router.delete("")
async def sign_out(request: Request, response: Response, context: SharedContext) -> SessionInfo:
    """End the session."""
    refuse_other_pages(request, context)
    context.sessions.end(request.cookies.get(COOKIE, ""))
    response.delete_cookie(COOKIE, path=context.url("/"), httponly=True, samesite="strict")
    needed = bool(context.tokens)
    return SessionInfo(
        caller=None if needed else "local", scopes=[] if needed else ["read", "write"], token_needed=needed
    )
