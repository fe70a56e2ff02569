"""Who calls, and what they may: routes ask for a scope, `read` or `write`."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends

__all__ = ["Caller", "Reader", "Writer"]


@dataclass(frozen=True)
class Caller:
    """Who a request is from: the token's name, or "local" where no token is asked for."""

    name: str = "local"
    scopes: frozenset[str] = frozenset({"read", "write"})


def _reader() -> Caller:
    return Caller()


def _writer() -> Caller:
    return Caller()


#: A route's parameter: `caller: Reader` lets in those who may read, `caller: Writer` those who may write.
Reader = Annotated[Caller, Depends(_reader)]
Writer = Annotated[Caller, Depends(_writer)]
