"""Slide readers by name. A new one is a file beside this one and a line in READERS."""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from slidelake import errors

if TYPE_CHECKING:
    from slidelake.ingest.slide import SlideReader

__all__ = ["READERS", "open_slide"]

#: name → module of its `open(uri)`; "auto" takes the first. More come with the direct decoders.
READERS = {
    "openslide": "slidelake.ingest.readers.openslide",
}


def open_slide(uri: str, *, reader: str = "auto") -> "SlideReader":
    """Open a slide by path or fsspec URL; `reader` names one of READERS, or "auto".

    Raises UnreadableSlideError, UnsupportedSlideError, FluorescenceError, DamagedSlideError (truncated files).
    """
    name = next(iter(READERS)) if reader == "auto" else reader
    if name not in READERS:
        raise errors.UsageError(
            f"there is no reader {reader!r}", remedy=f"Choose auto or one of {', '.join(READERS)}."
        )
    opener: Callable[[str], SlideReader] = import_module(READERS[name]).open
    return opener(uri)
