"""The passages that a question is answered from: reports by their words, tissue that looks alike, slides' facts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from slidelake.errors import IndexMissingError
from slidelake.services.answers.adaptive_k import fall_off
from slidelake.services.answers.answer import unique
from slidelake.services.answers.archive_terms import archive_counts, terms_of_reports
from slidelake.services.answers.clues import clues_of
from slidelake.services.answers.evidence import Evidence, Terms
from slidelake.services.answers.facts import alike_passage, matching_slides, slide_passage
from slidelake.services.answers.passage import Passage
from slidelake.services.answers.place import Alike, Place, look_alikes
from slidelake.services.answers.support import LEAST_SURE, Support

if TYPE_CHECKING:
    from slidelake.index.reports import ReportHit
    from slidelake.services.lake import Lake

__all__ = ["Found", "retrieve"]

#: Passages that the search gives, at most two of a report: what is weighed.
_LOOKED_AT = 40
#: Other patients whose tissue is looked for.
_PATIENTS = 20
#: Passages of one report at most, and how much of what the best says the second has to say.
_OF_ONE_REPORT = 2
_SECOND = 0.5
#: A report with so much of the best one's odds is as good; with so much it may be the one that is meant.
_AS_GOOD, _MAY_BE = 0.9, 0.4
#: A report follows the one before it where its odds are at least this share: questions for several.
_FALL = 0.6

_SEVERAL = re.compile(
    r"\b(patients|reports|cases|slides|people|persons|women|men|those|all|list|any|others?|how many (?:had|have))\b"
    r"|\bwho (?:has|have)\b",
    re.IGNORECASE,
)
#: Asks for what slides' metadata say.
_OF_SLIDES = re.compile(r"\bslides?\b", re.IGNORECASE)


@dataclass(frozen=True)
class Found:
    """What was found for a question: passages (best first), and how well the best report answers."""

    passages: tuple[Passage, ...]
    notes: tuple[str, ...]
    evidence: Evidence
    support: Support
    #: How well each of many sentences answers; higher is better.
    answers: Callable[[Sequence[str]], Sequence[float]]
    #: What of the question a sentence holds that another does not, in nats.
    adds: Callable[[str, str], float]


def retrieve(
    lake: Lake, question: str, place: Place, *, k: int, exclude_own: bool, examples: int, label: str | None
) -> Found:
    """At most `k` passages for a question, fewer where the rest fits worse, and at most `examples` labelled cases.

    About a place: those of patients whose tissue looks alike, the slide's own patient first unless left out. Else of
    the whole archive.
    """
    evidence = Evidence(clues_of(question), archive_counts(lake))
    own = place.patient_id
    notes: list[str] = []
    alike: list[Alike] = []
    facts: list[Passage] = []
    if place:
        alike, notes = look_alikes(lake, place, k=max(_PATIENTS, examples))
        if own and not exclude_own:
            # The label that the cases are to teach must not stand beside the question.
            about = slide_passage(lake, place, leave_out=label or "")
            facts += [about] if about else []
        cases = (alike_passage(each, label or "") for each in alike)
        facts += [case for case in cases if case is not None][: examples or 3]
    patients = [each.patient_id for each in alike] + ([own] if own and not exclude_own else [])
    hits: Sequence[ReportHit] = []
    if patients or not place:
        hits, said = _report_hits(lake, question, patients if place else None, own if exclude_own else "")
        notes += said
    terms = terms_of_reports(lake, list(dict.fromkeys(hit.report_id for hit in hits)))
    weights = {name: evidence.of_report(own) for name, own in terms.items()}
    spots = {each.patient_id: each for each in alike}
    several = bool(place) or bool(_SEVERAL.search(question))
    odds = evidence.posterior(weights)
    kept = _kept(hits, odds, terms, evidence, several=several)[:k]
    reports = _passages(hits, kept, odds, evidence)[:k]
    passages = [_on_slide(passage, spots) for passage in reports]
    if not place and (not passages or _OF_SLIDES.search(question)):
        facts = matching_slides(lake, question, k=k)
    # Facts of slides stand behind what reports say, but before nothing at all; cases keep their own number.
    passages += facts if examples else facts[: max(k - len(passages), 1)]
    return Found(
        tuple(passages),
        unique(notes),
        evidence,
        Support(
            best=max(weights.values(), default=0.0),
            missed=evidence.missed(terms[kept[0]]) if kept else 0.0,
            sure=1.0 if several else max(odds.values(), default=1.0),
            may_be=tuple(kept),
            of_place=bool(place),
        ),
        lambda texts: _scores(question, evidence, texts),
        lambda text, beside: evidence.of_passage(Terms.read(text), beside=Terms.read(beside)),
    )


def _report_hits(
    lake: Lake, question: str, patients: list[str] | None, excluded: str
) -> tuple[Sequence[ReportHit], list[str]]:
    options: dict[str, Any] = {"k": _LOOKED_AT, "per_report": _OF_ONE_REPORT}
    if patients is not None:
        options["patients"] = patients
    if excluded:
        options["exclude_patients"] = (excluded,)
    try:
        hits = lake.search_reports(question, **options)
    except IndexMissingError:
        if lake.store.reports.ids():
            raise
        return [], ["the archive holds no reports: `slidelake reports add`"]
    return hits, list(hits.notes)


def _kept(
    hits: Sequence[ReportHit],
    odds: Mapping[str, float],
    terms: Mapping[str, Terms],
    evidence: Evidence,
    *,
    several: bool,
) -> list[str]:
    """The reports to answer from, best first: one, and those as good, or all up to where the odds fall off.

    None that lacks a rare clue which the best one holds. Where no report is likely enough to be the one that is meant
    (`support.py`), all that may be.
    """
    first = {hit.report_id: hit.rank for hit in reversed(hits)}
    ranked = sorted(odds, key=lambda name: (-odds[name], first[name]))
    if not ranked:
        return []
    best = ranked[0]
    shares = [odds[name] / odds[best] for name in ranked]
    if several:
        near = ranked[: fall_off(shares, fall=_FALL)]
    else:
        if odds[best] < LEAST_SURE:
            return [name for name, share in zip(ranked, shares, strict=True) if share >= _MAY_BE]
        near = [name for name, share in zip(ranked, shares, strict=True) if share >= _AS_GOOD]
    return [name for name in near if not evidence.lacks_rare(terms[name], terms[best])]


def _passages(
    hits: Sequence[ReportHit], kept: Sequence[str], odds: Mapping[str, float], evidence: Evidence
) -> list[Passage]:
    """The best passages of each report, in the reports' order."""
    chosen: list[Passage] = []
    for name in kept:
        own = sorted(
            (
                (evidence.of_passage(Terms.read(f"{hit.section} {hit.text}")), hit)
                for hit in hits
                if hit.report_id == name
            ),
            key=lambda pair: (-pair[0], pair[1].rank),
        )
        good = [hit for said, hit in own[:_OF_ONE_REPORT] if said >= _SECOND * own[0][0]]
        chosen += [_passage(hit, odds[name]) for hit in good]
    return chosen


