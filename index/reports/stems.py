"""Words of a text with their places and stems: lower case, no accents, plural and inflection taken off.

The stems need not be words, only the same for one word's forms, on either side of a search.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["Word", "stem_of", "words_in"]

#: A number is cut off from the unit or the x that is written against it ("3.7cm", "3x2x1cm"); letters and digits
#: otherwise stay together ("pT3a").
_NUMBER = r"\d++(?:[.,]\d++)?+"
_WORD = re.compile(
    rf"{_NUMBER}(?=(?:mm|cm|kg|gms?|grams?|g|x\d[\dx.,]*\s?(?:mm|cm))\b)"
    rf"|(?<=\d)x(?=\d[\dx.,]*\s?(?:mm|cm)\b)"
    rf"|{_NUMBER}(?![^\W\d_])|[^\W_]+",
    re.IGNORECASE,
)
#: Longest first. British and American endings meet; a stem keeps four letters at least.
_ENDINGS = (
    ("isations", ""), ("izations", ""), ("isation", ""), ("ization", ""), ("ising", ""), ("izing", ""),
    ("ised", ""), ("ized", ""), ("ations", ""), ("ation", ""), ("ating", ""), ("ated", ""), ("ates", ""),
    ("ings", ""), ("ing", ""), ("ies", "y"), ("ied", "y"), ("ed", ""), ("es", ""), ("s", ""), ("e", ""),
)  # fmt: skip


@dataclass(frozen=True)
class Word:
    """`text[start:end]` in lower case, without accents, and its stem."""

    lower: str
    stem: str
    start: int
    end: int


def words_in(text: str) -> list[Word]:
    """The words of a text, in order."""
    found = []
    for match in _WORD.finditer(text):
        lower = _plain(match[0])
        found.append(Word(lower, stem_of(lower), *match.span()))
    return found


@lru_cache(maxsize=1 << 16)
def stem_of(word: str) -> str:
    """The stem of a lower-case word; words with digits are their own."""
    if len(word) < 5 or not word.isalpha():
        return word[:-1] if len(word) == 4 and word.endswith("s") and not word.endswith("ss") else word
    british = word.replace("aemi", "emi").replace("haem", "hem").replace("oeso", "eso").replace("caec", "cec")
    british = british.replace("tumour", "tumor").replace("paed", "ped").replace("oedema", "edema")
    for ending, instead in _ENDINGS:
        if british.endswith(ending) and len(british) - len(ending) + len(instead) >= 4:
            if ending == "s" and british.endswith(("ss", "us", "is")):
                break
            return british[: len(british) - len(ending)] + instead
    return british


def _plain(word: str) -> str:
    lower = word.lower()
    if lower.isascii():
        return lower
    kept = (sign for sign in unicodedata.normalize("NFKD", lower) if not unicodedata.combining(sign))
    return "".join(kept)
