"""Answers against their references: right or wrong, shared words, BLEU, chrF, ROUGE, nearness of meaning.

closed_accuracy        of closed questions: the share whose choice is the right one
open_recall, _precision  of open questions: shared words over the reference's, over the prediction's (PA-LLaVA)
bleu                   of open questions, from the counts of all answers together (sacreBLEU), 0 to 100
chrf                   the mean over open answers (sacreBLEU), 0 to 100
rouge_1, _2, _l        F-measures, the mean over open answers (rouge-score), 0 to 1
similarity             cosine of sentence embeddings, the mean over open answers

An answer that is missing is an empty one: wrong, and 0 in all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidelake.errors import MissingDependencyError
from slidelake.services.tuning.data import TuningRow
from slidelake.services.tuning.evaluation.closed import read_choice
from slidelake.services.tuning.evaluation.intervals import Patients
from slidelake.services.tuning.evaluation.predictions import Matched
from slidelake.services.tuning.evaluation.tokens import token_overlap, words

if TYPE_CHECKING:
    from slidelake.encoders.text import TextEncoder

__all__ = ["AnswerMeasures", "Measure", "measure_answers"]

OVERALL = "all"
_ROUGE = {"rouge1": "rouge_1", "rouge2": "rouge_2", "rougeL": "rouge_l"}
_NGRAMS = 4


@dataclass(frozen=True)
class Measure:
    """A figure with its 95 % interval by patient (None where there is none), over so many answers and patients."""

    value: float
    low: float | None
    high: float | None
    answers: int
    patients: int


@dataclass(frozen=True)
class AnswerMeasures:
    """`figures`: task ("all" is all of them) → name → figure. `unreadable`: ids of closed answers that took no choice.

    `missing` and `unknown` are as in `Matched`.
    """

    figures: dict[str, dict[str, Measure]]
    answers: int
    patients: int
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    unreadable: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def measure_answers(
    matched: Matched, *, encoder: TextEncoder | None = None, draws: int = 1000, seed: int = 0
) -> AnswerMeasures:
    """All figures, of all answers and of each task. Without an `encoder` of texts there is no `similarity`.

    Raises MissingDependencyError where sacrebleu or rouge-score is not installed.
    """
    rows = matched.rows
    values, unreadable = _values(matched, encoder)
    counts = _bleu_counts(matched)
    figures: dict[str, dict[str, Measure]] = {}
    for task in (OVERALL, *sorted({row.task for row in rows})):
        mine = np.array([task in (OVERALL, row.task) for row in rows])
        figures[task] = _figures(rows, mine, values, counts, draws, seed)
    patients = {row.patient_id for row in rows}
    notes = (
        ["fewer than 10 patients: intervals from so few come out too narrow"] if len(patients) < 10 else []
    )
    return AnswerMeasures(
        figures, len(rows), len(patients), matched.missing, matched.unknown, tuple(unreadable), tuple(notes)
    )


def _figures(
    rows: Sequence[TuningRow],
    mine: npt.NDArray[np.bool_],
    values: dict[str, npt.NDArray[np.float64]],
    counts: npt.NDArray[np.float64],
    draws: int,
    seed: int,
) -> dict[str, Measure]:
    found: dict[str, Measure] = {}
    for name, each in [*values.items(), ("bleu", counts[:, 0])]:
        there = mine & np.isfinite(each)
        if not there.any():
            continue
        of = [row.patient_id for row, taken in zip(rows, there, strict=True) if taken]
        patients = Patients(of, draws=draws, seed=seed)
        ends = patients.statistic(counts[there], _bleu) if name == "bleu" else patients.mean(each[there])
        found[name] = Measure(*ends, int(there.sum()), patients.count)
    return found


def _values(
    matched: Matched, encoder: TextEncoder | None
) -> tuple[dict[str, npt.NDArray[np.float64]], list[str]]:
    """Each measure of each answer, NaN where it is not measured so; ids of closed answers that took no choice."""
    rows, said = matched.rows, matched.predictions
    missing = set(matched.missing)
    names = ["closed_accuracy", "open_recall", "open_precision", "chrf", *_ROUGE.values()]
    values = {name: np.full(len(rows), np.nan) for name in names}
    unreadable = []
    chrf, rouge = _chrf(), _rouge()
    opened = [place for place, row in enumerate(rows) if row.kind == "open"]
    for place, (row, text) in enumerate(zip(rows, said, strict=True)):
        if row.kind == "closed":
            taken, right = read_choice(text, row.choices), read_choice(row.answer, row.choices)
            values["closed_accuracy"][place] = taken is not None and taken == right
            unreadable += [row.id] if taken is None and row.id not in missing else []
            continue
        recall, precision = token_overlap(text, row.answer)
        values["open_recall"][place], values["open_precision"][place] = recall, precision
        values["chrf"][place] = chrf.sentence_score(text, [row.answer]).score
        for key, score in rouge.score(row.answer, text).items():
            values[_ROUGE[key]][place] = score.fmeasure
    if encoder is not None and opened:
        texts = [rows[place].answer for place in opened] + [said[place] for place in opened]
        vectors = encoder.encode(texts)
        near = (vectors[: len(opened)] * vectors[len(opened) :]).sum(axis=1)
        # An empty text has a vector too, and it is nobody's meaning.
        near = np.where([bool(said[place].strip()) for place in opened], near, 0.0)
        values["similarity"] = np.full(len(rows), np.nan)
        values["similarity"][opened] = near
    return values, unreadable


class _Words:
    """rouge-score's own tokenizer knows the letters a to z alone."""

    def tokenize(self, text: str) -> list[str]:
        return words(text)


def _rouge() -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer  # type: ignore[import-untyped]
    except ImportError as exc:
        raise _not_installed("rouge-score") from exc
    return RougeScorer(list(_ROUGE), tokenizer=_Words())


def _chrf() -> Any:
    try:
        from sacrebleu.metrics.chrf import CHRF
    except ImportError as exc:
        raise _not_installed("sacrebleu") from exc
    return CHRF()


def _bleu_counts(matched: Matched) -> npt.NDArray[np.float64]:
    """(n, 10) of each open answer: right n-grams of 1 to 4, all of them, lengths; NaN of closed ones."""
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as exc:
        raise _not_installed("sacrebleu") from exc
    bleu = BLEU(effective_order=True)
    found = np.full((len(matched.rows), 2 * _NGRAMS + 2), np.nan)
    for place, (row, text) in enumerate(zip(matched.rows, matched.predictions, strict=True)):
        if row.kind == "open":
            score = bleu.sentence_score(text, [row.answer])
            found[place] = [*score.counts, *score.totals, score.sys_len, score.ref_len]
    return found


def _bleu(sums: npt.NDArray[np.float64]) -> float:
    from sacrebleu.metrics.bleu import BLEU

    numbers = [int(each) for each in sums]
    # Effective order: answers of three words have no 4-grams, which is no fault of theirs.
    score = BLEU.compute_bleu(
        numbers[:_NGRAMS],
        numbers[_NGRAMS : 2 * _NGRAMS],
        numbers[-2],
        numbers[-1],
        smooth_method="exp",
        effective_order=True,
    )
    return float(score.score)


def _not_installed(package: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"measures of text need {package}", remedy="Install it: pip install 'slidelake[tune]'."
    )
