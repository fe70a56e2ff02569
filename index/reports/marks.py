"""Which words of a passage meet a question: what a list of hits marks for the eye."""

from __future__ import annotations

from slidelake.index.reports.lexicon import Lexicon, default_lexicon
from slidelake.index.reports.stems import words_in
from slidelake.index.reports.terms import numbers_in, read_terms, terms_of_number

__all__ = ["marked_spans"]


def marked_spans(text: str, question: str, lexicon: Lexicon | None = None) -> list[tuple[int, int]]:
    """Spans of `text`, in order and apart, that say a word, a number or a concept of the question."""
    lexicon = lexicon or default_lexicon()
    asked = read_terms(question, lexicon)
    figures = set(asked.measures) | set(asked.numbers)
    words = words_in(text)
    places: set[int] = set()
    for first, length, value in numbers_in(words):
        if figures & set(terms_of_number(text, words, first, length, value)):
            places |= set(range(first, first + length))
    for first, length, concept in lexicon.find(words):
        if "c:" + lexicon.names[concept].replace(" ", "-") in asked.concepts:
            places |= set(range(first, first + length))
    wanted = set(asked.words)
    places |= {place for place, word in enumerate(words) if word.stem in wanted}
    spans: list[tuple[int, int]] = []
    for place in sorted(places):
        start, end = words[place].start, words[place].end
        if spans and text[spans[-1][1] : start].isspace():
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans
