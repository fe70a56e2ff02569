"""What is known of a patch, as findings with their evidence, and the sentences that say it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slidelake.services.tuning.data.choices import one_of
from slidelake.services.tuning.data.patch_labels import Neighbours
from slidelake.services.tuning.data.patch_measures import PatchMeasures
from slidelake.services.tuning.data.row import Evidence, PatchPlace
from slidelake.services.tuning.data.vocabulary import mentions, organ_in

if TYPE_CHECKING:
    from slidelake.store import Report

__all__ = ["Finding", "ReportFacts", "describe", "facts_of_reports", "findings_of_patch"]

#: Parts of a report that name the organ and the diagnosis of the case.
_SECTIONS = ("FINAL DIAGNOSIS", "DIAGNOSIS")
_TISSUE = ("Most of this patch is {0}.", "This patch shows mainly {0}.", "{1} fills most of the patch.")
_LIKE = ("The tissue looks like {0}.", "In texture it resembles {0}.")
_ORGAN = ("It is tissue of the {0}.", "The specimen is of the {0}.")


@dataclass(frozen=True)
class Finding:
    """One thing known of a patch. `kind` is tissue, likeness, organ, diagnosis, cellularity, space or direction."""

    kind: str
    value: str
    sentence: str
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True)
class ReportFacts:
    """What a patient's reports hold of every patch: findings, and what they say is nowhere."""

    findings: tuple[Finding, ...] = ()
    denied: frozenset[str] = frozenset()


def facts_of_reports(reports: Sequence[Report], seed: int) -> ReportFacts:
    """The one organ and the one tumour that the diagnosis of a patient's reports names, with the span that says so.

    Reports that name several organs or tumours give none. What any report denies, and none affirms, is denied.
    """
    organs: dict[str, Evidence] = {}
    tumours: dict[str, Evidence] = {}
    affirmed: set[str] = set()
    denied: set[str] = set()
    for report in reports:
        digest = hashlib.sha256(report.text.encode()).hexdigest()
        for each in mentions(report.text):
            (denied if each.denied else affirmed).add(each.name)
        for section in report.sections:
            if section.name not in _SECTIONS:
                continue
            text = report.text[section.start : section.end]
            organ = organ_in(text)
            spans = {organ[0]: organ[1:]} if organ else {}
            organs |= {name: _span(report, digest, section.start, *at) for name, at in spans.items()}
            for each in mentions(text):
                if each.group == "diagnosis" and not each.denied:
                    tumours[each.name] = _span(report, digest, section.start, each.start, each.end)
    found = []
    if len(organs) == 1:
        [(name, evidence)] = organs.items()
        found.append(Finding("organ", name, one_of(_ORGAN, seed, evidence.source).format(name), (evidence,)))
    if len(tumours) == 1:
        [(name, evidence)] = tumours.items()
        found.append(Finding("diagnosis", name, f"The diagnosis of the case is {name}.", (evidence,)))
    return ReportFacts(tuple(found), frozenset(denied - affirmed))


def findings_of_patch(
    place: PatchPlace,
    *,
    label: str,
    label_from: str,
    feature: Any,
    patient_id: str,
    neighbours: Neighbours | None,
    measures: PatchMeasures | None,
    reports: ReportFacts,
    seed: int,
) -> tuple[list[Finding], Counter[str]]:
    """What is known of one patch, surest first, and how many findings were dropped by which rule.

    A label that a person gave counts whatever else says; without one the labelled neighbours speak, unless
    a report says
    that there is none of it. The diagnosis of the case is said of patches of tumour alone: it is not seen elsewhere.
    """
    dropped: Counter[str] = Counter()
    own = Evidence("patch", place.slide_id, place=place, quote=f"{label_from}: {label}" if label else "")
    found: list[Finding] = []
    if label:
        wording = one_of(_TISSUE, seed, place.slide_id, place.x, place.y)
        found.append(Finding("tissue", label, wording.format(label, label[0].upper() + label[1:]), (own,)))
    elif neighbours is not None and (vote := neighbours.vote(feature, patient_id)) is not None:
        name, places = vote
        if {each.name for each in mentions(name)} & reports.denied:
            dropped["likeness-denied-by-report"] += 1
        else:
            near = [
                Evidence("patch", slide, quote=name, place=PatchPlace(slide, x, y, place.width, place.height))
                for slide, x, y in places
            ]
            wording = one_of(_LIKE, seed, place.slide_id, place.x, place.y)
            found.append(Finding("likeness", name, wording.format(name), (own, *near)))
    for finding in reports.findings:
        if finding.kind != "diagnosis" or label in ("tumour", "tumor", "carcinoma", "cancer"):
            found.append(finding)
    if measures is not None:
        for kind, sentence in measures.sentences:
            value = measures.cellularity if kind == "cellularity" else sentence
            found.append(Finding(kind, value, sentence, (own,)))
    return found, dropped


def describe(findings: Sequence[Finding]) -> str:
    """The findings' sentences, in their order."""
    return " ".join(finding.sentence for finding in findings)


def _span(report: Report, digest: str, section: int, start: int, end: int) -> Evidence:
    begin, stop = section + start, section + end
    return Evidence("report", report.report_id, begin, stop, report.text[begin:stop], digest)
