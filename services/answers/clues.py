"""What a question tells of the report that answers it: numbers, concepts, other words; each a clue to look for."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
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
#: What parts a question: signs, and words that begin a clause.
_CLAUSE = re.compile(r"[,;:.?!]+\s|\?|\b(?=(?:where|in whom|in which|given)\b)", re.IGNORECASE)
#: A clause that asks begins with one of these, or gives an order.
_ASKS = re.compile(
    r"\W*(?:(?:and|in|of|at|on|to|by|for|from|please|can you|could you)\s+)*"
    r"(?:what|which|who|whose|whom|how|when|why|was|were|is|are|did|does|do|has|had|tell|state|give|name|report|find)\b",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"\d+(?:[.,]\d+)?")
#: What stands so is not the thing itself.
_BESIDE = frozenset({"behind", "below", "under", "beneath", "around", "above", "outside", "beside", "near"})
#: What questions call the archive's own things by; they say nothing of a report.
_OF_ARCHIVES = frozenset(
    re.findall(
        r"[\w']+",
        "slide slides archive archives reported documented known seen shown there discussing thinking talking board "
        "query mdt ours specimen specimens retrieved harvested yield",
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
    #: It stands in the part that asks ("…: how big was it?"), not in the one that tells of the case.
    asks: bool = False


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
    would do. Other words of one phrase share its number, because they mean what they mean together. Where one clause
    tells of a case and another asks, the clues of the latter are marked.
    """
    asking = _asking(question)
    if asking is None:
        return _clues(question)
    start, end = asking
    told = _clues(question[:start] + " . " + question[end:])
    known = {form for clue in told for form in clue.forms}
    more = [replace(clue, asks=True) for clue in _clues(question[start:end]) if not clue.forms & known]
    return [*told, *more]


def _asking(question: str) -> tuple[int, int] | None:
    """The span of the one clause that asks; None where all do or none does: then all of it tells of the case."""
    borders = [0]
    for match in _CLAUSE.finditer(question):
        borders.append(match.end())
    clauses = [
        (start, end)
        for start, end in zip(borders, [*borders[1:], len(question)], strict=True)
        if any(sign.isalnum() for sign in question[start:end])
    ]
    asking = [span for span in clauses if _ASKS.match(question, *span)]
    return asking[0] if len(asking) == 1 and len(clauses) > 1 else None


def _clues(question: str) -> list[Clue]:
    words = words_in(question)
    named = _names(words)
    numbers = _numbers(question)
    told = {name for clue in numbers for form in clue.forms for name in _TOLD.get(_figure(form), ())}
    inside = {place for first, length in named for place in range(first, first + length)}
    named = {span: forms for span, forms in named.items() if not forms & told}
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
        counts = _DIGITS.fullmatch(word.lower) or number_of(["one", word.lower]) is not None
        counts = counts or number_of([word.lower]) is not None
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
        if any(word.lower in _BESIDE for word in words[max(0, first - 2) : first]):
            continue  # "the gland behind the stomach" is no stomach
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
