"""How well reports are found: recall, reciprocal rank and gain over a set of questions, by kind and mode.

Recall@k is the share of a question's reports among the first k (of min(k, how many there are)), hit@k whether any is;
MRR@10 and nDCG@10 look at the first ten. Means over questions, with percentile bootstrap intervals. Questions with no
answer are not scored here: they are for whoever has to abstain.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slidelake.errors import UsageError
from slidelake.index.evaluate import Interval, bootstrap_difference, bootstrap_mean
from slidelake.index.reports.questions import Question, content_words
from slidelake.index.reports.request import MODES, Mode

if TYPE_CHECKING:
    from slidelake.index.slide_index import SlideIndex
    from slidelake.store import FeatureStore, Report

__all__ = [
    "MEASURES",
    "ReportsEvaluation",
    "evaluate_reports",
    "read_records",
    "records_of",
    "shared_passages",
    "wording_overlap",
]

DEPTH = 10
MEASURES = ("recall@1", "recall@5", "recall@10", "hit@5", "mrr@10", "ndcg@10")
#: A passage is another report's as well when this share of its runs of five words stands there too.
_SAME_SHARE = 0.5
_RUN = 5


@dataclass(frozen=True)
class ReportsEvaluation:
    """`ranked` holds the first ten reports of each question and mode; all figures come from it."""

    questions: tuple[Question, ...]
    ranked: dict[Mode, tuple[tuple[str, ...], ...]]

    def values(self, mode: Mode, kind: str, measure: str) -> np.ndarray:
        """One number a question of the kind, in the order of the questions."""
        pairs = zip(self.questions, self.ranked[mode], strict=True)
        return np.array(
            [_measure(measure, q.report_ids, found) for q, found in pairs if q.kind == kind], float
        )

    def mean(self, mode: Mode, kind: str, measure: str) -> Interval:
        """The mean over the questions of a kind, with its 95 % interval."""
        return bootstrap_mean(self.values(mode, kind, measure))

    def difference(self, first: Mode, second: Mode, kind: str, measure: str) -> Interval:
        """The mean of `first` less that of `second` over the same questions, with its 95 % interval."""
        return bootstrap_difference(self.values(first, kind, measure), self.values(second, kind, measure))

    @property
    def kinds(self) -> list[str]:
        """The kinds that are scored, as they come."""
        return list(dict.fromkeys(q.kind for q in self.questions if q.report_ids))

    def to_dict(self) -> dict[str, Any]:
        """Every mean with its interval, as plain JSON values."""
        figures = {
            kind: {
                mode: {
                    measure: {"mean": each.mean, "low": each.low, "high": each.high}
                    for measure in MEASURES
                    for each in [self.mean(mode, kind, measure)]
                }
                for mode in self.ranked
            }
            for kind in self.kinds
        }
        return {"questions": dict(Counter(q.kind for q in self.questions)), "figures": figures}


def evaluate_reports(
    index: SlideIndex,
    questions: Iterable[Question],
    *,
    modes: Sequence[Mode] = MODES,
    progress: Callable[..., None] | None = None,
) -> ReportsEvaluation:
    """Ask the index every question in every mode. Raises UsageError where no question has an answer."""
    asked = tuple(questions)
    if not any(question.report_ids for question in asked):
        raise UsageError(
            "no question has an answer in these reports",
            remedy="Evaluate with more reports; questions need facts that one report alone holds.",
        )
    tell = progress or (lambda event, **fields: None)
    tell("start", total=len(modes) * len(asked))
    ranked: dict[Mode, tuple[tuple[str, ...], ...]] = {}
    for mode in modes:
        found = []
        for question in asked:
            hits = index.search_reports(question.text, k=DEPTH, mode=mode) if question.report_ids else ()
            found.append(tuple(hit.report_id for hit in hits))
            tell("slide", slide_id=question.id)
        ranked[mode] = tuple(found)
    tell("end")
    return ReportsEvaluation(asked, ranked)


def records_of(store: FeatureStore) -> list[dict[str, Any]]:
    """The store's reports as records for `make_questions`: id, text, and the metadata that name a site."""
    return [_record(report) for report in store.reports.iterate()]


def read_records(path: str, known: Iterable[str]) -> list[dict[str, Any]]:
    """The records of a JSONL file whose report is among `known` ids. Raises UsageError for what is no such file."""
    from pathlib import Path

    from slidelake.index.reports.questions import record_id
    from slidelake.store import slug

    here = set(known)
    records = []
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"{path} cannot be read ({exc})", remedy="Give a JSONL file of records.") from exc
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as exc:
            raise UsageError(
                f"line {number} of {path} is no JSON ({exc})", remedy="Write one object a line."
            ) from exc
        if not isinstance(record, dict):
            raise UsageError(f"line {number} of {path} is no object", remedy="Write one object a line.")
        report_id = slug(record_id(record))
        if report_id in here:
            records.append({**record, "report_id": report_id})
    return records


def wording_overlap(question: Question, texts: Mapping[str, str]) -> float:
    """The share of the question's content words that stand in a report that answers it; the mean over those."""
    asked = content_words(question.text)
    shares = [len(asked & content_words(texts[each])) / max(len(asked), 1) for each in question.report_ids]
    return float(np.mean(shares)) if shares else 0.0


def shared_passages(passages: Iterable[tuple[str, str]]) -> float:
    """The share of (report, text) passages that stand in another report as well: forms, and reports held twice.

    Such passages cannot tell reports apart; where they are many, hits are right by chance.
    """
    runs = [(report_id, _runs(text)) for report_id, text in passages]
    owners: dict[int, set[str]] = {}
    for report_id, own in runs:
        for run in own:
            owners.setdefault(run, set()).add(report_id)
    shared = [own and sum(len(owners[run]) > 1 for run in own) / len(own) >= _SAME_SHARE for _, own in runs]
    return sum(map(bool, shared)) / len(shared) if shared else 0.0


def _record(report: Report) -> dict[str, Any]:
    metadata = {name: report.metadata[name] for name in ("cancer", "site") if name in report.metadata}
    return {"report_id": report.report_id, "text": report.text, **metadata}


def _runs(text: str) -> set[int]:
    words = text.lower().split()
    return {hash(tuple(words[at : at + _RUN])) for at in range(len(words) - _RUN + 1)}


def _measure(name: str, right: Sequence[str], found: Sequence[str]) -> float:
    what, _, depth = name.partition("@")
    flags = [report_id in right for report_id in found[: int(depth)]]
    match what:
        case "recall":
            return sum(flags) / min(int(depth), len(right))
        case "hit":
            return float(any(flags))
        case "mrr":
            return next((1 / rank for rank, flag in enumerate(flags, start=1) if flag), 0.0)
    gain = sum(flag / math.log2(rank + 1) for rank, flag in enumerate(flags, start=1))
    return gain / sum(1 / math.log2(rank + 1) for rank in range(1, min(int(depth), len(right)) + 1))
