"""Questions about a patch from its findings: multiple choice, yes or no, open. Each has its finding's evidence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from slidelake.services.tuning.data.choices import keyed_random, lettered, one_of, plain, with_distractors
from slidelake.services.tuning.data.describe import Finding
from slidelake.services.tuning.data.row import Evidence

__all__ = ["Question", "questions_of"]

_CELLULARITY = ("sparsely cellular", "moderately cellular", "densely cellular")
_ASKS = {
    "tissue": (
        "Which tissue fills most of this patch?",
        "What is the main tissue here?",
        "Which of these does the patch mainly show?",
    ),
    "organ": ("Which organ is this tissue from?", "Where in the body was this taken?"),
    "cellularity": ("How cellular is this field?", "How densely do the nuclei stand?"),
    "diagnosis": ("Which tumour is this?", "What is the diagnosis of the tumour in this patch?"),
}
_OPEN = {
    "tissue": ("What tissue is this?", "Name the tissue that fills most of the patch."),
    "organ": ("Name the organ of this tissue.",),
    "diagnosis": ("Name this tumour.",),
}
#: The share of patches that are asked about their case.
_OF_CASE = 0.25
_MAINLY = ("Is most of this patch {0}?", "Does this patch show mainly {0}?")


@dataclass(frozen=True)
class Question:
    """A question, its answer, and what the finding behind it rests on."""

    topic: str
    text: str
    answer: str
    kind: Literal["closed", "open"]
    choices: tuple[str, ...]
    evidence: tuple[Evidence, ...]


def questions_of(
    findings: Sequence[Finding], pools: dict[str, Sequence[str]], *key: object
) -> Iterator[Question]:
    """The questions that the findings answer for sure, worded by the key.

    `pools` has what other patches of the cohort are, by kind: wrong choices come from there. A likeness is no sure
    answer, and is never asked about; what it names is no wrong choice either.
    """
    true = [
        finding.value for finding in findings if finding.kind in ("tissue", "likeness", "diagnosis", "organ")
    ]
    for finding in findings:
        topic, right, evidence = finding.kind, finding.value, finding.evidence
        asks = _ASKS.get(topic)
        if asks is None:
            continue
        # What is true of the whole case is asked of few of its patches, in one form, or it would crowd out the rest.
        of_case = topic in ("organ", "diagnosis")
        drawn = keyed_random("case", *key, topic).random() if of_case else 0.0
        if drawn >= _OF_CASE:
            continue
        asked = one_of(asks, *key, topic)
        if topic == "cellularity":
            wrong = [each for each in _CELLULARITY if each != right]
            made = lettered(asked, right, wrong, *key, topic)
        else:
            pool = pools.get(topic, ())
            chosen = with_distractors(asked, right, pool, true, *key, topic)
            if chosen is None:
                continue
            made = chosen
        if not of_case or drawn < _OF_CASE / 2:
            yield Question(topic, made.text, made.answer, "closed", made.choices, evidence)
        if topic in _OPEN and (not of_case or drawn >= _OF_CASE / 2):
            yield Question(topic, one_of(_OPEN[topic], *key, topic, "open"), right, "open", (), evidence)
        if topic == "tissue":
            yield from _yes_or_no(finding, pools.get(topic, ()), true, *key)


def _yes_or_no(
    finding: Finding, pool: Iterable[str], true: Iterable[str], *key: object
) -> Iterator[Question]:
    """Whether most of the patch is its tissue, or another; as often the one as the other."""
    chance = keyed_random("mainly", *key)
    told = {plain(each) for each in true}
    others = sorted({each for each in pool if plain(each) not in told})
    says = "no" if others and chance.random() < 0.5 else "yes"
    named = chance.choice(others) if says == "no" else finding.value
    text = one_of(_MAINLY, *key, "mainly").format(named)
    yield Question("tissue", text, says, "closed", ("yes", "no"), finding.evidence)
