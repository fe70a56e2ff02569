"""What a server is told when it starts."""

import re
from dataclasses import dataclass
from pathlib import Path

from slidelake.errors import UsageError

__all__ = ["ServeSettings"]

_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_ORIGIN = re.compile(r"https?://[^/\s?#@]+")


@dataclass(frozen=True)
class ServeSettings:
    """Limits of a server: what one request may ask for, how much is kept open, and who may ask.

    Raises UsageError for a prefix or an origin that is none.
    """

    #: Hits of a search at most.
    max_k: int = 200
    #: Bytes of a request's body at most; of an uploaded GeoJSON or image too.
    max_body: int = 32 * 2**20
    #: Slides that stay open at once.
    open_slides: int = 32
    #: Seconds for which a listing of the store is remembered.
    fresh_for: float = 2.0
    #: Bytes of encoded tiles, thumbnails and patches that are kept.
    cache_bytes: int = 256 * 2**20
    #: Bytes of stored thumbnails that are kept decoded.
    thumbnail_bytes: int = 128 * 2**20
    #: Bytes in which vectors are kept for fast exact searches: 410 MB hold 200,000 of 512 numbers.
    resident_bytes: int = 2 * 2**30
    #: Seconds until a request that has no answer yet is answered with 504.
    request_time: float = 60.0
    #: Seconds for which nothing of a body may come.
    body_pause: float = 10.0
    #: Requests in work at once; one more is answered with 429.
    concurrency: int = 128
    #: Path under which everything lies, such as "/lake"; a proxy may strip it or not.
    prefix: str = ""
    #: Origins of other pages that may call (CORS), such as "https://viewer.example.org".
    allow_origins: tuple[str, ...] = ()
    #: Names in the Host header that are answered; empty: all. Loopback servers have those of loopback.
    hosts: tuple[str, ...] = ()
    #: Seconds after which a page has to sign in again.
    session_time: float = 12 * 3600.0
    #: File that the audit log is appended to; None: no audit log.
    audit: Path | None = None

    def __post_init__(self) -> None:
        if self.prefix and not _PREFIX.fullmatch(self.prefix):
            raise UsageError(
                f"{self.prefix!r} is no prefix of URLs",
                remedy="Write it as /lake: a slash first, none at the end, plain letters.",
            )
        for origin in self.allow_origins:
            if not _ORIGIN.fullmatch(origin):
                raise UsageError(
                    f"{origin!r} is no origin",
                    remedy="Write scheme, host and port only: https://viewer.example.org.",
                )
