"""Checks what an endpoint writes, piece by piece: citations that exist are numbered, all others are removed.

One filter does streams and whole texts, so that both give the same text. Besides made-up citations it takes out
what only an attacker's report would have an endpoint write: links, pictures by URL, tags, and a model's thinking.
"""

import re

__all__ = ["CitationFilter"]

#: `[1]`, `[1, 2]`, `[1-3]`, `[[1]]`, `[^1]`, `[passage 1]`, `【1】`; a URL right after it is dropped with it.
_MARKER = (
    r"(?P<space>[ \t]*)[\[【]{1,2}\s{0,4}\^?(?:passages?|sources?|refs?\.?)?\s{0,4}"
    r"(?P<numbers>\d{1,9}(?:\s{0,4}[,;–-]\s{0,4}\d{1,9}){0,20})\s{0,4}[\]】]{1,2}(?:\([^()\s]{0,1000}\))?"
)
_LINK = r"!?\[(?P<words>[^\[\]]{0,200})\]\((?P<url>[^()]{0,1000})\)"
_URL = r"(?P<bare>\b(?:https?|ftp|javascript|data):[^\s<>\"'()]{1,2000})"
_TAG = r"(?P<tag></?[A-Za-z!][^<>]{0,500}>)"
_PATTERN = re.compile(f"{_MARKER}|{_LINK}|{_URL}|{_TAG}", re.IGNORECASE)

#: Longest constructs that are waited for: an open bracket with no end by then is plain text.
_LONGEST = 1400
_THINKING = "<think>"
_THOUGHT = "</think>"


class CitationFilter:
    """Takes the pieces of a text, gives it back with citations of `known` passages numbered as they appear."""

    def __init__(self, known: int) -> None:
        self._known = known
        self._held = ""
        self._begun = False
        self._thinking = False
        #: The number shown for each passage (by its place in the context, from 1) that is cited.
        self.shown: dict[int, int] = {}
        #: Citations that named no passage.
        self.removed = 0
        #: Links, pictures and tags that were taken out.
        self.links_removed = 0

    def feed(self, piece: str) -> str:
        """What can be shown of the text so far that was not yet."""
        self._held += piece
        self._skip_thinking()
        if self._thinking:
            return ""
        return self._release(_safe(self._held))

    def close(self) -> str:
        """The rest of the text."""
        self._skip_thinking(last=True)
        return self._release(len(self._held)).rstrip()

    def _skip_thinking(self, *, last: bool = False) -> None:
        """A model's thinking stands before its answer, and is no part of it."""
        if not self._begun and not self._thinking:
            start = self._held.lstrip()
            if start.startswith(_THINKING):
                self._thinking, self._held = True, start[len(_THINKING) :]
            elif len(start) >= len(_THINKING) or not _THINKING.startswith(start) or last:
                self._begun = True
        if self._thinking:
            _, end, rest = self._held.partition(_THOUGHT)
            if end:
                self._thinking, self._begun, self._held = False, True, rest.lstrip()
            else:
                # Only what may be the beginning of the end is kept; thinking may be long.
                self._held = "" if last else self._held[-len(_THOUGHT) :]

    def _release(self, end: int) -> str:
        if not self._begun:
            return ""
        ready, self._held = self._held[:end], self._held[end:]
        return _PATTERN.sub(self._replace, ready)

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


def _safe(text: str) -> int:
    """Up to where a text can be shown before its end is known: no word, bracket or tag is cut."""
    end = len(text.rstrip())
    end = len(text[:end].rstrip("".join(set(text[:end][-1:])))) if end == 0 else _last_gap(text)
    for opening, closing in (("[", "]"), ("【", "】"), ("(", ")"), ("<", ">")):
        at = text.rfind(opening, 0, end)
        if at >= 0 and closing not in text[at:end] and len(text) - at < _LONGEST:
            end = _last_gap(text[: at + 1])
    return end


def _last_gap(text: str) -> int:
    """Where the last white space between words begins; the whole of a word too long to wait for."""
    words = text.rstrip()
    begin = max(words.rfind(gap) for gap in " \t\n\r")
    if begin < 0:
        return len(text) if len(words) > 2 * _LONGEST else 0
    return len(words[:begin].rstrip())


def _expand(numbers: str, known: int) -> list[int]:
    """`1, 3-5` as numbers; a range is no longer than what is known, one number more stands for the rest."""
    found: list[int] = []
    for part in re.split(r"[,;]", numbers):
        ends = [int(number) for number in re.findall(r"\d+", part)]
        first, last = ends[0], ends[-1]
        found += range(first, min(last, known + 1) + 1) if last > first else ends
    return found
