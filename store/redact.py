"""Reports without the names of what was deleted: keyed hashes stand in their place."""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from slidelake.store.deny_list import DenyList

__all__ = ["Redactor", "words_of"]

# What these hold is never anybody's name, even where a slide is called like a state or an encoder.
_OURS = {"state", "reason", "encoder", "grid", "run_id", "key", "time", "slidelake_version"}


def words_of(*, slide_id: str = "", patient_id: str = "", uri: str = "") -> set[str]:
    """What a text must not hold once these are deleted: ids, the URI, its file's name and stem."""
    words = {slide_id, patient_id, uri.removeprefix("file://")}
    name = uri.replace("\\", "/").rstrip("/").rpartition("/")[2]
    words |= {name, unquote(name), PurePosixPath(name).stem}
    return {word.casefold() for word in words if word}


class Redactor:
    """Puts keyed hashes in the place of texts that hold one of `words`, and of denied slides in reports."""

    def __init__(self, denied: DenyList, words: Iterable[str] = ()) -> None:
        self._denied = denied
        self._words = {word.casefold() for word in words if word}
        self._pattern: re.Pattern[str] | None = None

    def text(self, text: str) -> str:
        """The text itself, or `deleted:<hash>` where it holds a word: what is left of it could tell the rest."""
        return self._mark(text) if self._holds(text) else text

    def values(self, value: Any) -> Any:
        """JSON values with every text in them taken through `text`; fields that hold no names stay as they are."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: each if key in _OURS else self.values(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.values(each) for each in value]
        return value

    def report(self, report: Mapping[str, Any]) -> dict[str, Any]:
        """A run's report without its denied slides' names; their counts and times stay."""
        outcomes = [each for each in report.get("outcomes", ()) if isinstance(each, Mapping)]
        slides = self._denied.among("slide", {str(each.get("slide_id", "")) for each in outcomes})
        uris = self._denied.among("uri", {str(each.get("uri", "")) for each in outcomes})
        if not (slides or uris or self._words):
            return dict(report)
        for each in outcomes:
            slide_id, uri = str(each.get("slide_id", "")), str(each.get("uri", ""))
            if slide_id in slides or uri in uris:
                self._words |= words_of(slide_id=slide_id, uri=uri)
                self._pattern = None
        return dict(self.values(dict(report)))

    def _holds(self, text: str) -> bool:
        if not self._words:
            return False
        if self._pattern is None:
            # As a word of its own: S1 is in P1_S1.svs, and not in S10.svs.
            either = "|".join(map(re.escape, sorted(self._words)))
            self._pattern = re.compile(rf"(?<![a-z0-9])(?:{either})(?![a-z0-9])")
        return self._pattern.search(text.casefold()) is not None

    def _mark(self, text: str) -> str:
        return f"deleted:{self._denied.hash_of('uri', text)[:16]}"
