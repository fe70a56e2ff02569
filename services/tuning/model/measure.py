"""How good answers are: accuracy of closed questions, recall of the words of open ones (PA-LLaVA's two measures)."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from slidelake.services.tuning.data import TuningRow

__all__ = ["Measures", "closed_right", "measure_answers", "open_recall"]

_WORDS = re.compile(r"[^\W_]+(?:[.,]\d+)?")
_LETTER = re.compile(r"\W*([A-Za-z])(?:\W+|$)")


@dataclass(frozen=True)
class Measures:
    """Of the questions asked: how many were closed and the share answered right, how many open and the mean recall.

    None where there was no such question. `values` has each row's: 1 or 0 for closed ones, the recall for open ones.
    """

    closed: int
    closed_accuracy: float | None
    open: int
    open_recall: float | None
    values: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without those of single rows."""
        return {name: value for name, value in asdict(self).items() if name != "values"}


def measure_answers(answered: Sequence[tuple[TuningRow, str]]) -> Measures:
    """Measures of rows and what a model answered to them."""
    closed = {row.id: float(closed_right(row, text)) for row, text in answered if row.kind == "closed"}
    opened = {row.id: open_recall(row.answer, text) for row, text in answered if row.kind == "open"}
    return Measures(len(closed), _mean(closed), len(opened), _mean(opened), closed | opened)


def closed_right(row: TuningRow, text: str) -> bool:
    """Whether an answer chooses what the row's answer chooses: by its letter, its words, or the one choice it names."""
    wanted, given = _chosen(row.answer, row.choices), _chosen(text, row.choices)
    return given is not None and given == wanted


def open_recall(answer: str, text: str) -> float:
    """The share of the answer's words that a text has, each as often as the answer; case does not count."""
    wanted, given = Counter(_words(answer)), Counter(_words(text))
    return sum((wanted & given).values()) / max(wanted.total(), 1)


def _chosen(text: str, choices: Sequence[str]) -> str | None:
    """What a text chooses: a choice's words; without choices its own first word where that is yes or no, else all."""
    words = _words(text)
    if not choices:
        return None if not words else words[0] if words[0] in ("yes", "no") else " ".join(words)
    plain = [" ".join(_words(each)) for each in choices]
    said = " ".join(words)
    if said in plain:
        return said
    # "B", "B.", "(b) necrosis": a letter alone, or before one of the choices. "A lymphocyte" is no letter A.
    letter = _LETTER.match(text)
    if letter is not None and (number := ord(letter[1].lower()) - ord("a")) < len(choices):
        rest = " ".join(words[1:])
        # Choices may carry their letters themselves.
        if not rest or rest in (plain[number], plain[number].partition(" ")[2]):
            return plain[number]
    named = [each for each in plain if f" {each} " in f" {said} "]
    # "fat necrosis" names the choice of that name, not also "fat".
    whole = [
        each for each in named if not any(each != other and f" {each} " in f" {other} " for other in named)
    ]
    return whole[0] if len(whole) == 1 else None


def _words(text: str) -> list[str]:
    return _WORDS.findall(text.lower())


def _mean(values: Mapping[str, float]) -> float | None:
    return sum(values.values()) / len(values) if values else None
