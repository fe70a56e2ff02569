"""Sessions of pages that signed in with a token: a random word in a cookie, known to this server only."""

import hashlib
import secrets
import threading
import time
from collections import OrderedDict

from slidelake.services.api.tokens import Token

__all__ = ["COOKIE", "Sessions"]

COOKIE = "slidelake_session"
_MOST = 10_000


class Sessions:
    """Who is signed in, until when; the oldest go first where there are too many."""

    def __init__(self, lifetime: float) -> None:
        self.lifetime = lifetime
        self._lock = threading.Lock()
        self._open: OrderedDict[str, tuple[float, Token]] = OrderedDict()

    def begin(self, token: Token) -> str:
        """Sign in; returns what the cookie holds."""
        word = secrets.token_urlsafe(32)
        with self._lock:
            self._open[_mark(word)] = (time.monotonic() + self.lifetime, token)
            while len(self._open) > _MOST:
                self._open.popitem(last=False)
        return word

    def find(self, word: str) -> Token | None:
        """Whose session it is; None where it ended."""
        with self._lock:
            until, token = self._open.get(_mark(word), (0.0, None))
            if token is not None and time.monotonic() > until:
                del self._open[_mark(word)]
                return None
            return token

    def end(self, word: str) -> None:
        """Sign out."""
        with self._lock:
            self._open.pop(_mark(word), None)


def _mark(word: str) -> str:
    # Looked up by hash: how long a comparison takes says nothing about the word.
    return hashlib.sha256(word.encode("utf-8", "surrogatepass")).hexdigest()
