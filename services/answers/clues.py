"""What a question tells of the report that answers it: numbers, concepts, other words; each a clue to look for."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from slidelake.index.reports import Word, default_lexicon, number_of, read_terms, words_in

__all__ = ["Clue", "TermCounts", "clues_of"]

ClueKind = Literal["number", "sense", "concept", "word"]
#: Numbers with what they are of: the size of a tumour, the total of lymph nodes. Each is also there as a plain one.
_SENSES = ("size", "total", "involved")

_FIGURES = re.compile(r"^[a-z]+")
#: What numbers of a kind already say: "two of nineteen positive" is no other "positive", "a diameter of 3 cm" no other
#: diameter.
_TOLD = {
    "involved": ("c:positive", "c:negative"),
    "size": ("c:diameter",),
}
#: What ends a phrase: a sign, or a word that joins phrases.
_BREAK = re.compile(r"[,;:.?!()]")
_JOINTS = frozenset(
    re.findall(
        r"[\w']+",
        "and or where with without who whose which what how had has was were in of",
    )
)
_DIGITS = re.compile(r"\d+(?:[.,]\d+)?")
#: What questions call the archive's own things by; they say nothing of a report.
_OF_ARCHIVES = frozenset(
    re.findall(
        r"[\w']+",
        "slide slides archive archives reported documented known seen shown there",
    )
)
_UNITS = frozenset(
    re.findall(
        r"[\w']+",
        "mm cm g kg gm gram grams millimet millimeter millimetr centimet centimeter centimetr",
    )
)


@dataclass(frozen=True)
class Clue:
    """`text` as the question has it; a report that holds one of `forms` (terms of `read_terms`) holds the clue."""

    kind: ClueKind
    text: str
    forms: frozenset[str]
    #: Which phrase of the question a word stands in; words of one phrase are weighed together.
    phrase: int = 0


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
    """The clues of a question, each once.

    A name of several words is one clue, a number with its unit is, and so are names joined by "or", each of which
    would do. Other words of one phrase share its number, because they mean what they mean together.
    """
    words = words_in(question)
    named = _names(words)
    numbers = _numbers(question)
    told = {name for clue in numbers for form in clue.forms for name in _TOLD.get(_figure(form), ())}
    named = {span: forms for span, forms in named.items() if not forms & told}
    inside = {place for first, length in named for place in range(first, first + length)}
    found = [*numbers, *_concepts(question, words, named)]
    # What a grade group is written with is read with its number.
    spoken_for = _UNITS | _OF_ARCHIVES
    if any(form.startswith("gg") for clue in found for form in clue.forms):
        spoken_for |= {"isup", "gleason", "grade", "group", "score"}
    phrase = 0
    for place, word in enumerate(words):
        if place and _BREAK.search(question, words[place - 1].end, word.start):
            phrase += 1
        if word.lower in _JOINTS:
            phrase += 1
        counts = _DIGITS.fullmatch(word.lower) or number_of([word.lower]) is not None
        # "how big", "how many": no report says so.
        asks = bool(place) and words[place - 1].lower == "how"
        if place in inside or counts or asks or {word.stem, word.lower} & spoken_for:
            continue
        forms = set(read_terms(word.lower).words)
        if forms:
            found.append(Clue("word", question[word.start : word.end], frozenset(forms), phrase))
    return list({clue.forms: clue for clue in found}.values())


def _figure(term: str) -> str:
    match = _FIGURES.match(term)
    return match[0] if match else ""


def _names(words: list[Word]) -> dict[tuple[int, int], set[str]]:
    """(first word, number of words) of the lexicon's names, and the terms of what each stands for."""
    lexicon = default_lexicon()
    taken: set[int] = set()
    spans: dict[tuple[int, int], set[str]] = {}
    for first, length, concept in sorted(lexicon.find(words), key=lambda each: (-each[1], each[0])):
        span = set(range(first, first + length))
        if span & taken and (first, length) not in spans:
            continue  # inside a longer name: "bladder" says nothing of its own in "gall bladder"
        taken |= span
        forms = spans.setdefault((first, length), set())
        forms.add("c:" + lexicon.names[concept].replace(" ", "-"))
        if length == 1:
            forms.add(words[first].stem)
    return spans


def _concepts(question: str, words: list[Word], named: dict[tuple[int, int], set[str]]) -> list[Clue]:
    found: list[Clue] = []
    last = -2
    for (first, length), forms in sorted(named.items()):
        start = words[first].start
        if found and first == last + 1 and words[last].lower == "or":
            before = found.pop()
            forms = forms | before.forms
            start = question.rindex(before.text, 0, start)
        found.append(Clue("concept", question[start : words[first + length - 1].end], frozenset(forms)))
        last = first + length
    return found


def _numbers(question: str) -> list[Clue]:
    """Measures, and numbers that are none: "17 nodes" is `nodes17`, and its bare `n17` no clue of its own."""
    read = read_terms(question, question=True)
    measured = {_FIGURES.sub("", term) for term in read.measures}
    bare = [term for term in read.numbers if not (term[0] == "n" and term[1:] in measured)]
    if any(term.startswith("g") for term in read.measures):
        # A weight stands with its number as it was written, in whatever unit.
        bare = [term for term in bare if "." not in term]
    return [
        Clue("sense" if term.startswith(_SENSES) else "number", term, frozenset({term}))
        for term in dict.fromkeys([*read.measures, *bare])
    ]
