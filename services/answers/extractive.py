"""An answer without a model: the sentences that answer best, quoted word for word, each with its number."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slidelake.services.answers.passage import Passage
from slidelake.services.answers.sentences import Sentence, sentences

__all__ = ["Quote", "compose", "pick"]

#: Quotes of one answer at most.
MOST_QUOTES = 6
#: A second sentence of a passage is quoted where it adds so many nats of the question to the first, or scores at
#: least this share of it.
_ADDS = 1.0
_NEARLY = 0.8

#: What a reader of the text could take for one of our citations.
_LOOKS_CITED = re.compile(r"[\[【](\s*\^?\d+(?:\s*[,;–-]\s*\d+)*\s*)[\]】]")

Score = Callable[[Sequence[str]], Sequence[float]]
Adds = Callable[[str, str], float]


@dataclass(frozen=True)
class Quote:
    """A sentence of a passage; `passage` is its place among those that were given."""

    passage: int
    sentence: Sentence


def pick(passages: Sequence[Passage], score: Score, adds: Adds) -> list[Quote]:
    """The sentences to quote: the best of each passage in the passages' order, and a second one.

    The second says what of the question the best does not, or is as good. `score` says how well each of many texts
    answers, higher is better; `adds` how much of the question the first of two texts holds beyond the second.
    """
    cut = [(n, each) for n, passage in enumerate(passages) for each in sentences(passage.text)]
    scores = score([each.text for _, each in cut])
    # Many reports get a quote each before one gets many.
    each_source = max(1, MOST_QUOTES // max(1, len({passage.source for passage in passages})))
    chosen: list[Quote] = []
    for n in range(len(passages)):
        own = sorted(
            ((s, each) for (of, each), s in zip(cut, scores, strict=True) if of == n),
            key=lambda pair: (-pair[0], pair[1].start),
        )
        if not own:
            continue
        (best, first), rest = own[0], own[1:]
        good = [first]
        if rest:
            more = [(adds(each.text, first.text), s, each) for s, each in rest]
            added, s, second = max(more, key=lambda each: (each[0], each[1], -each[2].start))
            if added < _ADDS:
                s, second = rest[0]
            if added >= _ADDS or s >= _NEARLY * best:
                good.append(second)
        of_source = sum(passages[quote.passage].source == passages[n].source for quote in chosen)
        good = good[: max(each_source - of_source, 0)]
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