def _passage(hit: ReportHit, score: float) -> Passage:
    return Passage(
        kind="report",
        text=hit.text,
        patient_id=hit.patient_id,
        report_id=hit.report_id,
        chunk_id=hit.chunk_id,
        section=hit.section,
        start=hit.start,
        end=hit.end,
        slide_id=hit.slide_ids[0] if hit.slide_ids else "",
        score=score,
        scores=dict(hit.scores),
    )


def _on_slide(passage: Passage, spots: dict[str, Alike]) -> Passage:
    """The passage with the place on its patient's slide that looks like the query."""
    alike = spots.get(passage.patient_id)
    if alike is None:
        return passage
    return replace(
        passage,
        slide_id=alike.slide_id,
        x=alike.x,
        y=alike.y,
        width=alike.width,
        height=alike.height,
        scores={**passage.scores, "similarity": alike.similarity},
    )


def _scores(question: str, evidence: Evidence, texts: Sequence[str]) -> list[float]:
    """What of the question each sentence holds, and how near it is in meaning where there is an encoder."""
    from slidelake.index.reports import sentence_encoder

    said = [evidence.of_passage(Terms.read(text)) for text in texts]
    most = max(said, default=0.0) or 1.0
    encoder = sentence_encoder()
    if encoder is None or not texts:
        return [each / most for each in said]
    vectors = encoder.encode([question, *texts])
    nearness = (1 + vectors[1:] @ vectors[0]) / 2
    return [each / most + float(near) for each, near in zip(said, nearness, strict=True)]
