"""Whether the archive answers at all: a criterion that was fixed on one set of questions and measured on another.

It abstains in two cases, and says which:

unknown   the share of the question's clues that stand in no report of the archive is more than MOST_UNKNOWN.
          Numbers and concepts count, and so do words: what nobody ever wrote about cannot be answered.
thin      the best report's evidence (`evidence.py`, nats) is less than LEAST_EVIDENCE, and it holds less than
          MOST_ASKED of what is asked: no report holds more of it than any report would by chance. In a small
          archive evidence is never large: there what the report holds decides.

A question about a place is answered from the reports of patients whose tissue looks alike: there the tissue has
found them, and only the first case counts.
"""

from slidelake.services.answers.evidence import Evidence

__all__ = ["ABSTAINS", "LEAST_EVIDENCE", "MOST_ASKED", "MOST_UNKNOWN", "abstention"]

ABSTAINS = "The archive's reports do not answer this"

#: Of develop's questions, see README.md: above it lie 4 of 5 of those without an answer, and none of those with one.
MOST_UNKNOWN = 0.3
LEAST_EVIDENCE = 2.5
#: Of the information of the question's clues.
MOST_ASKED = 0.7


def abstention(evidence: Evidence, best: float, asked: float, *, passages: int, of_place: bool) -> str:
    """Why there is no answer, as a sentence for people; empty where there is one.

    `best` is the evidence of the best report in nats, `asked` the share of the question's information that it holds,
    `passages` how many passages were found.
    """
    if not passages:
        return f"{ABSTAINS}: there is no report to look into."
    unknown = evidence.unknown()
    if unknown and len(unknown) > MOST_UNKNOWN * len(evidence.clues):
        words = ", ".join(f"“{clue.text}”" for clue in unknown[:5])
        return f"{ABSTAINS}: none speaks of {words}."
    if not of_place and best < LEAST_EVIDENCE and asked < MOST_ASKED:
        return f"{ABSTAINS}: none holds enough of what is asked."
    return ""
