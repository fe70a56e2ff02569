"""What a judge gets and gives: a case, a verdict of findings with their evidence, and strict reading of replies."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slidelake.services.tuning.evaluation.criteria import VERDICTS, Criterion, VerdictName

__all__ = ["PLAIN", "Case", "Finding", "MalformedError", "Span", "Verdict", "Way", "find_span", "read_reply"]


@dataclass(frozen=True)
class Case:
    """An answer to be judged, the question it was given to, and the report that it is judged against."""

    id: str
    patient_id: str
    question: str
    answer: str
    report: str


@dataclass(frozen=True)
class Span:
    """`text[start:end]` is `quote`; nothing is quoted where start and end are 0."""

    start: int = 0
    end: int = 0
    quote: str = ""


@dataclass(frozen=True)
class Finding:
    """One criterion's verdict, with the words of report and answer that it rests on."""

    criterion: str
    verdict: VerdictName
    report: Span = Span()
    answer: Span = Span()


@dataclass(frozen=True)
class Verdict:
    """One finding a criterion."""

    findings: tuple[Finding, ...]

    def of(self, verdict: VerdictName) -> list[str]:
        """The criteria that have this verdict."""
        return [finding.criterion for finding in self.findings if finding.verdict == verdict]

    @property
    def accepted(self) -> bool:
        """Whether nothing contradicts the report and something agrees with it."""
        return bool(self.of("agrees")) and not self.of("contradicts")

    @property
    def complete(self) -> bool:
        """Whether it is accepted, and says something of all that the report speaks of."""
        return self.accepted and not self.of("not stated")


@dataclass(frozen=True)
class Way:
    """How a judge is asked: the order of the criteria (a seed; 0: as they are listed), whether the answer stands
    before the report, which wording of the instructions, and the number of the repeat."""

    order: int = 0
    answer_first: bool = False
    wording: int = 0
    repeat: int = 0


#: The plain way, with which all others are compared.
PLAIN = Way()


class MalformedError(Exception):
    """A reply that is no verdict; `reason` is one of few, to be counted."""

    def __init__(self, reason: str, told: str = "") -> None:
        super().__init__(f"{reason}: {told}" if told else reason)
        self.reason = reason


def read_reply(text: str, case: Case, criteria: Sequence[Criterion]) -> list[Finding]:
    """The findings of a reply: one JSON object, nothing around it but white space or one fence.

        {"site": {"verdict": "agrees", "report": "left kidney", "answer": "the kidney"}, …}

    Each criterion that was asked about once, and no other; a quote is verbatim but for white space and case. Raises
    MalformedError: "no JSON", "criteria", "verdict", "evidence".
    """
    values = _object(text)
    names = [criterion.name for criterion in criteria]
    if set(values) != set(names):
        raise MalformedError("criteria", f"{sorted(values)} instead of {sorted(names)}")
    return [_finding(name, values[name], case) for name in names]


def find_span(quote: str, text: str) -> Span | None:
    """Where a quote stands in a text, whatever its white space and case; None where it does not."""
    parts = quote.split()
    if not parts:
        return None
    match = re.search(r"\s+".join(re.escape(part) for part in parts), text, re.IGNORECASE)
    return Span(*match.span(), match[0]) if match else None


def _object(text: str) -> Mapping[str, Any]:
    bare = re.sub(r"\A\s*<think>.*?</think>", "", text, flags=re.DOTALL).strip()
    fenced = re.fullmatch(r"```(?:json)?\s*\n(.*?)\n?```", bare, flags=re.DOTALL)
    try:
        values = json.loads(fenced[1] if fenced else bare, object_pairs_hook=_once)
    except (json.JSONDecodeError, RecursionError) as exc:
        raise MalformedError("no JSON", str(exc)) from exc
    if not isinstance(values, dict):
        raise MalformedError("no JSON", f"a {type(values).__name__}, not an object")
    return values


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedError("criteria", "a key stands twice")
    return found


def _finding(name: str, value: Any, case: Case) -> Finding:
    if not isinstance(value, dict) or set(value) != {"verdict", "report", "answer"}:
        raise MalformedError("criteria", f"{name} has not just a verdict, a report and an answer")
    verdict = value["verdict"]
    if not isinstance(verdict, str) or verdict not in VERDICTS:
        raise MalformedError("verdict", f"{name}: {verdict!r}"[:200])
    # What a verdict rests on: both texts, or the report alone, or neither.
    both = verdict in ("agrees", "contradicts")
    spans = []
    for side, needed in (("report", both or verdict == "not stated"), ("answer", both)):
        quote = value[side]
        if not isinstance(quote, str):
            raise MalformedError("evidence", f"{name}: the {side}'s quote is no text")
        span = find_span(quote, case.report if side == "report" else case.answer)
        if quote.strip() and span is None:
            raise MalformedError("evidence", f"{name}: the {side} does not say {quote[:100]!r}")
        if needed and span is None:
            raise MalformedError("evidence", f"{name}: {verdict} without a quote of the {side}")
        spans.append(span or Span())
    return Finding(name, verdict, *spans)
