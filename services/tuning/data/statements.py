"""What a report says of something that it names: that it is there, that it is not, or neither for certain.

High precision, not high recall: a statement that is hedged, a form's list of choices, a history, a comparison says
nothing here. All places are spans of the report's own text, so that each can be quoted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from slidelake.store import Report

__all__ = ["State", "clause_of", "in_form", "is_hedged", "is_negated", "quote_of", "sections_of", "state_of"]

State = Literal["present", "absent"]

#: Where a clause ends: a full stop or semicolon before a space, a blank line, an item of a list. Lines are wrapped in
#: mid-sentence, so a line's end alone is no border.
_BORDER = re.compile(
    r"[;:!?](?=\s)|\.(?=\s|$|[A-Z][a-z])|\n\s*\n|\n(?=\s*(?:[-•*(]|\(?[A-Za-z0-9]{1,2}[.)]\s?))",
)
_REACH = 170
_ANEW = re.compile(r"\n(?=\s*[A-Z(•*-])")
_QUOTED = 120
_NO = (
    r"(?:no|not|non|without|absence\s+of|absent|negative|neg|free\s+of|lack(?:s|ing)?|neither|nor|never|denies"
    r"|rules?d?\s+out|r/o|excludes?d?|unremarkable|uninvolved|cannot)"
)
#: What denies what follows it; the others only make a statement uncertain.
_DENIES = re.compile(
    r"no|not|without|absence\s+of|negative|free\s+of|lack(?:s|ing)?|neither|nor|never", re.IGNORECASE
)
_DENIED = 70
_NEGATED = re.compile(rf"\b{_NO}\b", re.IGNORECASE)
#: What ends the reach of a "no": "no tumor but perineural invasion".
_TURNS = re.compile(
    r"\b(?:but|except|other\s+than|apart\s+from|besides|only|shows?|showing|demonstrat\w+|there\s+is|although|however"
    r"|though|while|whereas|which|with|and\s+(?:is|are|shows?)|identified|seen|noted|present|detected|positive)\b",
    re.IGNORECASE,
)
_HEDGE = re.compile(
    r"\b(?:suspicious|suspected|suspicion|suggest\w*|indeterminate|cannot|can\s+not|equivocal|possib\w+|probab\w+"
    r"|questionable|likely|impending|considered|favou?r\w*|versus|vs|compatible|consistent|risk|differential"
    r"|history|h/o|hx|prior|previous\w*|status\s+post|s/p|pending|if\s+(?:present|any)|whether|evaluate|assess(?:ed|ment)?|see\s+note|not\s+(?:reported|described"
    r"|stated|provided|applicable|specified|examined|determined|known)|n/?a|unknown|may\s+be|might|appears?|or\s+not"
    r"|adequate|insufficient|at\s+least|clinical\w*|consult\w*|rule\s+out|r/o)\b|\?",
    re.IGNORECASE,
)
#: A form's boxes and choices.
_FORM = re.compile(
    r"\[\s*[xX]?\s*[\])]|\(\s*\)|_{2,}|\b1\.\s*(?:yes|positive)\b|\byes\s*/?\s*no\b|present\s*/\s*absent",
    re.I,
)
_ABSENT = (
    r"(?:not\s*(?:id\s*entified|seen|present|detected|observed|found|involved|evident|noted)|absent|none|negative(?!\s+for)"
    r"|uninvolved|no(?=\s*(?:[\n.,;(]|$)|\s+evidence))"
)
_PRESENT = r"(?:present|identified|yes|positive|seen|noted|detected|observed|found|extensive|multi-?focal(?:ly)?|focal(?:ly)?)"
_IS = r"(?:(?:is|are|was|were|has been|have been)\s+)?(?:also\s+|focally\s+|clearly\s+)?"
#: "X: absent", "X\nNot identified", "X - present", "X (small vessel): IS SEEN".
_LABEL = re.compile(
    rf"\s*(?:\([^()\n]{{0,40}}\))?\s*(?::|;|\s-|--|–|\n|\.{{2,}})\s*{_IS}(?:(?P<no>{_ABSENT})|(?P<yes>{_PRESENT}))\b",
    re.IGNORECASE,
)
_AFTER = re.compile(
    rf"\W{{0,3}}(?:(?:by|in|of)\s[^.;:]{{0,40}}?\s)?{_IS}(?:(?P<no>{_ABSENT})|(?P<yes>{_PRESENT}))\b",
    re.IGNORECASE,
)
_BEFORE = re.compile(
    r"\b(?:with|presence\s+of|positive\s+for|extensive|focal|multi-?focal|marked|prominent|foci\s+of|focus\s+of|shows?"
    r"|showing|exhibits?|exhibiting|demonstrat\w+|there\s+(?:is|are)|evidence\s+of|frequent|numerous|abundant|areas?\s+of"
    r"|contains?|including)\s+(?:[\w-]+\s+){0,2}$",
    re.IGNORECASE,
)
_SILENT = frozenset(
    {"CLINICAL HISTORY", "SPECIMEN", "PROCEDURE", "INTRAOPERATIVE CONSULTATION", "BLOCK SUMMARY"}
)


def sections_of(report: Report, *, gross: bool = False) -> list[tuple[str, int, int]]:
    """(name, start, end) of the sections that state a diagnosis; with `gross` the gross description too, where
    forms without headings end up."""
    spans = [(each.name, each.start, each.end) for each in report.sections] or [("", 0, len(report.text))]
    return [span for span in spans if span[0] not in _SILENT and (gross or span[0] != "GROSS DESCRIPTION")]


def clause_of(text: str, start: int, end: int) -> tuple[int, int]:
    """The clause around a span, without white space and bullets at its ends."""
    first = max(0, start - _REACH)
    for border in _BORDER.finditer(text, first, start):
        first = border.end()
    ending = _BORDER.search(text, end, min(len(text), end + _REACH))
    last = ending.start() if ending else min(len(text), end + _REACH)
    if not ending and last < len(text):
        last = max(end, text.rfind(" ", end, last))
    if first and text[first - 1].isalnum() and first < start:
        first = text.find(" ", first, start) + 1 or first
    while first < start and not text[first].isalnum() and text[first] not in "([":
        first += 1
    while last > end and text[last - 1] in " \n,-•*":
        last -= 1
    return first, last


def quote_of(text: str, start: int, end: int) -> tuple[int, int]:
    """What is quoted for a span: its clause, without lines after it that begin anew, and no long way before it."""
    first, last = clause_of(text, start, end)
    anew = _ANEW.search(text, end, last)
    last = anew.start() if anew else last
    if start - first > _QUOTED:
        first = text.find(" ", start - _QUOTED, start) + 1 or start
    lines = [first, *(first + at + 1 for at, sign in enumerate(text[first:start]) if sign == "\n")]
    return lines[-2] if len(lines) > 2 else first, last


def is_negated(text: str, start: int, end: int) -> bool:
    """Whether the clause around a span denies anything at all, in it or beside it."""
    first, last = clause_of(text, start, end)
    return bool(_NEGATED.search(text, first, last))


def is_hedged(text: str, start: int, end: int) -> bool:
    """Whether the clause around a span leaves open what it says, or tells a history."""
    first, last = clause_of(text, start, end)
    return bool(_HEDGE.search(text, first, last))


def in_form(text: str, start: int, end: int) -> bool:
    """Whether a span stands among the boxes and choices of a form."""
    first = text.rfind("\n", 0, start) + 1
    last = text.find("\n", end)
    return bool(_FORM.search(text, first, last if last >= 0 else len(text)))


def state_of(text: str, match: re.Match[str], *, entity: bool = False) -> tuple[State, int, int] | None:
    """What is said of the thing that was matched, and the span that says it; None where neither is certain.

    An `entity` is a diagnosis: to name it without a denial is to state it. What is no entity ("perineural invasion")
    must be said to be present.
    """
    start, end = match.span()
    if in_form(text, start, end):
        return None
    label = _LABEL.match(text, end)
    if label:
        stop = label.end()
        line = text.find("\n", stop)
        rest = text[stop : min(stop + 30, line if line >= 0 else len(text))]
        said = text[start:stop] + rest
        before = text[max(0, start - 30) : start].split("\n")[-1]
        if _HEDGE.search(said) or _NEGATED.search(before) or _opposed(label, rest):
            return None
        return ("absent" if label["no"] else "present"), start, stop
    first, last = clause_of(text, start, end)
    ahead, after = text[first:start], text[end:last]
    if _HEDGE.search(text, first, last):
        return None
    denials = list(_NEGATED.finditer(ahead))
    if denials:
        denial = denials[-1]
        between = ahead[denial.end() :]
        governs = _DENIES.fullmatch(denial[0]) and len(between) <= _DENIED and not _TURNS.search(between)
        if re.search(r"\n\s*[A-Z]", between) and not between.isupper():
            governs = False  # the line before has a statement of its own
        follows = _AFTER.match(after)
        if not governs or (follows and follows["no"]):
            return None
        return "absent", *quote_of(text, start, end + (follows.end() if follows else 0))
    follows = _AFTER.match(after)
    if follows:
        quoted = quote_of(text, start, end + follows.end())
        if follows["no"]:
            return "absent", *quoted
        return None if _NEGATED.search(after) else ("present", *quoted)
    if _NEGATED.search(after):
        return None
    if entity or _BEFORE.search(ahead):
        return "present", *quote_of(text, start, end)
    return None


def _opposed(label: re.Match[str], rest: str) -> bool:
    """Whether the other value follows, as in a list of choices."""
    other = _PRESENT if label["no"] else rf"(?:{_ABSENT}|no)"
    return bool(re.match(rf"[\s/,|_-]*(?:or\s+)?{other}\b", rest, re.IGNORECASE))
