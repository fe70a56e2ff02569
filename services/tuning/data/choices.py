"""Multiple choice: one right answer among letters, shuffled by the seed, and wrong ones that are wrong for sure."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from slidelake.errors import UsageError

__all__ = ["MultipleChoice", "keyed_random", "lettered", "one_of", "plain", "with_distractors"]

_LETTERS = 4


@dataclass(frozen=True)
class MultipleChoice:
    """`text` is the question with its lettered choices below, `answer` the letter and words of the right one."""

    text: str
    answer: str
    choices: tuple[str, ...]
    right: int


def keyed_random(*key: object) -> random.Random:
    """Chance that belongs to a key: the same key gives the same numbers, whatever was drawn before."""
    return random.Random(hashlib.sha256("\x1f".join(map(str, key)).encode("utf-8", "surrogatepass")).digest())


def one_of(options: Sequence[str], *key: object) -> str:
    """One of the options, by the key."""
    return options[keyed_random(*key).randrange(len(options))]


def plain(answer: str) -> str:
    """An answer without case, articles, plural s and punctuation: what tells whether two answers say the same."""
    words = "".join(each if each.isalnum() else " " for each in answer.casefold()).split()
    return " ".join(
        word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "is", "us")) else word
        for word in words
        if word not in ("a", "an", "the")
    )


def lettered(question: str, right: str, wrong: Sequence[str], *key: object) -> MultipleChoice:
    """The question with all choices, shuffled by the key.

    Raises UsageError where there is no wrong choice, two say the same, or there are more than 26.
    """
    choices = [right, *wrong]
    told = [plain(each) for each in choices]
    if len(choices) < 2 or len(choices) > len(ascii_uppercase) or len(set(told)) < len(told):
        raise UsageError(
            f"the choices of {question!r} are {', '.join(choices)}",
            remedy="A question takes 2 to 26 choices, no two of which say the same.",
        )
    order = list(range(len(choices)))
    keyed_random("letters", *key).shuffle(order)
    shown = tuple(choices[place] for place in order)
    at = order.index(0)
    lines = [f"{ascii_uppercase[number]}. {each}" for number, each in enumerate(shown)]
    return MultipleChoice("\n".join([question, *lines]), lines[at], shown, at)


def with_distractors(
    question: str, right: str, pool: Iterable[str], true: Iterable[str], *key: object, letters: int = _LETTERS
) -> MultipleChoice | None:
    """The question with up to `letters` choices: the right one, and others of the pool that are not true as well.

    `true` is all that holds of what is asked about, so that no distractor is right too: what says the same as one of
    these, or holds or is held in one (ductal carcinoma, invasive ductal carcinoma), is left out. None where nothing
    wrong is left.
    """
    held = {plain(right), *(plain(each) for each in true)}
    wrong: dict[str, str] = {}
    for each in pool:
        told = plain(each)
        if told and not any(_within(told, other) or _within(other, told) for other in held):
            wrong.setdefault(told, each)
    names = [wrong[told] for told in sorted(wrong)]
    keyed_random("distractors", *key).shuffle(names)
    chosen: list[str] = []
    for name in names:
        # Two wrong choices of which one holds the other give away that neither is right.
        if not any(_within(plain(name), plain(c)) or _within(plain(c), plain(name)) for c in chosen):
            chosen.append(name)
        if len(chosen) == letters - 1:
            break
    return lettered(question, right, chosen, *key) if chosen else None


def _within(part: str, whole: str) -> bool:
    return f" {part} " in f" {whole} "
