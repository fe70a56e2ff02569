"""An answer without a model: the sentences that answer best, quoted word for word, each with its number."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slidelake.services.answers.passage import Passage
from slidelake.services.answers.sentences import Sentence, sentences

__all__ = ["Quote", "compose", "pick"]

#: Quotes of one answer at most, and of one passage.
MOST_QUOTES = 6
MOST_OF_ONE = 2
#: A second sentence of a passage is quoted where it scores at least this share of the first.
_NEARLY = 0.8

#: What a reader of the text could take for one of our citations.
_LOOKS_CITED = re.compile(r"[\[【](\s*\^?\d+(?:\s*[,;–-]\s*\d+)*\s*)[\]】]")

Score = Callable[[Sequence[str]], Sequence[float]]


@dataclass(frozen=True)
class Quote:
    """A sentence of a passage; `passage` is its place among those that were given."""

    passage: int
    sentence: Sentence


def pick(passages: Sequence[Passage], score: Score) -> list[Quote]:
    """The sentences to quote: the best of each passage in the passages' order, a second one where it is as good.

    `score` says how well each of many texts answers, higher is better.
    """
    cut = [(n, each) for n, passage in enumerate(passages) for each in sentences(passage.text)]
    scores = score([each.text for _, each in cut])
    chosen: list[Quote] = []
    for n in range(len(passages)):
        own = sorted(
            ((s, each) for (of, each), s in zip(cut, scores, strict=True) if of == n),
            key=lambda pair: (-pair[0], pair[1].start),
        )
        good = [each for s, each in own[:MOST_OF_ONE] if s >= _NEARLY * own[0][0]]
        chosen += [Quote(n, each) for each in sorted(good, key=lambda each: each.start)]
    return chosen[:MOST_QUOTES]


def compose(passages: Sequence[Passage], quotes: Sequence[Quote]) -> str:
    """The quotes as lines of text, numbered from 1 in their order; white space is made plain, nothing else."""
    lines = []
    for n, quote in enumerate(quotes, start=1):
        passage = passages[quote.passage]
        words = " ".join(quote.sentence.text.split())
        # `[2]` in a report is no citation of ours, and must not look like one.
        words = _LOOKS_CITED.sub(r"(\1)", words)
        if passage.kind == "report":
            section = f", {passage.section}" if passage.section else ""
            lines.append(
                f"Patient {passage.patient_id}, report {passage.report_id}{section}: “{words}” [{n}]"
            )
        else:
            lines.append(f"{words} [{n}]")
    return "\n".join(lines)
