"""The facts that a report states and rules can read: kind of tumour, organ, side, grade, stage, nodes, margins, findings.

Precision before number: a topic on which one report says two things is left out, and counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slidelake.services.tuning.data.findings import FINDINGS
from slidelake.services.tuning.data.statements import (
    clause_of,
    in_form,
    is_hedged,
    is_negated,
    quote_of,
    sections_of,
    state_of,
)
from slidelake.services.tuning.data.tumours import HISTOLOGIES, ORGAN_OF, ORGANS, PLACES, WHOLE

if TYPE_CHECKING:
    from slidelake.store import Report

__all__ = ["ReportFact", "facts_of_report"]


@dataclass(frozen=True)
class ReportFact:
    """`value` in canonical words; `text[start:end]` of the report says it."""

    topic: str
    value: str
    start: int
    end: int


_NEAR = 160
_ROMAN = {"i": "1", "ii": "2", "iii": "3", "iv": "4", "1": "1", "2": "2", "3": "3", "4": "4"}
_GRADE = r"(?:grade\s*)?(IV|I{1,3}|[1-4])(?!\w|\.\d|\s*(?:[-–+]|and|to|or|x|&)\s*\w)"
_WHO = re.compile(rf"\bWHO\)?[\s:,(]*grade[\s:,(]*{_GRADE}", re.IGNORECASE)
_FUHRMAN = re.compile(rf"\bfuhrman(?:'?s)?\s*(?:nuclear\s*)?grade[\s:(]*(?:is\s*)?{_GRADE}", re.IGNORECASE)
_GLEASON = re.compile(
    r"\bgleason(?:'?s)?(?![^.;\n]{0,40}tertiary)[^.;+\d]{0,45}([3-5])\s*\+\s*([3-5])(?!\d)", re.IGNORECASE
)
_HOW_WELL = r"(well|moderate(?:ly)?|poor(?:ly)?)"
_DIFFERENTIATION = re.compile(
    rf"\b(?:{_HOW_WELL}\s*(?:(?:-|to|and)\s*)+)?{_HOW_WELL}[\s-]*differentiated\b", re.IGNORECASE
)
_HIGH_LOW = re.compile(
    r"\b(high|low)[\s-]*grade\s+(?:(?:papillary|invasive|infiltrating|muscle[\s-]*invasive|serous|urothelial|transitional"
    r"|cell|squamous|neuroendocrine|mucinous|endometrioid)\s+)*(?:adeno|cystadeno)?carcinoma\b(?!\s+in[\s-]+situ)",
    re.IGNORECASE,
)
_HIGH_LOW_LABEL = re.compile(r"\bhistolog\w+\s+grade\s*[:\n]\s*(high|low)(?:[\s-]*grade)?\b", re.IGNORECASE)
_PREFIX = r"(?<![A-Za-z\d/])[yr]{0,2}p[\s-]?"
_T = re.compile(rf"{_PREFIX}T\s?(is|[0-4lI](?:\s?[a-d][12]?(?![A-Za-z]))?)(?![A-Za-mo-z\d<>=/])", re.ASCII)
_T_OF_GROUP = re.compile(r"(?<![A-Za-z\d])T([0-4][a-d]?)[\s,;]{0,2}p?N[0-3oOxX]")
_N = re.compile(rf"{_PREFIX}N\s?([0-3oOlIi][a-c]?)(?![A-LN-Za-z\d<>=/])", re.ASCII)
_N_OF_GROUP = re.compile(r"(?<![A-Za-z\d])p?T[0-4][a-d]?[\s,;]{0,2}p?N\s?([0-3oO][a-c]?)(?![a-z\d])")
_DIGIT = str.maketrans({"o": "0", "O": "0", "l": "1", "I": "1", "i": "1"})

_SIDE = re.compile(
    r"\b(?:specimen\s+)?laterality\s*[:\n]\s*(left|right|bilateral)\b(?!\s*(?:and|or|/))"
    r"|\b(?:kidney|breast|lung|testis|brain)\s*,\s*(left|right)\b(?!\s*(?:and|or|/))"
    r"|\b(left|right)\s+(?:kidney|radical\s+nephrectomy|partial\s+nephrectomy|nephrectomy|(?:temporo|fronto|parieto)?[\s-]*"
    r"(?:temporal|frontal|parietal|occipital))\b",
    re.IGNORECASE,
)
_PLACE = re.compile(
    r"\b(?:primary\s+tumou?r\s+site|tumou?r\s+site|tumou?r\s+location|location\s+of\s+(?:the\s+)?tumou?r|primary\s+site"
    r"|anatomic\s+site)\s*:?[ \t]*\n?[ \t]*([A-Za-z][A-Za-z ,()-]{3,60})",
    re.IGNORECASE,
)
_PROCEDURE = r"(?:\w*ectomy|resection|craniotomy)"
_SPECIMEN = re.compile(
    rf"(?:^|\n)\W*(?:(?:part\s*)?[A-Z0-9]{{1,2}}[.):]+\s*)?([^\n:;.]{{3,90}}?\b{_PROCEDURE})\b", re.IGNORECASE
)

_COUNT = re.compile(
    r"(?<![\d/.])(\d{1,2})\s*/\s*(\d{1,2})(?![\d/.%])|\b(\w+|\d{1,2})\s+(?:out\s+)?of\s+(\w+|\d{1,2})\s+(?:\w+\s+){0,3}?lymph\s+nodes?"
)
_NODE = re.compile(r"\b(?:lymph\s*nodes?|nodal|nodes?)\b", re.IGNORECASE)
_NODES_BAD = re.compile(
    r"\bmetasta(?:tic|sis|ses)\b[^.;:\n]{0,60}\b(?:lymph\s+)?nodes?\b|\b(?:lymph\s+)?nodes?\b[^.;:\n]{0,30}\b(?:positive\s+for|with\s+metasta|involved\s+by|show\w*\s+metasta)",
    re.IGNORECASE,
)
_NODES_FREE = re.compile(
    r"\b(?:lymph\s+)?nodes?\b[^.;\n]{0,50}\b(?:negative|no\s+(?:evidence\s+of\s+)?(?:tumou?r|metasta\w+|malignan\w+|carcinoma)|free\s+of"
    r"|without\s+(?:evidence\s+of\s+)?(?:tumou?r|metasta\w+)|uninvolved)"
    r"|\bno\s+(?:evidence\s+of\s+)?(?:tumou?r|metasta\w+(?:\s+\w+)?|malignan\w+|carcinoma|neoplasia)\b[^.;:\n]{0,40}\b(?:lymph\s+)nodes?\b",
    re.IGNORECASE,
)
_NUMBER_WORDS = {
    w: n
    for n, w in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
        ]
    )
}
_NUMBER_WORDS |= {"no": 0, "none": 0}

_MARGINS_FREE = re.compile(
    r"\b(?:all\s+(?:the\s+|of\s+the\s+)?)?(?:surgical\s+|resection\s+|excision(?:al)?\s+|specimen\s+)?margins?"
    r"(?:\s+of\s+(?:the\s+)?(?:resection|excision|specimen))?(?:\s+status)?\s*(?:[:,\n]|\s-|--)?\s*(?:(?:surgical\s+)?margins?\s+)?"
    r"(?:are|is|were)?\s*(?:all\s+)?(?:free|negative|uninvolved|clear(?!\s+cell)|not\s+involved|no\s+tumou?r)\b",
    re.IGNORECASE,
)
_MARGINS_BAD = re.compile(
    r"\bmargins?\b[^.;:\n]{0,25}?\s*[:\n]?\s*(?:is|are|focally|widely|\s)*\b(?:positive|involved)\b(?!\s+(?:biopsy|core))"
    r"|\bpositive\s+(?:surgical\s+|resection\s+|inked\s+|apical\s+)?margins?\b"
    r"|\b(?:carcinoma|tumou?r)\s+(?:is\s+)?(?:focally\s+)?(?:present|extends?|identified|seen|detected|involves?)\s+(?:\w+\s+){0,2}?(?:at|to)?\s*(?:the\s+)?(?:[\w-]+\s+){0,3}margins?\b",
    re.IGNORECASE,
)  # fmt: skip
_SPECIFIC = re.compile(
    r"\b(?:soft\s+tissue|ureter\w*|urethra\w*|vascular|vein|venous|vaginal|bladder\s+neck|apical|bone|bony|radial|distal|proximal"
    r"|parenchymal|mucosal|deep|lateral|medial|anterior|posterior|gastric|duodenal|pancreatic|uncinate|bile\s+duct|hepatic"
    r"|renal|skin|nerve|artery|new|additional)\s+(?:\w+\s+)?$",
    re.IGNORECASE,
)


def facts_of_report(report: Report) -> tuple[list[ReportFact], Counter[str]]:
    """The facts, one a topic, by their places; and how many were left out by which rule ("conflict")."""
    found: dict[str, list[ReportFact]] = {}
    for rule in _RULES:
        for fact in rule(report):
            found.setdefault(fact.topic, []).append(fact)
    dropped: Counter[str] = Counter()
    kept = []
    for several in found.values():
        chosen = _agreed(several)
        if chosen is None:
            dropped["conflict"] += 1
        else:
            kept.append(chosen)
    _drop_contradicted(kept, dropped)
    return sorted(kept, key=lambda fact: (fact.start, fact.topic)), dropped


def _agreed(facts: list[ReportFact]) -> ReportFact | None:
    """The first statement of the one value, or of the narrowest of values that go together; None where they do not."""
    values = {fact.value for fact in facts}
    for value in sorted(values, key=len, reverse=True):
        if all(_covers(facts[0].topic, each, value) for each in values):
            return next(fact for fact in facts if fact.value == value)
    return None


def _covers(topic: str, broad: str, narrow: str) -> bool:
    if broad == narrow:
        return True
    if topic == "histology":
        above = HISTOLOGIES[narrow][1]
        return bool(above) and _covers(topic, broad, above)
    return topic == "t-stage" and narrow[:-1] == broad


def _drop_contradicted(facts: list[ReportFact], dropped: Counter[str]) -> None:
    """Leaves out nodes that the N category contradicts, and the other way round."""
    by_topic = {fact.topic: fact for fact in facts}
    nodes, stage = by_topic.get("nodes"), by_topic.get("n-stage")
    if nodes and stage and (nodes.value == "free") != stage.value.startswith("pN0"):
        facts[:] = [fact for fact in facts if fact not in (nodes, stage)]
        dropped["conflict"] += 2


def _findings(report: Report) -> Iterator[ReportFact]:
    for topic, finding in FINDINGS.items():
        for _, match in _within(report, finding.pattern):
            said = state_of(report.text, match, entity=finding.entity)
            around = report.text[max(0, match.start() - _NEAR) : match.end() + _NEAR]
            if said is not None and (finding.near is None or finding.near.search(around)):
                yield ReportFact(topic, *said)


def _histology(report: Report) -> Iterator[ReportFact]:
    text = report.text
    for value, (pattern, _) in HISTOLOGIES.items():
        for _, match in _within(report, pattern):
            if re.match(
                r"[\s-]*(?:in[\s-]+situ|differentiation|component|features)", text[match.end() :], re.I
            ):
                continue
            if _stated(text, match):
                yield ReportFact("histology", value, *quote_of(text, *match.span()))
                break


def _organ(report: Report) -> Iterator[ReportFact]:
    """Where the tumour is from: by a name that says so, or by what was taken out for it."""
    text = report.text
    # A prostate that was taken out with a bladder often has a small cancer of its own.
    urothelial = any(
        _stated(text, match) for _, match in _within(report, HISTOLOGIES["urothelial carcinoma"][0])
    )
    for value, pattern in ORGAN_OF.items():
        for _, match in _within(report, pattern):
            if _stated(text, match) and not (urothelial and value == "prostate"):
                yield ReportFact("organ", value, *quote_of(text, *match.span()))
                break
    for name, match in _within(report, _SPECIMEN):
        named = [organ for organ, pattern in ORGANS.items() if pattern.search(match[1])]
        if name in ("", "FINAL DIAGNOSIS") and len(named) == 1 and named[0] in WHOLE:
            yield ReportFact("organ", named[0], match.start(1), match.end(1))


def _place(report: Report) -> Iterator[ReportFact]:
    for _, match in _within(report, _PLACE):
        line = match[1].split("\n")[0].strip(" ,-")
        words = re.findall(r"[a-z]+", line.lower())
        if (
            2 <= len(words) <= 7
            and set(words) <= PLACES
            and words[-1] not in ("of", "and", "the", "in", "at")
        ):
            yield ReportFact(
                "place", " ".join(line.lower().split()), match.start(), match.start(1) + len(line)
            )


def _side(report: Report) -> Iterator[ReportFact]:
    for name, match in _within(report, _SIDE):
        if name in ("", "FINAL DIAGNOSIS", "SYNOPTIC REPORT") and _stated(report.text, match):
            side = (match[1] or match[2] or match[3]).lower()
            yield ReportFact("side", side, *_line_of(report.text, match))


def _grades(report: Report) -> Iterator[ReportFact]:
    text = report.text
    for topic, pattern in (("who-grade", _WHO), ("fuhrman-grade", _FUHRMAN)):
        for _, match in _within(report, pattern):
            if _stated(text, match):
                yield ReportFact(topic, _ROMAN[match[1].lower()], *quote_of(text, *match.span()))
    for _, match in _within(report, _GLEASON):
        if not in_form(text, *match.span()):
            yield ReportFact("gleason", f"{match[1]} + {match[2]}", match.start(), match.end())
    for _, match in _within(report, _DIFFERENTIATION):
        if _stated(text, match):
            parts = [_how_well(each) for each in (match[1], match[2]) if each]
            yield ReportFact("differentiation", " to ".join(parts), *quote_of(text, *match.span()))
    for pattern in (_HIGH_LOW, _HIGH_LOW_LABEL):
        for _, match in _within(report, pattern):
            if _stated(text, match):
                yield ReportFact("grade", match[1].lower(), *quote_of(text, *match.span()))


def _stage(report: Report) -> Iterator[ReportFact]:
    text = report.text
    for topic, letter, patterns in (("t-stage", "T", (_T, _T_OF_GROUP)), ("n-stage", "N", (_N, _N_OF_GROUP))):
        for pattern in patterns:
            for _, match in _within(report, pattern):
                if in_form(text, *match.span()):
                    continue
                said = "".join(match[1].split())
                value = said if said == "is" else said[0].translate(_DIGIT) + said[1:]
                yield ReportFact(topic, f"p{letter}{value}", *_line_of(text, match))


def _nodes(report: Report) -> Iterator[ReportFact]:
    """Any node with tumour makes them involved; free they are where some were looked at and none had any."""
    text = report.text
    involved: list[tuple[int, int]] = []
    free: list[tuple[int, int]] = []
    for _, match in _within(report, _COUNT):
        first, last = clause_of(text, *match.span())
        near = text[max(0, match.start() - 110) : match.end() + 40]
        numbers = [_number(each) for each in match.groups() if each]
        if (
            not _NODE.search(near)
            or re.search(r"gleason|cassette|mm\b|hpf|grade|block", near, re.I)
            or None in numbers
        ):
            continue
        bad, total = (int(each or 0) for each in numbers)
        if 0 < total >= bad and not in_form(text, *match.span()):
            words = text[first:last].lower()
            denied = re.search(
                r"negative|\bno\s+(?:tumou?r|metasta|malig|evidence|carcinoma)|benign|free\s+of|without",
                words,
            )
            if bad == 0:
                free.append(_line_of(text, match))
            elif re.search(r"metasta|positive|involve|carcinoma|tumou?r", words) and not denied:
                involved.append(_line_of(text, match))
    for _, match in _within(report, _NODES_BAD):
        counted = "number" in text[max(0, match.start() - 12) : match.start()].lower()
        if _stated(text, match) and not counted:
            involved.append(quote_of(text, *match.span()))
    for _, match in _within(report, _NODES_FREE):
        if not is_hedged(text, *match.span()) and not in_form(text, *match.span()):
            free.append(quote_of(text, *match.span()))
    if involved:
        yield ReportFact("nodes", "involved", *min(involved))
    elif free:
        yield ReportFact("nodes", "free", *min(free))


def _margins(report: Report) -> Iterator[ReportFact]:
    text = report.text
    for _, match in _within(report, _MARGINS_BAD):
        if _stated(text, match):
            yield ReportFact("margins", "involved", *quote_of(text, *match.span()))
    for _, match in _within(report, _MARGINS_FREE):
        start, end = match.span()
        before = text[max(0, start - 40) : start]
        plural = match[0].lower().count("margins") or re.match(r"all\b", match[0], re.IGNORECASE)
        if plural and not _SPECIFIC.search(before) and not is_hedged(text, start, end):
            yield ReportFact("margins", "free", *quote_of(text, start, end))


_RULES: tuple[Callable[[Report], Iterator[ReportFact]], ...] = (
    _histology, _organ, _place, _side, _grades, _stage, _nodes, _margins, _findings,
)  # fmt: skip


def _within(report: Report, pattern: re.Pattern[str]) -> Iterator[tuple[str, re.Match[str]]]:
    """The matches in the sections that state a diagnosis, each with its section's name."""
    for name, start, end in sections_of(report):
        for match in pattern.finditer(report.text, start, end):
            yield name, match


def _stated(text: str, match: re.Match[str]) -> bool:
    """Whether the clause of a match affirms it: no denial before it, no hedge, no form."""
    start, end = match.span()
    return not (
        is_negated(text[:end], start, end) or is_hedged(text, start, end) or in_form(text, start, end)
    )


def _line_of(text: str, match: re.Match[str]) -> tuple[int, int]:
    """The line (or lines) of a match, without white space at its ends; cut where it is long."""
    first = max(text.rfind("\n", 0, match.start()) + 1, match.start() - 80)
    last = text.find("\n", match.end())
    last = min(last if last >= 0 else len(text), match.end() + 80)
    while first < match.start() and text[first].isspace():
        first += 1
    while last > match.end() and text[last - 1].isspace():
        last -= 1
    return first, last


def _how_well(word: str) -> str:
    return {"w": "well", "m": "moderately", "p": "poorly"}[word[0].lower()]


def _number(word: str) -> int | None:
    return int(word) if word.isdigit() else _NUMBER_WORDS.get(word.lower())
