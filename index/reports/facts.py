"""Facts that a pathology report states in so many words: sizes, counts, weights, scores, findings.

Rules over the text alone, with the place of each: what questions are made of, and how it is checked that no other
report says the same. They are no reader of reports: a fact that they miss is only a question not asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from slidelake.index.reports.paraphrases import FINDINGS, HISTOLOGIES

__all__ = ["Fact", "facts_of", "mentions"]

_SIZES = re.compile(r"(?<![\d.,])(\d+(?:[.,]\d+)?(?:\s*x\s*\d+(?:[.,]\d+)?){0,2})\s*(cm|mm)\b", re.IGNORECASE)
_LESION = re.compile(r"\b(?:tumou?r|mass|lesion|carcinoma|neoplasm)\b", re.IGNORECASE)
_NODES = re.compile(
    r"(?<![\d/.])(\d{1,2})\s*(?:/|of|out of)\s*(\d{1,2})(?![\d/%.])"
    r"|(?:number (?:of (?:regional )?(?:lymph )?nodes )?examined|total lymph nodes)\W{1,4}(\d{1,2})\b",
    re.IGNORECASE,
)
_WEIGHTS = re.compile(r"(?<![\d.])(\d{1,4}(?:\.\d)?)[\s-]*(?:grams?|gms?|g)\b", re.IGNORECASE)
_GLEASON = re.compile(r"gleason[^.]{0,60}?([3-5])\s*\+\s*([3-5])(?!\d)", re.IGNORECASE)
_LABELLING = re.compile(r"(?:ki-?\s?67|mib-?\s?1)[^.%]{0,60}?(\d{1,2}(?:\.\d)?)\s*%", re.IGNORECASE)
_STAGE = re.compile(r"\bp?T([1-4][a-d]?)(?![a-z\d])")
_NO = re.compile(
    r"\b(?:no|not|without|absent|absence|negative|free|denies|rule out|r/o|none|unremarkable)\b",
    re.IGNORECASE,
)
#: How far a "no" reaches, in characters, on either side of what it denies.
_NO_REACH = 60


@dataclass(frozen=True, order=True)
class Fact:
    """`kind` and `value` in canonical form (sizes in tenths of a mm); `text[start:end]` says it."""

    kind: str
    value: str
    start: int
    end: int


def facts_of(text: str) -> list[Fact]:
    """What the report affirms, in the order of the text; a finding that is denied is left out."""
    found = [*_sizes(text), *_counts(text)]
    for kind, table in (("finding", FINDINGS), ("histology", HISTOLOGIES)):
        for value, entry in table.items():
            for match in entry.pattern.finditer(text):
                if not _denied(text, match):
                    found.append(Fact(kind, value, *match.span()))
                    break
    return sorted(found, key=lambda fact: (fact.start, fact.end, fact.kind, fact.value))


def mentions(text: str) -> frozenset[tuple[str, str]]:
    """Every (kind, value) that the text so much as mentions, denied or not: what could make two reports alike."""
    said = {(fact.kind, fact.value) for fact in facts_of(text)}
    for match in _SIZES.finditer(text):
        said |= {("size", value) for value in _dimensions(match)}
    for kind, table in (("finding", FINDINGS), ("histology", HISTOLOGIES)):
        said |= {(kind, value) for value, entry in table.items() if entry.pattern.search(text)}
    return frozenset(said)


def _dimensions(match: re.Match[str]) -> list[str]:
    scale = 100 if match[2].lower() == "cm" else 10
    return [
        str(round(float(one.replace(",", ".")) * scale))
        for one in re.split(r"\s*x\s*", match[1], flags=re.IGNORECASE)
    ]


def _sizes(text: str) -> Iterator[Fact]:
    """The largest dimension of what is called a tumour within 60 characters before it."""
    for match in _SIZES.finditer(text):
        if _LESION.search(text[max(0, match.start() - 60) : match.start()]):
            largest = max(_dimensions(match), key=int)
            if 20 <= int(largest) <= 3000:
                yield Fact("size", largest, *match.span())


def _counts(text: str) -> Iterator[Fact]:
    for match in _NODES.finditer(text):
        around = text[max(0, match.start() - 120) : match.end() + 60].lower()
        # "7/10" beside a Gleason score is the score out of ten.
        if match[3] is None and ("node" not in around or "gleason" in around):
            continue
        positive, total = (match[1], match[2]) if match[3] is None else ("", match[3])
        if int(total) >= 2 and (not positive or int(positive) <= int(total)):
            yield Fact("nodes", f"{positive}/{int(total)}".removeprefix("/"), *match.span())
    for match in _WEIGHTS.finditer(text):
        if "weigh" in text[max(0, match.start() - 40) : match.end() + 20].lower() and float(match[1]) >= 10:
            yield Fact("weight", f"{float(match[1]):g}", *match.span())
    for match in _GLEASON.finditer(text):
        yield Fact("gleason", f"{match[1]}+{match[2]}", *match.span())
    for match in _LABELLING.finditer(text):
        yield Fact("labelling", f"{float(match[1]):g}", *match.span())
    for match in _STAGE.finditer(text):
        yield Fact("stage", f"T{match[1]}", *match.span())


def _denied(text: str, match: re.Match[str]) -> bool:
    before = re.split(r"[.;\n]", text[max(0, match.start() - _NO_REACH) : match.start()])[-1]
    after = re.split(r"[.;\n]", text[match.end() : match.end() + _NO_REACH])[0]
    return bool(_NO.search(before) or _NO.search(after))
