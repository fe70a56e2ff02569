"""Which words of a passage a citation in an answer rests on, and what of the answer stands in no passage."""

import re
from collections.abc import Sequence

from slidelake.services.answers.passage import Passage
from slidelake.services.answers.sentences import Sentence, sentences
from slidelake.services.answers.terms import numbers, words

__all__ = ["quoted", "strange_numbers"]

_MARKERS = re.compile(r"(?:\[\d+\])+")
_NUMBER = re.compile(r"\[(\d+)\]")


def quoted(text: str, n: int, passage: Passage) -> Sentence:
    """The sentence of the passage that says most of what `text` claims before each `[n]`."""
    claimed: set[str] = set()
    for claim, cited in _claims(text):
        if n in cited:
            claimed |= words(claim) | numbers(claim)
    found = sentences(passage.text)
    if not found:
        return Sentence(0, len(passage.text), passage.text)
    return max(found, key=lambda each: _shared(each, claimed))


def strange_numbers(text: str, cited: Sequence[Passage]) -> list[str]:
    """Numbers that the answer states and none of the passages it cites for them holds; `cited[n - 1]` is `[n]`."""
    strange: list[str] = []
    for claim, marks in _claims(text):
        known: set[str] = set()
        for n in marks:
            known |= numbers(cited[n - 1].text)
        strange += [number for number in sorted(numbers(claim) - known) if marks and number not in strange]
    return strange


def _claims(text: str) -> list[tuple[str, set[int]]]:
    """What stands before each run of markers, back to the marker or the sentence before, and the run's numbers."""
    found = []
    begin = 0
    for match in _MARKERS.finditer(text):
        claim = text[begin : match.start()].strip()
        last = re.split(r"(?<=[.!?])\s+(?=\S)", claim)[-1] if claim else ""
        found.append((last, {int(number) for number in _NUMBER.findall(match[0])}))
        begin = match.end()
    return found


def _shared(sentence: Sentence, claimed: set[str]) -> float:
    own = words(sentence.text) | numbers(sentence.text)
    # Of two that share as much the shorter says it more plainly.
    return len(own & claimed) - len(own) / 1000
