"""What a question tells of the report that answers it: numbers, concepts, other words; each a clue to look for."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from slidelake.index.reports.lexicon import default_lexicon
from slidelake.index.reports.numerals import number_of
from slidelake.index.reports.stems import words_in
from slidelake.index.reports.terms import read_terms

__all__ = ["Clue", "TermCounts", "clues_of"]

ClueKind = Literal["number", "concept", "word"]

#: Numbers with their unit, stages and grade groups, as `read_terms` writes them.
_NUMBER = re.compile(r"(?:mm|g|pct|gg|n)\d+(?:\.\d+)?(?:e[+-]\d+)?|t(?:[0-4][a-d]?|is)|[nm]_[0-3x][a-c]?")
_DIGITS = re.compile(r"\d+(?:[.,]\d+)?")
_UNITS = frozenset("mm cm g kg gm gram grams millimet millimeter millimetr centimet centimeter centimetr".split())


@dataclass(frozen=True)
class Clue:
    """`text` as the question has it; a report that holds one of `forms` (terms of `read_terms`) holds the clue."""

    kind: ClueKind
    text: str
    forms: frozenset[str]


class TermCounts:
    """In how many reports each term stands; `average` terms has a report."""

    def __init__(self, reports: Iterable[Iterable[str]]) -> None:
        self._counts: dict[str, int] = {}
        self.reports = 0
        total = 0
        for terms in reports:
            listed = list(terms)
            total += len(listed)
            self.reports += 1
            for term in set(listed):
                self._counts[term] = self._counts.get(term, 0) + 1
        self.average = total / self.reports if self.reports else 1.0

    def share(self, clue: Clue) -> float:
        """The share of reports that hold the clue, smoothed: never 0 or 1."""
        held = max((self._counts.get(form, 0) for form in clue.forms), default=0)
        return (held + 0.5) / (self.reports + 1)

    def knows(self, clue: Clue) -> bool:
        """Does any report hold it?"""
        return any(form in self._counts for form in clue.forms)


def clues_of(question: str) -> list[Clue]:
    """The clues of a question, each once: a name of several words is one clue, and so is a number with its unit."""
    found = [*_numbers(question)]
    words = words_in(question)
    lexicon = default_lexicon()
    taken: set[int] = set()
    named = sorted(lexicon.find(words), key=lambda each: (-each[1], each[0]))
    spans: dict[tuple[int, int], set[str]] = {}
    for first, length, concept in named:
        span = set(range(first, first + length))
        if span & taken and (first, length) not in spans:
            continue  # inside a longer name: "bladder" says nothing of its own in "gall bladder"
        taken |= span
        forms = spans.setdefault((first, length), set())
        forms.add("c:" + lexicon.names[concept].replace(" ", "-"))
        if length == 1:
            forms.add(words[first].stem)
    for (first, length), forms in spans.items():
        text = question[words[first].start : words[first + length - 1].end]
        found.append(Clue("concept", text, frozenset(forms)))
    for place, word in enumerate(words):
        counts = _DIGITS.fullmatch(word.lower) or number_of([word.lower]) is not None
        if place in taken or counts or word.stem in _UNITS or word.lower in _UNITS:
            continue
        forms = {term for term in read_terms(word.lower).terms if not _NUMBER.fullmatch(term)}
        if forms:
            found.append(Clue("word", question[word.start : word.end], frozenset(forms)))
    return list({clue.forms: clue for clue in found}.values())


def _numbers(question: str) -> list[Clue]:
    terms = [term for term in read_terms(question).terms if _NUMBER.fullmatch(term)]
    found = []
    for place, term in enumerate(terms):
        # A weight is written with its bare number beside it: one clue, not two.
        if term.startswith("n") and place and terms[place - 1].startswith("g") and term[1].isdigit():
            continue
        found.append(Clue("number", term, frozenset({term})))
    return found
