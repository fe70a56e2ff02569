"""How strongly a report's words speak for its being the one that answers, in nats.

Each clue of the question is a test: the report that answers holds it with a probability that depends on the clue's
kind (HOLDS), any other report with the share of reports that do, more for a long report than for a short one. The sum
of the log-likelihood ratios is the report's evidence: a rare clue that is there speaks for it, a common one that is
missing speaks against it. This is the binary independence model (Robertson & Sparck Jones 1976) with its misses kept.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slidelake.index.reports import FIELDS, read_terms
from slidelake.services.answers.clues import Clue, TermCounts

__all__ = ["HOLDS", "RARE", "Evidence", "Terms", "all_terms"]

#: How often the report that answers holds a clue of the question. Numbers and concepts meet whatever way they are
#: written; of other words those who ask often use others.
HOLDS = {"number": 0.95, "sense": 0.7, "concept": 0.9, "word": 0.15}

#: How much longer reports hold more by chance: the exponent of their length in averages (1: in proportion).
_LENGTH = 0.4
#: A clue that stands in a report again speaks so much more for it, a share of itself a nat of how often it stands;
#: a concept so many nats besides, however common: a report is about what it says again and again.
_AGAIN, _ABOUT = 0.15, 0.2
#: How much oftener longer reports say a thing: the exponent of their length in averages.
_OFTENER = 0.3
#: A concept in more reports than this is what all are about.
_COMMON = 0.6
#: What a word that is no name of anything counts beside one that is.
_WORD = 0.25
#: What a clue of the part that asks counts beside one of the part that tells.
_ASKED = 0.5
#: A clue that at most so many of the reports hold tells them apart.
RARE = 0.2


@dataclass(frozen=True)
class Terms:
    """A text as it is weighed: the terms it holds, each with how often, and how many there are in all."""

    times: Mapping[str, int]
    length: int

    @classmethod
    def of(cls, terms: Sequence[str]) -> "Terms":
        return cls(Counter(terms), len(terms))

    @classmethod
    def read(cls, text: str) -> "Terms":
        """The terms of a text."""
        return cls.of(all_terms(text))

    def holds(self, clue: Clue) -> bool:
        """Is any form of the clue there?"""
        return any(form in self.times for form in clue.forms)

    def often(self, clue: Clue) -> int:
        """How often the form is there that is there most."""
        return max((self.times.get(form, 0) for form in clue.forms), default=0)


def all_terms(text: str) -> tuple[str, ...]:
    """The terms of a text in one list, each as often as it is there."""
    read = read_terms(text)
    return tuple(term for name in FIELDS for term in read.of(name))


class Evidence:
    """Weighs texts for one question."""

    def __init__(self, clues: Sequence[Clue], counts: TermCounts) -> None:
        self.clues = tuple(clues)
        self._counts = counts
        self._shares = [min(counts.share(clue), 0.98) for clue in self.clues]

    def of_report(self, report: Terms) -> float:
        """Nats that a whole report's words speak for it; 0 for one that is as any other."""
        length = max(report.length, 1) / self._counts.average
        longer = length**_LENGTH
        total = 0.0
        found: dict[int, float] = {}
        for clue, share in zip(self.clues, self._shares, strict=True):
            by_chance = min(max(1 - (1 - share) ** longer, 1e-6), 0.99)
            holds = HOLDS[clue.kind]
            often = report.often(clue)
            if not often:
                # What asks is often in other words than what answers.
                total += 0.0 if clue.asks else min(0.0, math.log((1 - holds) / (1 - by_chance)))
                continue
            speaks = (_ASKED if clue.asks else 1.0) * max(0.0, math.log(holds / by_chance))
            if clue.kind == "word":
                found[clue.phrase] = found.get(clue.phrase, 0.0) + _WORD * speaks
                continue
            again = max(0.0, math.log(often) - _OFTENER * math.log(length)) if often > 1 else 0.0
            total += speaks * (1 + _AGAIN * again)
            if clue.kind == "concept" and share < _COMMON:
                total += _ABOUT * again
        # A phrase speaks as far as it is there: one word of "fluid-filled spaces" may stand in any sense.
        return total + sum(nats * self._whole(phrase, report) for phrase, nats in found.items())

    def _whole(self, phrase: int, report: Terms) -> float:
        own = [clue for clue in self.clues if clue.kind == "word" and clue.phrase == phrase]
        return (sum(1 for clue in own if report.holds(clue)) / len(own)) ** 2

    def of_passage(self, passage: Terms, *, beside: Terms | None = None) -> float:
        """How much of what the question asks stands in a passage or sentence: the information of its clues, nats.

        `beside` another text: only of the clues that that one does not hold.
        """
        return sum(
            -math.log(share)
            for clue, share in zip(self.clues, self._shares, strict=True)
            if clue.kind != "sense" and passage.holds(clue) and not (beside and beside.holds(clue))
        )

    @property
    def telling(self) -> list[Clue]:
        """The clues that tell of the case; all of them where a question only asks."""
        return [clue for clue in self.clues if not clue.asks] or list(self.clues)

    @property
    def reports(self) -> int:
        """How many reports the shares were counted over."""
        return self._counts.reports

    def unknown(self) -> list[Clue]:
        """Clues that no report of the archive holds."""
        return [clue for clue in self.telling if clue.kind != "sense" and not self._counts.knows(clue)]

    def missed(self, report: Terms) -> float:
        """The share, in 0…1, of the information of the question's clues that a report does not hold."""
        told = self.telling
        asked = [
            (c, -math.log(share)) for c, share in zip(self.clues, self._shares, strict=True) if c in told
        ]
        total = sum(nats for clue, nats in asked if clue.kind != "sense")
        lacks = sum(nats for clue, nats in asked if clue.kind != "sense" and not report.holds(clue))
        return lacks / total if total else 0.0

    def lacks_rare(self, report: Terms, best: Terms) -> bool:
        """Does a report lack a rare number or concept of the question that the best one holds?"""
        return any(
            share <= RARE and best.holds(clue) and not report.holds(clue)
            for clue, share in zip(self.clues, self._shares, strict=True)
            if clue.kind in ("number", "concept")
        )

    def posterior(self, evidence: Mapping[str, float]) -> dict[str, float]:
        """For each report the probability that it is the one, among those given."""
        if not evidence:
            return {}
        best = max(evidence.values())
        odds = {name: math.exp(nats - best) for name, nats in evidence.items()}
        total = sum(odds.values())
        return {name: odd / total for name, odd in odds.items()}
