"""A report as short paragraphs of what a slide can show: the queries of the report arm.

Gone are whole sections that are about something else (gross description, history, specimen, blocks, other stains,
molecular studies); within sentences, clauses about handling, margins, nodes, stage and other stains, what is denied
(its words would find it), and sizes and weights. What is left are sentences that name a tumour, a finding, or
something seen under the microscope. These are rules: they keep some sentences that say little, and lose some that say
much.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from slidelake.index.reports.chunk import estimate_tokens
from slidelake.index.reports.lexicon import LINES, default_lexicon
from slidelake.index.reports.stems import words_in

if TYPE_CHECKING:
    from slidelake.store import Report

__all__ = ["report_paragraphs"]

#: CLIP's text encoders read 77 tokens, of which two are marks; the estimate is a few per cent off.
_TOKENS = 64
#: Sections that speak of what is seen under the microscope, the one that says most first.
_SECTIONS = ("MICROSCOPIC DESCRIPTION", "FINAL DIAGNOSIS", "SYNOPTIC REPORT", "COMMENT", "")

_SENTENCE = re.compile(r"(?<=[.;!?])\s+(?=[^a-z\s])|\n\s*\n|\n(?=\s*(?:[A-Z(\-•*#]|\d+[.)]))")
_CLAUSE = re.compile(r"\s*[,;()\[\]_]+\s*|\s+(?=(?:with|but)\b)")
_LABEL = re.compile(r"^\W*(?:(?:\d{1,2}|[IVX]{1,4}|[A-Z])[.):]\s*)?(?:part \w{1,2}\s*:\s*)?", re.IGNORECASE)
_SIZE = re.compile(
    r"(?:\b(?:measuring|measures|up to|approximately|about|at least)\s+)?"
    r"(?<!\d)\d+(?:[.,]\d+)?(?:\s*(?:x|×|by|-)\s*\d+(?:[.,]\d+)?){0,2}\s*-?\s*"
    r"(?:cm|mm|millimet(?:er|re)s?|centimet(?:er|re)s?|grams?|gms?|g|kg|ml|cc)\b\.?"
    r"(?:\s*in\s+(?:(?:greatest|maximum|largest)\s+)?(?:dimension|diameter|extent|size))?",
    re.IGNORECASE,
)
#: Before what it denies: that and what follows goes.
_NO = re.compile(
    r"\b(?:no|not|without|absence|rule out|r/o|none|cannot|neither|nor|lacks?|lacking|denies)\b", re.IGNORECASE
)
#: After what it denies, or beside it: the whole sentence goes.
_FREE = re.compile(
    r"\b(?:absent|negative|free|unremarkable|uninvolved|insufficient|not (?:identified|seen|present|found|involved))\b",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(
    # handling, people, forms
    r"\b(?:received|submitted|labell?ed|formalin|cassettes?|blocks?|inked|sectioned|serially|frozen|container|specimens?"
    r"|procedure|operat\w+|gross(?:ly)?|weigh\w*|touch prep|slides? (?:are|were|is)|reviewed?|dictated|signed"
    r"|discrepan\w*|electronically|consult\w*|addendum|accession|clinical\w*|history|dates?|patients?|synthetic|redacted|uuid"
    r"|tcga\S*|icd|snomed|please|comment|template|checklist|synchronous|page \d+"
    # margins, nodes, stage, sizes without a number
    r"|margins?|resection lines?|(?:lymph )?nodes?|nodal|lymphadenectomy|stage|staging|staged|ajcc|tnm|figo"
    r"|[yc]?p[TNM] ?[0-4xXoO]\w*|(?:tumou?r|greatest|maximum|largest) (?:size|dimension|diameter|extent)"
    # other stains, molecular findings
    r"|immuno\w*|ihc|stains? for|cytokeratin|ck ?\d+|cd ?\d+|ki-?67|p53|p63|p16|s-?100|her-?2\w*|er/pr"
    r"|o?estrogen|progesterone|receptors?|mutation\w*|gene|fish|pcr|egfr|kras|braf|idh\d?|codeletion|microsatellite"
    r"|methylation|electron microscop\w*)\b",
    re.IGNORECASE,
)
_COUNT = re.compile(r"\b\d{1,2}\s*(?:/|of|out of)\s*\d{1,3}\b", re.IGNORECASE)
#: What a sentence begins with whose first clauses went.
_OPENING = re.compile(r"^(?:(?:with|but|and|also)\b\W*)+", re.IGNORECASE)
#: What descriptions speak of and the lexicon has no name for.
_SEEN = re.compile(
    r"\b(?:cells?|nucle(?:i|us|ar|oli)\w*|cytoplasm\w*|gland\w*|strom\w+|mito(?:s|t)\w+|papill\w+|tubul\w+|trabecul\w+"
    r"|nests?|sheets?|acin\w+|alveol\w+|lobul\w+|follic\w+|crypts?|epitheli\w+|infiltrat\w+|invad\w+|atypi\w+|mucos\w+"
    r"|muscle|muscular\w*|chromatin|keratin\w*|vacuol\w+|collagen\w*|macrophages?|neutrophils?"
    r"|eosinophil\w*|plasma cells)\b",
    re.IGNORECASE,
)
#: Tumours and findings of the lexicon that no slide with H&E shows, or that say nothing.
_UNSEEN = frozenset(
    (
        "tumour", "smoking", "proliferation index", "margin", "weight", "diameter", "positive", "negative", "diabetes",
        "hypertension", "chemotherapy", "radiotherapy", "recurrence", "multifocal", "jaundice", "ascites", "idh",
        "egfr", "codeletion", "microsatellite instability", "estrogen receptor", "progesterone receptor", "her2",
        "human papillomavirus", "gallstone", "obstruction", "fistula", "lymph node", "metastasis", "haematuria",
        "renal vein", "vena cava", "differentiated",
    )
)  # fmt: skip
_LETTERS = 0.7


def report_paragraphs(reports: Sequence[Report], most: int = 3) -> tuple[str, ...]:
    """At most `most` paragraphs of about 64 tokens or less, of all reports; () where they say nothing of that kind."""
    parts: list[list[str]] = [[] for _ in _SECTIONS]
    for report in reports:
        for name, text in _sections(report):
            if name in _SECTIONS:
                parts[_SECTIONS.index(name)] += _visible(text)
    # Sections do not share a paragraph: a diagnosis and a description are different queries. What is said twice is
    # asked once.
    said: set[str] = set()
    paragraphs: list[str] = []
    for part in parts:
        fresh = [each for each in dict.fromkeys(part) if each.casefold() not in said]
        said |= {each.casefold() for each in fresh}
        paragraphs += _packed(fresh)
    return tuple(paragraphs[:most])


def _sections(report: Report) -> list[tuple[str, str]]:
    if not report.sections:
        return [("", report.text)]
    return [(each.name, report.text[each.start : each.end]) for each in report.sections]


def _visible(text: str) -> list[str]:
    """The sentences that speak of what a slide can show, without sizes."""
    found = []
    for sentence in _SENTENCE.split(text):
        said = _kept(_LABEL.sub("", sentence))
        letters = sum(each.isalpha() or each == " " for each in said)
        # A heading alone, a bar code, a name: hardly a letter, or nothing that is seen.
        if letters >= _LETTERS * len(said) and said and _shows(said):
            found.append(said)
    return found


def _kept(sentence: str) -> str:
    """The clauses of a sentence that may stay, as one text; "" where none may."""
    kept = ""
    for clause in _CLAUSE.split(sentence):
        if not clause or _ELSEWHERE.search(clause) or _COUNT.search(clause):
            continue
        if _FREE.search(clause):
            return ""
        if _NO.search(clause):
            break
        words = " ".join(_SIZE.sub(" ", clause).split()).strip(" :-*=\"'").rstrip(".")
        if words and not words.isdigit():
            kept += words if not kept else f" {words}" if words.startswith("with") else f", {words}"
    return _OPENING.sub("", kept)


def _shows(text: str) -> bool:
    lexicon = default_lexicon()
    named = (lexicon.names[concept] for _, _, concept in lexicon.find(words_in(text)))
    return _SEEN.search(text) is not None or any(name in _visible_names() for name in named)


@cache
def _visible_names() -> frozenset[str]:
    """What the lexicon has under tumours and findings, without those that are not seen."""
    group, names = "", set()
    for line in LINES.splitlines():
        if line.startswith("#"):
            group = line.removeprefix("#").strip()
        elif group in ("tumours", "findings") and line.strip():
            names.add(line.partition(";")[0].strip())
    if not names:
        raise RuntimeError("the lexicon has no tumours and findings")
    return frozenset(names - _UNSEEN)


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
    return [*paragraphs, _joined(held)] if held else paragraphs


def _joined(sentences: Sequence[str]) -> str:
    return " ".join(each if each.endswith((".", "!", "?")) else f"{each}." for each in sentences)


def _cut(sentence: str) -> list[str]:
    """A sentence in parts that leave room for the full stop."""
    parts: list[str] = []
    held: list[str] = []
    for word in sentence.split():
        if held and estimate_tokens(" ".join([*held, word])) >= _TOKENS:
            parts.append(" ".join(held))
            held = []
        held.append(word)
    return [*parts, " ".join(held)]
