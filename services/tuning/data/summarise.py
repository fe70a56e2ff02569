"""A description made to fit a text encoder: whole sentences, the most telling first, up to a number of tokens."""

from __future__ import annotations

import re
from collections.abc import Callable

from slidelake.services.tuning.data.revise import sentences
from slidelake.services.tuning.data.tokens import count_tokens
from slidelake.services.tuning.data.vocabulary import held_by

__all__ = ["MOST_TOKENS", "summarise"]

#: What CLIP's text encoders read.
MOST_TOKENS = 77
_FILLER = re.compile(
    r"^(?:the|this) (?:provided )?(?:microscopic |histolog\w+ |histopatholog\w+ )?(?:image|picture|photomicrograph"
    r"|field|patch)\s+"
    r"(?:shows?|displays?|reveals?|depicts?|features?|exhibits?)\s+",
    re.IGNORECASE,
)


def summarise(text: str, *, most: int = MOST_TOKENS, count: Callable[[str], int] = count_tokens) -> str:
    """The text, where it fits; else its sentences that name most that is not named yet, in their order.

    A first sentence that alone is too long is cut at a comma, then at a word. Never more than `most`
    tokens; "" only for a text without words.
    """
    text = " ".join(text.split())
    if not text or count(text) <= most:
        return text
    own = sentences(text)
    plain = _FILLER.sub("", own[0])
    own[0] = plain[:1].upper() + plain[1:]
    left = dict(enumerate(own))
    chosen: list[int] = []
    named: frozenset[str] = frozenset()
    while left:
        # New findings a token; of equals the earlier sentence.
        best = max(left, key=lambda at: (len(held_by(left[at]) - named) / count(left[at]), -at))
        sentence = left.pop(best)
        if count(" ".join(own[at] for at in sorted([*chosen, best]))) <= most:
            chosen.append(best)
            named |= held_by(sentence)
    if chosen:
        return " ".join(own[at] for at in sorted(chosen))
    return _cut(own[0], most, count)


def _cut(sentence: str, most: int, count: Callable[[str], int]) -> str:
    parts = re.split(r"(?<=[,;])\s+", sentence)
    while len(parts) > 1 and count(" ".join(parts)) > most:
        parts.pop()
    words = " ".join(parts).split(" ")
    low, high = 0, len(words)  # a word more is never a token less
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (
            (middle, high)
            if count(" ".join(words[:middle]).rstrip(",;") + ".") <= most
            else (low, middle - 1)
        )
    if not low:  # one word of more tokens than there may be
        letters = words[0]
        while len(letters) > 1 and count(letters) > most:
            letters = letters[: len(letters) // 2]
        return letters
    return " ".join(words[:low]).rstrip(" ,;.") + "."
