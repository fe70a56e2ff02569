"""The error for committed data that is not what its commit says."""

from slidelake.errors import DamagedStoreError

__all__ = ["damaged"]


def damaged(place: str, problem: str, slide: str) -> DamagedStoreError:
    """`problem` completes a sentence about the file or array at `place`."""
    return DamagedStoreError(
        f"{place} {problem}", remedy="Run slidelake verify: it says what to do.", slide=slide
    )
