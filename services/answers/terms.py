"""The words and numbers that carry what a text says, in a form in which two texts can be compared."""

import re
import unicodedata
from collections.abc import Iterator

__all__ = ["numbers", "stem", "tokens", "words"]

_TOKEN = re.compile(r"[^\W\d_]+(?:[-/'’]?\w)*|\d+(?:[.,]\d+)*")
_NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*")

#: Words that questions and reports hold whatever they are about.
_COMMON = frozenset(
    """a about above after all also am an and any are as at be because been before being below between both but by
    can could did do does doing down during each few for from further had has have having he her here hers him his how
    i if in into is it its itself just me more most my no nor not of off on once one only or other our out over own
    same she should so some someone such than that the their them then there these they this those through to too
    under until up very was we were what when where which while who whom whose why will with would you your
    according archive called case cases describe described describes find found give given happen know known like list
    man mention mentioned name one patient patients person please report reported reports said say says see seen show
    shown slide slides state stated tell us woman there's what's""".split()
)
_ENDINGS = (
    ("ies", "y"), ("sses", "ss"), ("ing", ""), ("edly", ""), ("ed", ""), ("es", ""), ("ly", ""), ("s", ""),
)  # fmt: skip


def words(text: str) -> set[str]:
    """Stems of the words that carry something; no numbers."""
    return {stem(token) for token in tokens(text) if token not in _COMMON and len(token) > 1}


def numbers(text: str) -> set[str]:
    """Numbers in canonical form: `3.70` and `3,7` are `3.7`."""
    return {_canonical(match[0]) for match in _NUMBER.finditer(text)}


def tokens(text: str) -> Iterator[str]:
    """Words in small letters without accents, British spellings as American ones."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    for match in _TOKEN.finditer(plain):
        if not match[0][0].isdigit():
            for part in re.split(r"[-/'’]", match[0]):
                if part:
                    yield _american(part)


def stem(word: str) -> str:
    """The word without its plural or verbal ending; medical words keep theirs (`-itis`, `-osis`, `-us`)."""
    if len(word) < 5 or word.endswith(("ss", "us", "is")):
        return word
    for ending, put in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)] + put
    return word


def _american(word: str) -> str:
    return re.sub(r"(?<=.)our\b", "or", word.replace("aem", "em").replace("oed", "ed").replace("caec", "cec"))


def _canonical(number: str) -> str:
    plain = number.replace(",", ".")
    if plain.count(".") > 1:
        return plain
    try:
        return f"{float(plain):g}"
    except ValueError:
        return plain
