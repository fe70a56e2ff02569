"""Checks what an endpoint writes, piece by piece: citations that exist are numbered, all others are removed.

One filter does streams and whole texts, so that both give the same text. Besides made-up citations it takes out
what a hostile report could have an endpoint write (links, pictures by URL, tags), and a model's thinking.
"""

import re

__all__ = ["CitationFilter", "plain"]

#: Where a link leads, in its brackets.
_TARGET = r"\((?:[^()\s]|\([^()\s]*\))*\)"
#: `[1]`, `[1, 2]`, `[1-3]`, `[[1]]`, `[^1]`, `[passage 1]`, `【1】`; a URL right after it goes with it.
_MARKER = (
    r"(?P<space>[ \t]*)[\[【]{1,2}\s{0,4}\^?(?:passages?|sources?|refs?\.?)?\s{0,4}"
    r"(?P<numbers>\d{1,9}(?:\s{0,4}[,;–-]\s{0,4}\d{1,9}){0,20})\s{0,4}[\]】]{1,2}"
    rf"(?:{_TARGET})?"
)
_LINK = rf"!?\[(?P<words>[^\[\]]{{0,200}})\]{_TARGET}"
_URL = r"(?P<bare>\b(?:https?|ftp|javascript|data):[^\s<>\"'()]+)"
_TAG = r"(?P<tag></?[A-Za-z!][^<>]{0,500}>)"
_PATTERN = re.compile(f"{_MARKER}|{_LINK}|{_URL}|{_TAG}", re.IGNORECASE)

#: No construct above is longer: an opening with no end by then is plain text, and no longer waited for.
_LONGEST = 600
_OPENINGS = (("[", "]"), ("【", "】"), ("<", ">"))
_GAP = re.compile(r"\s+")
#: Controls of terminals, characters that turn the direction of a text, halves of characters.
_UNFIT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_THINKING, _THOUGHT = "<think>", "</think>"


class CitationFilter:
    """Takes the pieces of a text, gives it back with citations of `known` passages numbered as they appear."""

    def __init__(self, known: int) -> None:
        self._known = known
        self._held = ""  # not looked at yet
        self._gap = ""  # white space that comes out only if words follow
        self._state = "start"
        #: The number shown for each passage (by its place in the context, from 1) that is cited.
        self.shown: dict[int, int] = {}
        #: Citations that named no passage.
        self.removed = 0
        #: Links, pictures and tags that were taken out.
        self.links_removed = 0

    def feed(self, piece: str) -> str:
        """What can now be shown and was not yet."""
        self._held += plain(piece)
        self._skip_thinking()
        return self._release(_safe(self._held)) if self._state in ("text", "begun") else ""

    def close(self) -> str:
        """The rest of the text."""
        if self._state == "start":
            self._state = "text"
        return self._release(len(self._held)) if self._state != "thinking" else ""

    def _skip_thinking(self) -> None:
        """A model's thinking stands before its answer, and is no part of it."""
        if self._state == "start":
            start = self._held.lstrip()
            if start.startswith(_THINKING):
                self._state, self._held = "thinking", start[len(_THINKING) :]
            elif not _THINKING.startswith(start):
                self._state = "text"
        if self._state == "thinking":
            _, end, rest = self._held.partition(_THOUGHT)
            # Of thinking only what may be the beginning of its end is kept.
            self._state, self._held = ("text", rest) if end else ("thinking", self._held[-len(_THOUGHT) :])

    def _release(self, end: int) -> str:
        ready, self._held = self._held[:end], self._held[end:]
        checked = self._gap + _PATTERN.sub(self._replace, ready)
        if self._state == "text":
            checked = checked.lstrip()
        words = checked.rstrip()
        self._gap = checked[len(words) :]
        if words:
            self._state = "begun"
        return words

    def _replace(self, match: re.Match[str]) -> str:
        if match["numbers"] is not None:
            return self._numbered(match)
        self.links_removed += 1
        return match["words"] or ""

    def _numbered(self, match: re.Match[str]) -> str:
        shown: list[str] = []
        for number in _expand(match["numbers"], self._known):
            if 1 <= number <= self._known:
                marker = f"[{self.shown.setdefault(number, len(self.shown) + 1)}]"
                shown += [] if marker in shown else [marker]
            else:
                self.removed += 1
        return match["space"] + "".join(shown) if shown else ""


def plain(text: str) -> str:
    """The text without characters that act on a terminal or page instead of being shown there."""
    return _UNFIT.sub("", text)


def _safe(text: str) -> int:
    """Up to where a text can be looked at before its end is known: no word, bracket, link or tag is cut."""
    end = _last_gap(text, len(text))
    moved = True
    while moved:
        moved = False
        for opening, closing in _OPENINGS:
            at = text.rfind(opening, 0, end)
            if at >= 0 and len(text) - at < _LONGEST and closing not in text[at + len(opening) : end]:
                end, moved = _last_gap(text, at), True
    return end


def _last_gap(text: str, end: int) -> int:
    """Where the last white space before `end` begins."""
    begin = 0
    for gap in _GAP.finditer(text, 0, end):
        begin = gap.start()
    return begin


def _expand(numbers: str, known: int) -> list[int]:
    """`1, 3-5` as numbers; of a range beyond what is known, one number stands for all that is."""
    found: list[int] = []
    for part in re.split(r"[,;]", numbers):
        ends = [int(number) for number in re.findall(r"\d+", part)]
        first, last = ends[0], ends[-1]
        found += range(first, min(last, known + 1) + 1) if first < last and first <= known else ends
    return found
