"""Whether the archive answers at all: a criterion that was fixed on one set of questions and measured on another.

It abstains in two cases, and says which:

unknown   the share of the question's clues that stand in no report of the archive is more than MOST_UNKNOWN.
          Numbers and concepts count, and so do words: what nobody ever wrote about cannot be answered.
thin      the best report's evidence (`evidence.py`, nats) is less than LEAST_EVIDENCE, in a small archive less than
          LEAST_SHARE of the logarithm of its reports: it holds no more of what is asked than any would by chance.

A question about a place is answered from the reports of patients whose tissue looks alike: there the tissue has
found them, and only the first case counts.
"""

import math

from slidelake.services.answers.evidence import Evidence, Terms

__all__ = ["ABSTAINS", "LEAST_EVIDENCE", "LEAST_SHARE", "MOST_UNKNOWN", "abstention"]

ABSTAINS = "The archive's reports do not answer this"

#: On develop's questions no answerable one had more than 0.18 unknown, and 9 of 10 of the others had 0.33 or more.
MOST_UNKNOWN = 0.25
LEAST_EVIDENCE = 2.5
LEAST_SHARE = 0.4


def abstention(evidence: Evidence, best: float, *, passages: int, of_place: bool, facts: str = "") -> str:
    """Why there is no answer, as a sentence for people; empty where there is one.

    `best` is the evidence of the best report in nats, `passages` how many passages were found; `facts` is what the
    archive knows of slides and patches among them.
    """
    if not passages:
        return f"{ABSTAINS}: there is no report to look into."
    said = Terms.read(facts).held
    unknown = [clue for clue in evidence.unknown() if not clue.forms & said]
    if unknown and len(unknown) > MOST_UNKNOWN * len(evidence.clues):
        words = ", ".join(f"“{clue.text}”" for clue in unknown[:5])
        return f"{ABSTAINS}: none speaks of {words}."
    least = min(LEAST_EVIDENCE, LEAST_SHARE * math.log(evidence.reports + 1))
    if not of_place and best < least:
        return f"{ABSTAINS}: none holds enough of what is asked."
    return ""
