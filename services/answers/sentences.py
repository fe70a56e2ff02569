"""A passage cut into sentences, each an exact span of it: what is quoted is what the report says."""

import re
from dataclasses import dataclass

__all__ = ["LONGEST", "Sentence", "sentences"]

#: Characters of one sentence at most: scanned reports hold pages without a full stop.
LONGEST = 400
#: The end of a sentence: a stop before white space and no small letter, or an empty line.
_END = re.compile(
    r"(?<=[.;!?])(?<!\b[A-Z]\.)(?<!\bDr\.)(?<!\bNo\.)\s+(?=[^a-z\s])|\n\s*\n|\n(?=\s*(?:[-•*]|\(?[A-Z0-9]{1,2}[.):])\s)"
)
_WORDS = re.compile(r"\w")


@dataclass(frozen=True)
class Sentence:
    """`passage[start:end]` without the white space around it."""

    start: int
    end: int
    text: str


def sentences(passage: str) -> list[Sentence]:
    """The sentences and list items of a passage that hold a letter or digit, in order."""
    found = []
    begin = 0
    for end, following in [*((m.start(), m.end()) for m in _END.finditer(passage)), (len(passage),) * 2]:
        for start, stop in _parts(passage, begin, end):
            text = passage[start:stop]
            if _WORDS.search(text):
                found.append(Sentence(start, stop, text))
        begin = following
    return found


def _parts(passage: str, start: int, end: int) -> list[tuple[int, int]]:
    """A span without white space around it, in pieces of at most LONGEST characters, cut at white space."""
    parts: list[tuple[int, int]] = []
    while True:
        while start < end and passage[start].isspace():
            start += 1
        while end > start and passage[end - 1].isspace():
            end -= 1
        if end - start <= LONGEST:
            return [*parts, (start, end)] if end > start else parts
        cut = max(passage.rfind("\n", start + LONGEST // 2, start + LONGEST), 0) or max(
            passage.rfind(" ", start + 1, start + LONGEST), 0
        )
        cut = cut or start + LONGEST
        parts.append((start, cut))
        start = cut
