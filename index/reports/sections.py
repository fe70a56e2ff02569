"""Finds the sections of a cleaned report: where a heading stands, a section begins."""

import re
from collections.abc import Iterator, Sequence

from slidelake.index.reports.headings import MAJOR, heading_name
from slidelake.store import Section

__all__ = ["find_sections", "title_of"]

# Bullets, numbers and letters of lists before a heading, and what hangs on it: "III. DIAGNOSIS (see comment):".
_LEAD = re.compile(r"\W*(?:(?:\d{1,2}|[IVX]{1,4}|[A-Z])[.)]\s*)?")
_TAIL = r"\s*(?:\([^()\n]{0,60}\))?\s*"
_ENDED = re.compile(rf"([A-Za-z][^:\n]{{2,70}}?){_TAIL}(?::|;|\s[-–—]|[-–—]{{2}})")
_ALONE = re.compile(rf"([A-Za-z][^:\n]{{2,70}}?){_TAIL}[.:;*_\-–—\s]*")
# A heading without a colon in front of its text must be in capitals, and of two words at least.
_CAPITALS = re.compile(r"[A-Z]{4,}(?: (?:[A-Z]{2,}|&|/))+")
# In the midst of a line: two words at least, each with a capital, and a colon; or capitals after a full stop.
_MIDST = re.compile(r"(?<=[\s.;)])([A-Z][A-Za-z]+(?: (?:[A-Z][A-Za-z]+|and|of|&)){1,4}) ?:")
_MIDST_CAPITALS = re.compile(r"(?<=[.;:)] )([A-Z]{4,}(?: [A-Z]{2,})+)(?= ?[-:A-Z(])")
# A word alone, after a sentence: "… resection margin. Diagnosis: …"
_MIDST_WORD = re.compile(r"(?<=[.;] )([A-Z][A-Za-z]{5,}) ?:")
# More words than any heading has.
_WORDS = 6
_TITLE = 100


def find_sections(text: str) -> tuple[Section, ...]:
    """The sections of a cleaned text, in order: they cover all of it, each from its heading up to the next one.

    What stands before the first heading has the name "". A heading that is repeated while its section goes on (at
    the top of a page) does not divide it.
    """
    marks: list[tuple[int, str]] = [(0, "")]
    for start, name, inline in _headings(text):
        inside = marks[-1][1]
        if name == inside or (inside in MAJOR and _is_item(name, inside, inline)):
            continue
        if start == marks[-1][0]:
            marks.pop()
        marks.append((start, name))
    ends = [start for start, _ in marks[1:]] + [len(text)]
    return tuple(Section(name, start, end) for (start, name), end in zip(marks, ends, strict=True))


def title_of(text: str, sections: Sequence[Section]) -> str:
    """What a report without a title is called: the first line of its diagnosis that reads like words, or ""."""
    for section in sections:
        if section.name != "FINAL DIAGNOSIS":
            continue
        for line in text[section.start : section.end].split("\n"):
            # Past the heading itself, and the letter or number of a part.
            lead = _LEAD.match(line)
            _, end = _at_start(line, lead.end() if lead else 0)
            said = line[end:].strip(" .:;-")
            letters = [each for each in said.casefold() if each.isalpha() or each == " "]
            # A bar code has few letters, and all of them alike.
            if len(said.split()) >= 2 and len(letters) >= 0.8 * len(said) and len({*letters}) >= 6:
                return said if len(said) <= _TITLE else f"{said[: _TITLE - 1].rsplit(' ', 1)[0]}…"
    return ""


def _is_item(name: str, inside: str, inline: str) -> bool:
    """Whether a heading is a line of the section around it: "Procedure: resection" in a synoptic report, "Microscopic:
    present" there, "Note: …" in a list of blocks. `inline` is what follows it in its line."""
    if name == "PROCEDURE":
        return True
    if name == "COMMENT":
        return inside == "GROSS DESCRIPTION" and bool(inline)
    if name in ("GROSS DESCRIPTION", "MICROSCOPIC DESCRIPTION"):
        return 0 < len(inline.split()) <= 3
    return name == "SPECIMEN" and bool(inline)


def _headings(text: str) -> Iterator[tuple[int, str, str]]:
    """Each heading's place, the section it opens, and the text that follows it in its line."""
    start = 0
    for line in text.split("\n"):
        lead = _LEAD.match(line)
        after = lead.end() if lead else 0
        name, end = _at_start(line, after)
        if name:
            yield start, name, line[end:].strip(" :.-*_;")
        for place, name in _within(line, end):
            yield start + place, name, line[place:]
        start += len(line) + 1


def _at_start(line: str, start: int) -> tuple[str | None, int]:
    """The section whose heading a line begins with, and where the heading ends."""
    for pattern in (_ENDED, _ALONE):
        found = pattern.match(line, start) if pattern is _ENDED else pattern.fullmatch(line, start)
        # "diagnosis" may end a sentence, and "COMMENT)" the hint "(see COMMENT)" of the line before.
        if found and found[1][0].isupper() and found[1].count(")") <= found[1].count("("):
            name = heading_name(found[1]) if len(found[1].split()) <= _WORDS + 2 else None
            if name:
                return name, found.end()
    words = _CAPITALS.match(line, start)
    if words:
        several = words[0].split(" ")
        for count in range(min(len(several), _WORDS), 1, -1):
            head = " ".join(several[:count])
            name = heading_name(head)
            if name:
                return name, start + len(head)
    return None, start


def _within(line: str, start: int) -> Iterator[tuple[int, str]]:
    found = {
        each.start(1): each[1]
        for pattern in (_MIDST_WORD, _MIDST, _MIDST_CAPITALS)
        for each in pattern.finditer(line, start)
    }
    for place in sorted(found):
        several = found[place].split(" ")
        if len(several) == 1 and (name := heading_name(found[place])):
            yield place, name
        # "Kidney Gross Description:" holds a heading at its end; in capitals also at its beginning.
        for first in range(len(several) - 1):
            head = " ".join(several[first:])
            name = heading_name(head)
            if name:
                yield place + len(" ".join(several[:first])) + bool(first), name
                break
