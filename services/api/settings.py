"""What a server is told when it starts."""

from dataclasses import dataclass

__all__ = ["ServeSettings"]


@dataclass(frozen=True)
class ServeSettings:
    """Limits of a server: what one request may ask for, and how much is kept open."""

    #: Hits of a search at most.
    max_k: int = 200
    #: Bytes of a request's body at most; of an uploaded GeoJSON or image too.
    max_body: int = 32 * 2**20
    #: Slides that stay open at once.
    open_slides: int = 32
    #: Seconds for which a listing of the store is remembered.
    fresh_for: float = 2.0
    #: Memory in which vectors are kept for fast exact searches: 400 MB hold 200,000 of 512 numbers.
    resident_bytes: int = 2 * 2**30
