"""Tokens that let callers in: their hashes by name and scope; the tokens themselves are never kept."""

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from slidelake.errors import UsageError

__all__ = ["SCOPES", "Token", "Tokens", "new_token"]

#: What a scope lets one do: `write` is `read` and more.
SCOPES = {"read": frozenset({"read"}), "write": frozenset({"read", "write"})}
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
#: Characters of a token at least: less could be guessed.
_SHORTEST = 16
_LONGEST = 1024


@dataclass(frozen=True)
class Token:
    """One token: whose it is, what it may do, and the sha256 of it in hex."""

    name: str
    scope: str
    sha256: str


@dataclass(frozen=True)
class Tokens:
    """The tokens of a server; without any, everybody who reaches it may do everything."""

    known: tuple[Token, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.known)

    @classmethod
    def of(cls, token: str | None = None, file: Path | None = None) -> "Tokens":
        """One token of all scopes, called "token", and those of a file. Raises UsageError for what cannot be read."""
        known: list[Token] = []
        if token is not None:
            if not _SHORTEST <= len(token) <= _LONGEST:
                raise UsageError(
                    f"a token of {len(token)} characters is too short"
                    if len(token) < _SHORTEST
                    else "the token is too long",
                    remedy=f"Use {_SHORTEST} characters or more, such as those of `openssl rand -hex 32`.",
                )
            known.append(Token("token", "write", _hash(token)))
        if file is not None:
            known += _read(file)
        return cls(tuple(known))

    def find(self, token: str) -> Token | None:
        """The token that this is. Every one is compared, in constant time, so that time tells nothing."""
        mark = _hash(token[: _LONGEST + 1])
        found = None
        for each in self.known:
            if hmac.compare_digest(each.sha256, mark):
                found = each
        return found


def new_token(name: str, scope: str, file: Path) -> str:
    """Make a token, append its hash to the file (0600), and return the token: it cannot be read again.

    Raises UsageError for a name that is there already, or no name, and for an unknown scope.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name[:80]!r} is no name of a token", remedy="Use letters, digits and . _ @ - only, at most 64."
        )
    if scope not in SCOPES:
        raise UsageError(f"there is no scope {scope[:80]!r}", remedy="Choose read or write.")
    if file.exists() and any(each.name == name for each in _read(file)):
        raise UsageError(
            f"{file} has a token called {name!r}", remedy="Take another name, or remove its line first."
        )
    token = secrets.token_urlsafe(32)
    line = json.dumps({"name": name, "scope": scope, "sha256": _hash(token)})
    try:
        handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(handle, "a", encoding="utf-8") as out:
            out.write(line + "\n")
    except OSError as exc:
        raise UsageError(
            f"{file} cannot be written: {exc.strerror}", remedy="Name a file in a folder that is there."
        ) from exc
    return token


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _read(file: Path) -> list[Token]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(
            f"the tokens in {file} cannot be read: {exc}",
            remedy="Make one with slidelake serve --new-token NAME --scope read --tokens FILE.",
        ) from exc
    tokens = [_parse(line, file, number) for number, line in enumerate(lines, 1) if line.strip()]
    names = [each.name for each in tokens]
    _refuse_twice(names, file)
    if not tokens:
        raise UsageError(
            f"there is no token in {file}",
            remedy="Make one with slidelake serve --new-token NAME --scope read --tokens FILE.",
        )
    return tokens


def _refuse_twice(names: Iterable[str], file: Path) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UsageError(f"{file} has two tokens called {name!r}", remedy="Remove one of the lines.")
        seen.add(name)


def _parse(line: str, file: Path, number: int) -> Token:
    wrong = UsageError(
        f"line {number} of {file} is no token",
        remedy='Each line is {"name": …, "scope": "read" or "write", "sha256": 64 hex digits}.',
    )
    try:
        said = json.loads(line)
    except ValueError as exc:
        raise wrong from exc
    if not isinstance(said, dict):
        raise wrong
    name, scope, mark = (said.get(key) for key in ("name", "scope", "sha256"))
    if not (isinstance(name, str) and _NAME.fullmatch(name) and isinstance(scope, str) and scope in SCOPES):
        raise wrong
    if not isinstance(mark, str) or not re.fullmatch(r"[0-9a-fA-F]{64}", mark):
        raise wrong
    return Token(name, scope, mark.lower())
