"""The form of an answer, by rules alone: kept apart from its medicine, which no fault of form changes."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from slidelake.services.tuning.evaluation.tokens import words

__all__ = ["Form", "check_form"]

#: A run of so many words that comes this often is a loop.
_RUN, _TIMES = 4, 4
_LEAK = re.compile(
    r"<image>|<\|[^|\n]{1,40}\|>|\[/?INST\]|</?s>|^\s*(?:system|user|assistant)\s*:",
    re.IGNORECASE | re.MULTILINE,
)
_MARKUP = re.compile(
    r"^\s*(?:#{1,6} |```|\{\s*\"|\|.*\|\s*$)|</?(?:p|br|div|b|i|ul|li)\b[^>]*>", re.MULTILINE
)


@dataclass(frozen=True)
class Form:
    """`faults` of form: "empty", "no words", "loop", "prompt", "markup". `words` is its length, which is no fault."""

    faults: tuple[str, ...]
    words: int


def check_form(answer: str) -> Form:
    """The faults of form of an answer; however long or short it is, that is none."""
    said = words(answer)
    if not answer.strip():
        return Form(("empty",), 0)
    faults = [] if any(any(sign.isalpha() for sign in word) for word in said) else ["no words"]
    runs = Counter(tuple(said[at : at + _RUN]) for at in range(len(said) - _RUN + 1))
    faults += ["loop"] if runs and max(runs.values()) >= _TIMES else []
    faults += ["prompt"] if _LEAK.search(answer) else []
    faults += ["markup"] if _MARKUP.search(answer) else []
    return Form(tuple(faults), len(said))
