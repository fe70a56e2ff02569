"""Which choice a free text takes: a letter, the words of a choice, yes or no."""

from __future__ import annotations

import re
from collections.abc import Sequence

from slidelake.services.tuning.evaluation.tokens import words

__all__ = ["read_choice"]

_YES = frozenset({"yes", "true"})
_NO = frozenset({"no", "not", "false"})
#: "B", "(B)", "B.", "B: …", "B) …" at the start; "the answer is B", "option B" anywhere.
_LEADING = re.compile(r"^\W{0,3}([A-Za-z])(?:[).:\]]|\s*$|\s+[-–—]\s)")
_NAMED = re.compile(
    r"\b(?i:answer|option|choice)\b(?:\s+(?:is|was))?\s*:?\s*\W?([A-Z])(?=\W*$|\s*[).:,;\]]|\s+(?:and|or|because|since)\b)"
)
_LETTERED = re.compile(r"^\W{0,2}([A-Za-z])[).:\]]\s*(.+)$", re.DOTALL)


def read_choice(text: str, choices: Sequence[str] = ()) -> str | None:
    """The choice a text takes, as its letter ("A", …), or "yes" or "no" where there are no choices; None where it
    takes none, or several ("A or B", "yes and no").

    A letter counts first, then the words of exactly one choice; of choices that contain one another the longest.
    """
    if not choices or {" ".join(words(each)) for each in choices} == {"yes", "no"}:
        return _yes_or_no(text)
    letters = [chr(ord("A") + place) for place in range(len(choices))]
    plain = [_LETTERED.match(each) for each in choices]
    called = [
        " ".join(words(match[2] if match else each)) for match, each in zip(plain, choices, strict=True)
    ]
    said = " ".join(words(text))
    if said in called:
        return letters[called.index(said)]
    named = {match[1].upper() for match in _NAMED.finditer(text)} & set(letters)
    leading = _LEADING.match(text)
    if leading and leading[1].upper() in letters:
        named.add(leading[1].upper())
    if named:
        return named.pop() if len(named) == 1 else None
    found = [place for place, name in enumerate(called) if name and f" {name} " in f" {said} "]
    # "adenocarcinoma" stands in "mucinous adenocarcinoma": the longer one was meant.
    found = [
        place
        for place in found
        if not any(other != place and f" {called[place]} " in f" {called[other]} " for other in found)
    ]
    return letters[found[0]] if len(found) == 1 else None


def _yes_or_no(text: str) -> str | None:
    said = words(text)
    if said and said[0] in _YES | _NO - {"not"}:
        first = "yes" if said[0] in _YES else "no"
        # "Yes and no" is neither; "Yes, there is no necrosis" is yes.
        both = len(said) > 2 and said[1] in ("and", "or") and said[2] in _YES | _NO
        return None if both else first
    has = (bool(_YES & set(said)), bool(_NO & set(said)))
    return "yes" if has == (True, False) else "no" if has == (False, True) else None
