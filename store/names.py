"""What people type for slides and spaces, matched to what is committed."""

import difflib
import time
from collections.abc import Sequence

from slidelake.errors import DuplicateSlideError, UnknownSlideError, UnknownSpaceError
from slidelake.store.layout import COMMITS
from slidelake.store.objects import Objects

__all__ = ["SlideNames", "match_space", "no_slide"]


# How long a remote store's listing serves.
_KEPT = 60.0


class SlideNames:
    """The spelling of committed slide ids: ids that differ only in case are one id."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._spellings: dict[str, str] = {}
        self._fresh_until = 0.0

    def spelling(self, slide_id: str) -> str | None:
        """How the store spells an id; None where it does not know it."""
        if slide_id.casefold() not in self._spellings and time.monotonic() >= self._fresh_until:
            self._refresh()
        return self._spellings.get(slide_id.casefold())

    def claim(self, slide_id: str) -> None:
        """Raises DuplicateSlideError if a new slide's id differs from a committed one only in case."""
        known = self.spelling(slide_id)
        if known not in (None, slide_id):
            raise DuplicateSlideError(
                f"the store holds {known}, which differs only in case",
                remedy="Give one of the two another slide_id in the manifest.",
                slide=slide_id,
            )

    def _refresh(self) -> None:
        if self._objects.local is not None:
            # 256 small directories; the commits themselves need not be listed.
            ids = [
                slide_id
                for prefix in self._objects.folders(COMMITS)
                for slide_id in self._objects.folders(f"{COMMITS}/{prefix}")
            ]
        else:
            ids = [key.split("/")[2] for key in self._objects.list(COMMITS) if key.count("/") == 3]
            # Seconds for a large lake on S3, and asked for each new slide.
            self._fresh_until = time.monotonic() + _KEPT
        self._spellings = {slide_id.casefold(): slide_id for slide_id in ids}


def match_space(name: str | None, spaces: Sequence[str], slide_id: str = "") -> str:
    """The one space of `spaces` that a name means; raises UnknownSpaceError, which lists those that fit."""
    if name is None:
        fitting = list(spaces)
    elif name in spaces:
        return name
    else:
        grid, slash, encoder = name.rpartition("/")
        # On the command line 256px@0.5mpp is taken too.
        grid = grid.replace("@", "-")
        fitting = [
            space
            for space in spaces
            if (not slash or space.partition("/")[0] == grid)
            and encoder in (space.partition("/")[2], space.partition("/")[2].rpartition(".")[0])
        ]
    if len(fitting) == 1:
        return fitting[0]
    if not spaces:
        remedy = "Ingest it first: slidelake ingest SLIDES --encoder NAME."
        raise UnknownSpaceError("no features are committed", remedy=remedy, slide=slide_id)
    if fitting:
        problem = f"{name} fits several spaces" if name else "there are several spaces"
        remedy = f"Name one of: {', '.join(fitting)}."
    else:
        problem = f"there is no space {name}"
        remedy = f"Name one of: {', '.join(spaces)}."
    raise UnknownSpaceError(problem, remedy=remedy, slide=slide_id)


def no_slide(url: str, slide_id: str, what: str, known: Sequence[str]) -> UnknownSlideError:
    """The error for a slide that is not there, or lacks what was asked for (`what`)."""
    if what and not known:
        aggregator = what.rpartition("/")[2] if what.startswith("pooled") else ""
        remedy = (
            f"Make it first: slidelake embed --aggregator {aggregator}."
            if aggregator
            else "Ingest it with that first."
        )
        return UnknownSlideError(f"the store has no {what} of this slide", remedy=remedy, slide=slide_id)
    close = difflib.get_close_matches(slide_id, known, n=3)
    remedy = f"Did you mean {', '.join(close)}?" if close else "`slidelake status --slides` lists them."
    return UnknownSlideError(f"no such slide in {url}", remedy=remedy, slide=slide_id)
