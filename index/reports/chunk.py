"""Reports cut into passages: inside sections, at borders of sentences, each of a size that an encoder reads whole.

A passage is a span of the report's text, letter for letter, so that a citation can be shown where it stands. Passages of
one section overlap by up to a fifth, so that what stands at a border is found too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slidelake.store import Report

__all__ = ["Chunk", "chunk_report", "estimate_tokens"]

#: Sizes in estimated tokens. MiniLM reads 256; its own count is 3 % above the estimate on real reports, and above 256
#: for one passage in two hundred.
_TARGET, _MOST, _OVERLAP = 180, 220, 40
#: What WordPiece makes of text, nearly: short words whole, long ones in parts, signs one by one.
_PIECE = re.compile(r"[^\W\d_]{1,6}|\d{1,2}|[^\w\s]|_")
#: Where a sentence, an item or a line of a form ends. Lines are wrapped in mid-sentence: a line that goes on in lower
#: case is no border.
_BORDER = re.compile(r"(?<=[.!?;:])\s+(?=[^\sa-z])|\n\s*\n|\s*\n(?=\s*(?:[A-Z(\-•*#]|\d+[.)]))")


@dataclass(frozen=True)
class Chunk:
    """A passage: `text` is `report.text[start:end]`; `section` is "" before any heading."""

    chunk_id: str
    report_id: str
    section: str
    start: int
    end: int
    text: str


def estimate_tokens(text: str) -> int:
    """About how many tokens a WordPiece model makes of the text."""
    return sum(1 for _ in _PIECE.finditer(text))


def chunk_report(report: Report) -> list[Chunk]:
    """The report's passages in the order of its text; none for a report of no letters or digits."""
    chunks: list[Chunk] = []
    for section, start, end in _sections(report):
        for first, last in _passages(report.text, start, end):
            passage = report.text[first:last]
            if re.search(r"\w", passage):
                number = len(chunks)
                chunks.append(
                    Chunk(f"{report.report_id}#{number}", report.report_id, section, first, last, passage)
                )
    return chunks


def _sections(report: Report) -> Iterator[tuple[str, int, int]]:
    """The sections, and what stands between or around them, so that no text is left out."""
    at = 0
    for section in sorted(report.sections, key=lambda each: (each.start, each.end)):
        start, end = max(section.start, at), min(section.end, len(report.text))
        if start > at:
            yield "", at, start
        if end > start:
            yield section.name, start, end
            at = end
    if at < len(report.text):
        yield "", at, len(report.text)


def _passages(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Spans of whole sentences, `_TARGET` tokens or a little more each."""
    units = [(*span, estimate_tokens(text[span[0] : span[1]])) for span in _units(text, start, end)]
    at = 0
    while at < len(units):
        size, stop = 0, at
        while stop < len(units) and (stop == at or (size < _TARGET and size + units[stop][2] <= _MOST)):
            size += units[stop][2]
            stop += 1
        yield units[at][0], units[stop - 1][1]
        if stop == len(units):
            return
        # The next passage begins again with the last sentences of this one, as far as they fit.
        back, repeated = stop, 0
        while back - 1 > at and repeated + units[back - 1][2] <= _OVERLAP:
            back -= 1
            repeated += units[back][2]
        at = back


def _units(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Spans of sentences without the white space around them; what is too long for a passage is cut at words."""
    at = start
    for border in [*_BORDER.finditer(text, start, end), None]:
        stop = border.start() if border else end
        yield from _cut(text, at, stop)
        at = border.end() if border else end


def _cut(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """A sentence in parts of at most `_TARGET` tokens; at white space where there is any."""
    pieces = [match.span() for match in _PIECE.finditer(text, start, end)]
    while pieces:
        part = len(pieces)
        if part > _MOST:
            part = _TARGET
            while part > 1 and pieces[part - 1][1] == pieces[part][0]:
                part -= 1
            part = part if part > 1 else _TARGET  # one word without end
        yield pieces[0][0], pieces[part - 1][1]
        pieces = pieces[part:]
