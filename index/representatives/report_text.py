"""A report as short paragraphs of what a slide can show: the queries of the report arm.

Gone are whole sections that are about something else (gross description, history, specimen, blocks, stains that are
not H&E, molecular studies), sentences about handling, margins, counts of nodes, stage or other stains, sentences that
deny a finding (its words would find it), and sizes and weights within sentences. What is left are sentences that name
something the lexicon knows. These are rules: they keep some that say little, and lose some that say much.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from slidelake.index.reports.chunk import estimate_tokens
from slidelake.index.reports.lexicon import default_lexicon
from slidelake.index.reports.stems import words_in

if TYPE_CHECKING:
    from slidelake.store import Report

__all__ = ["report_paragraphs"]

#: CLIP's text encoders read 77 tokens, of which two are marks; the estimate is a few per cent off.
_TOKENS = 64
#: Sections that speak of what is seen under the microscope, the one that says most first.
_SECTIONS = ("MICROSCOPIC DESCRIPTION", "FINAL DIAGNOSIS", "SYNOPTIC REPORT", "COMMENT", "")

_SENTENCE = re.compile(r"(?<=[.;!?])\s+(?=[^a-z\s])|\n\s*\n|\n(?=\s*(?:[A-Z(\-•*#]|\d+[.)]))")
_LABEL = re.compile(r"^\W*(?:(?:\d{1,2}|[IVX]{1,4}|[A-Z])[.):]\s+)?")
_SIZE = re.compile(
    r"[,;]?\s*\(?\s*(?:measuring|measures|up to|approximately|about|at least)?\s*"
    r"\d+(?:[.,]\d+)?(?:\s*(?:x|×|by|-)\s*\d+(?:[.,]\d+)?){0,2}\s*-?\s*"
    r"(?:cm|mm|millimet(?:er|re)s?|centimet(?:er|re)s?|grams?|gms?|g|kg|ml|cc)\b\.?"
    r"(?:\s*in\s+(?:greatest|maximum|largest)\s+(?:dimension|diameter|extent))?\s*\)?",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"\b(?:no|not|without|absent|absence|negative|free|denies|rule out|r/o|none|unremarkable|uninvolved|cannot"
    r"|neither|nor|lacks?|insufficient)\b",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(
    # handling of the specimen
    r"\b(?:received|submitted|labell?ed|formalin|cassettes?|blocks?|inked|sectioned|serially|frozen|container|specimens?"
    r"|procedure|biopsy site|gross(?:ly)?|weigh\w*|touch prep|slides? (?:are|were|is)|reviewed|dictated|signed"
    r"|electronically|consult\w*|addendum|accession|clinical\w*|history|date|patient|synthetic"
    # margins, nodes, stage
    r"|margins?|resection lines?|(?:lymph )?nodes?|nodal|stage|staging|ajcc|tnm|figo|p[TNM][0-4xX]\w*|metasta\w+"
    # other stains, molecular findings
    r"|immuno\w*|ihc|stains? for|cytokeratin|keratin ae|ck ?\d+|cd ?\d+|ki-?67|p53|p63|p16|s-?100|her-?2\w*|er/pr"
    r"|o?estrogen|progesterone|receptors?|mutation\w*|gene|fish|pcr|egfr|kras|braf|idh\d?|codeletion|microsatellite|methylation"
    r"|electron microscop\w*)\b",
    re.IGNORECASE,
)
_COUNT = re.compile(r"\b\d{1,2}\s*/\s*\d{1,3}\b")
_LETTERS = 0.6
_LEAST_WORDS = 2


def report_paragraphs(reports: Sequence[Report], most: int = 3) -> tuple[str, ...]:
    """At most `most` paragraphs of about 64 tokens or less, of all reports; () where they say nothing of that kind."""
    parts: list[list[str]] = [[] for _ in _SECTIONS]
    for report in reports:
        for name, text in _sections(report):
            if name in _SECTIONS:
                parts[_SECTIONS.index(name)] += _visible(text)
    # Sections do not share a paragraph: a diagnosis and a description are different queries.
    paragraphs = [paragraph for part in parts for paragraph in _packed(list(dict.fromkeys(part)))]
    return tuple(dict.fromkeys(paragraphs))[:most]


def _sections(report: Report) -> list[tuple[str, str]]:
    if not report.sections:
        return [("", report.text)]
    return [(each.name, report.text[each.start : each.end]) for each in report.sections]


def _visible(text: str) -> list[str]:
    """The sentences that speak of what a slide can show, without sizes."""
    found = []
    lexicon = default_lexicon()
    for sentence in _SENTENCE.split(text):
        if _DENIED.search(sentence) or _ELSEWHERE.search(sentence) or _COUNT.search(sentence):
            continue
        said = " ".join(_SIZE.sub("", _LABEL.sub("", sentence)).split()).strip(" ,;:-*")
        words = words_in(said)
        letters = sum(each.isalpha() or each == " " for each in said)
        # A heading alone, a bar code, a name: nothing that the lexicon knows, or hardly a letter.
        if len(words) >= _LEAST_WORDS and letters >= _LETTERS * len(said) and lexicon.find(words):
            found.append(said)
    return found


def _packed(sentences: Sequence[str]) -> list[str]:
    """Sentences in paragraphs of at most `_TOKENS`; one that is longer is cut at words."""
    paragraphs: list[str] = []
    held: list[str] = []
    size = 0
    for sentence in (part for each in sentences for part in _cut(each)):
        tokens = estimate_tokens(sentence) + 1
        if held and size + tokens > _TOKENS:
            paragraphs.append(_joined(held))
            held, size = [], 0
        held.append(sentence)
        size += tokens
    if held:
        paragraphs.append(_joined(held))
    return paragraphs


def _joined(sentences: Sequence[str]) -> str:
    return " ".join(each if each.endswith((".", "!", "?")) else f"{each}." for each in sentences)


def _cut(sentence: str) -> list[str]:
    parts: list[str] = []
    held: list[str] = []
    for word in sentence.split():
        if held and estimate_tokens(" ".join([*held, word])) > _TOKENS:
            parts.append(" ".join(held))
            held = []
        held.append(word)
    return [*parts, " ".join(held)] if held else parts
