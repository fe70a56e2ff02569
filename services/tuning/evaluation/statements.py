"""What a text says of a case, as values that can be compared: the parts that all readings of a criterion share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["Said", "denied", "sentences", "worst"]

#: What ends a sentence; a figure's point and an abbreviation's do not.
_END = re.compile(r"(?<!\b[A-Z])[.;](?=\s|$)|\n\s*\n|\n(?=\s*(?:[-•*]|\d{1,2}[.)]|[A-Z][A-Za-z ]{2,40}:))")
#: Characters on either side in which a denial may stand.
_REACH = 160
_TURN = re.compile(r"\b(?:but|however|although|though|except)\b", re.IGNORECASE)
_NO_BEFORE = re.compile(
    r"\b(?:no|not|without|negative for|absence of|absent|free of|free from|rule out|r/o|nor|non[- ]?)\b[^.;:]{0,60}$",
    re.IGNORECASE,
)
_NO_AFTER = re.compile(
    r"^[\s:,()-]{0,4}(?:(?:is|are|was|were|has|have|been|status|invasion|involvement|metastas[ie]s|mutation|expression|staining|amplification|codeletion)\b[\s:]*){0,3}"
    r"(?:not\b|absent|negative|none\b|no\b|excluded|unremarkable|uninvolved|free\b|wild)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Said:
    """`text[start:end]` says one of `values` of the thing `key`: two texts agree on a key where they share a value."""

    key: str
    values: frozenset[str]
    start: int
    end: int


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each sentence, or line of a list."""
    start = 0
    for match in _END.finditer(text):
        if text[start : match.start()].strip():
            yield start, match.start()
        start = match.end()
    if text[start:].strip():
        yield start, len(text)


def denied(text: str, start: int, end: int) -> bool:
    """Whether a sentence denies what stands at `start:end`: a "no" before it, or "not identified" after it."""
    before = _TURN.split(_END.split(text[max(0, start - _REACH) : start])[-1])[-1]
    after = _TURN.split(_END.split(text[end : end + _REACH])[0])[0]
    return bool(_NO_BEFORE.search(before) or _NO_AFTER.search(after))


def worst(found: Iterable[Said], value: str) -> list[Said]:
    """Where one of several statements has a value that outweighs the others (one margin is involved), those alone."""
    listed = list(found)
    grave = [said for said in listed if value in said.values]
    return grave or listed
