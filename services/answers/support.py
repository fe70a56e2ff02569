"""Whether the archive answers at all: a criterion that was fixed on one set of questions and measured on another.

It abstains in four cases, and says which:

unknown   the share of the question's clues that stand in no report of the archive is more than MOST_UNKNOWN.
          Numbers and concepts count, and so do words: what nobody ever wrote about cannot be answered.
missed    the best report lacks more than MOST_MISSED of the question's information: the clues, each weighed by how
          rare it is in the archive.
thin      it lacks more than HALF of it, and its evidence (`evidence.py`, nats) is less than LEAST_EVIDENCE, in a small
          archive less than LEAST_SHARE of the logarithm of its reports. A short question whose clues are all there
          is answered, however common they are.
unsure    the question is for one report, and none is it with a probability of LEAST_SURE: several fit about as well.

Where the best report's evidence is STRONG nats or more, its words say that it is the one whatever else the question
has: those who ask call things by names that no report has.

A question about a place is answered from the reports of patients whose tissue looks alike: there the tissue has
found them, and only the first case counts.
"""

import math
from dataclasses import dataclass

from slidelake.services.answers.evidence import Evidence, Terms

__all__ = [
    "ABSTAINS", "HALF", "LEAST_EVIDENCE", "LEAST_SHARE", "LEAST_SURE", "MOST_MISSED", "MOST_UNKNOWN", "STRONG",
    "STRONG_SHARE", "Support", "abstention",
]  # fmt: skip

ABSTAINS = "The archive's reports do not answer this"

#: Chosen on develop's questions. No answerable one had more than 0.18 unknown, and 9 of 10 of the others 0.33 or more.
MOST_UNKNOWN = 0.25
#: 99 of 100 answerable ones miss less than this; what asks is often in other words than what answers.
MOST_MISSED = 0.7
HALF = 0.5
#: Nats, and the share of the logarithm of a small archive's reports. Nine of ten answerable questions of all wordings
#: have more, one of fifty of the others.
STRONG = 8.0
STRONG_SHARE = 4 / 3
LEAST_EVIDENCE = 4.0
LEAST_SHARE = 0.65
#: More likely than not: the best of two that are alike has less.
LEAST_SURE = 0.55
#: Reports that are named where several fit.
_NAMED = 5


@dataclass(frozen=True)
class Support:
    """How well the best report answers.

    `best` is its evidence in nats, `missed` the share of the question's information that it lacks, `sure` the
    probability that it is the one meant (1 where several are asked for), `may_be` the reports that may be, best first.
    """

    best: float
    missed: float
    sure: float
    may_be: tuple[str, ...]
    of_place: bool


def abstention(evidence: Evidence, support: Support, *, passages: int, facts: str = "") -> str:
    """Why there is no answer, as a sentence for people; empty where there is one.

    `passages` is how many were found; `facts` is what the archive knows of slides and patches among them.
    """
    if not passages:
        return f"{ABSTAINS}: there is no report to look into."
    reports = math.log(evidence.reports + 1)
    strong = not support.of_place and support.best >= min(STRONG, STRONG_SHARE * reports)
    said = Terms.read(facts)
    unknown = [clue for clue in evidence.unknown() if not said.holds(clue)]
    asked = sum(clue.kind != "sense" for clue in evidence.telling)
    if not strong and len(unknown) > MOST_UNKNOWN * asked:
        words = ", ".join(f"“{clue.text}”" for clue in unknown[:5])
        return f"{ABSTAINS}: none speaks of {words}."
    if support.of_place or not support.may_be:
        return ""
    thin = support.missed > HALF and support.best < min(LEAST_EVIDENCE, LEAST_SHARE * reports)
    if thin or (not strong and support.missed > MOST_MISSED) or not asked:
        return f"{ABSTAINS}: none holds enough of what is asked."
    if support.sure < LEAST_SURE:
        named = ", ".join(support.may_be[:_NAMED])
        more = " and others" if len(support.may_be) > _NAMED else ""
        return (
            f"{ABSTAINS} for sure: several fit about as well ({named}{more}). Tell more of the case, or ask "
            "“which patients”."
        )
    return ""
