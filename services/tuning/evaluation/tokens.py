"""Words of an answer, and how many of the reference's are in it: PA-LLaVA's measure of open questions."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

__all__ = ["token_overlap", "words"]

_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W_]+(?:'[^\W_]+)?")
_ARTICLES = frozenset({"a", "an", "the"})


def words(text: str) -> list[str]:
    """Words in lower case, numbers whole, without accents' variants (NFKC), articles and signs."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return [word for word in _WORD.findall(folded) if word not in _ARTICLES]


def token_overlap(prediction: str, reference: str) -> tuple[float, float]:
    """(recall, precision): the reference's words that the prediction has, each as often as both have it, as a share of
    the reference's words, and of the prediction's. A text without words has 0, and so does what is said of one."""
    said, wanted = Counter(words(prediction)), Counter(words(reference))
    shared = (said & wanted).total()
    return shared / max(wanted.total(), 1), shared / max(said.total(), 1)
