"""Whether a judge says the same again: when asked once more, in another order, the other way round, in other words.

A judge that is asked the same cases in two ways gives two verdicts a case and criterion. Cohen's kappa (scikit-learn's)
is their agreement beyond chance: 1 is the same always, 0 what two judges reach who guess by habit.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from slidelake.errors import UsageError
from slidelake.services.tuning.evaluation.criteria import CRITERIA, VERDICTS
from slidelake.services.tuning.evaluation.judge import Judge, check_cases
from slidelake.services.tuning.evaluation.verdict import PLAIN, Case, Verdict, Way

__all__ = ["Agreement", "measure_agreement"]

#: How the judge is asked again, beside the plain way.
WAYS = {
    "repeat": (Way(repeat=1), Way(repeat=2)),
    "order": (Way(order=1), Way(order=2)),
    "position": (Way(answer_first=True),),
    "wording": (Way(wording=1), Way(wording=2)),
}
_LEVEL = 0.95


@dataclass(frozen=True)
class Agreement:
    """Of one kind of change: `kappa` over all cases and criteria, its 95 % interval by patient, the share of equal
    verdicts, kappa of each criterion, and how often it was the same whether an answer is accepted.

    A kappa is None where every verdict is the same: there is no chance to agree beyond.
    """

    kind: str
    kappa: float | None
    low: float | None
    high: float | None
    same: float
    accepted_same: float
    criteria: dict[str, float | None]
    pairs: int
    unjudged: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def measure_agreement(
    cases: Sequence[Case],
    judge: Judge,
    *,
    first: Sequence[Verdict | None] | None = None,
    kinds: Sequence[str] = tuple(WAYS),
    draws: int = 1000,
    seed: int = 0,
    progress: Callable[..., None] | None = None,
) -> list[Agreement]:
    """Ask the judge again in each way of each kind, and compare with the plain way (`first`, where it is known).

    Raises UsageError for an unknown kind, or no cases.
    """
    unknown = sorted(set(kinds) - set(WAYS))
    if unknown:
        raise UsageError(f"there is no kind {unknown[0]!r}", remedy=f"Choose of {', '.join(WAYS)}.")
    check_cases(cases)
    tell = progress or (lambda event, **fields: None)
    ways = [(kind, way) for kind in kinds for way in WAYS[kind]]
    tell("start", total=len(cases) * (len(ways) + (first is None)))

    def ask(way: Way) -> list[Verdict | None]:
        found = []
        for case in cases:
            found.append(judge.judge(case, way))
            tell("slide", slide_id=case.id)
        return found

    plain = list(first) if first is not None else ask(PLAIN)
    again = [(kind, ask(way)) for kind, way in ways]
    tell("end")
    return [
        _compared(kind, cases, [(plain, said) for of, said in again if of == kind], draws, seed)
        for kind in kinds
    ]


def _compared(
    kind: str,
    cases: Sequence[Case],
    pairs: list[tuple[list[Verdict | None], list[Verdict | None]]],
    draws: int,
    seed: int,
) -> Agreement:
    one: list[str] = []
    other: list[str] = []
    about: list[str] = []
    whose: list[str] = []
    accepted: list[bool] = []
    unjudged = 0
    for plain, again in pairs:
        for case, first, second in zip(cases, plain, again, strict=True):
            if first is None or second is None:
                unjudged += 1
                continue
            accepted.append(first.accepted == second.accepted)
            for mine, theirs in zip(first.findings, second.findings, strict=True):
                one.append(mine.verdict)
                other.append(theirs.verdict)
                about.append(mine.criterion)
                whose.append(case.patient_id)
    if not one:
        return Agreement(kind, None, None, None, float("nan"), float("nan"), {}, 0, unjudged)
    said, again_said, which = np.array(one), np.array(other), np.array(about)
    low, high = _ends(said, again_said, np.array(whose), draws, seed)
    return Agreement(
        kind,
        _kappa(said, again_said),
        low,
        high,
        float((said == again_said).mean()),
        float(np.mean(accepted)),
        {
            criterion.name: _kappa(said[which == criterion.name], again_said[which == criterion.name])
            for criterion in CRITERIA
        },
        len(accepted),
        unjudged,
    )


def _kappa(one: np.ndarray, other: np.ndarray) -> float | None:
    from sklearn.metrics import cohen_kappa_score

    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        # Where both say one thing alone, kappa is 0 / 0: None here, and a warning there.
        warnings.simplefilter("ignore")
        found = float(cohen_kappa_score(one, other, labels=list(VERDICTS)))
    return found if np.isfinite(found) else None


def _ends(
    one: np.ndarray, other: np.ndarray, whose: np.ndarray, draws: int, seed: int
) -> tuple[float | None, float | None]:
    """The percentile interval of kappa over patients drawn with replacement.

    Each patient has a table of verdict by verdict, and a draw's is a sum of them: kappa is (p − e) / (1 − e), with the
    share p on its diagonal, and e what its margins alone give. scikit-learn, called once a draw, takes seconds.
    """
    names, numbers = np.unique(whose, return_inverse=True)
    if draws < 1 or len(names) < 2:
        return None, None
    places = {str(verdict): place for place, verdict in enumerate(VERDICTS)}
    size = len(places)
    tables = np.zeros((len(names), size, size))
    first, second = (np.array([places[str(each)] for each in said]) for said in (one, other))
    np.add.at(tables, (numbers.reshape(-1), first, second), 1)
    generator = np.random.default_rng(seed)
    counts = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    drawn = np.tensordot(counts, tables, axes=1)
    drawn /= drawn.sum(axis=(1, 2), keepdims=True)
    same = np.trace(drawn, axis1=1, axis2=2)
    by_chance = (drawn.sum(axis=1) * drawn.sum(axis=2)).sum(axis=1)
    defined = by_chance < 1 - 1e-12
    if not defined.any():
        return None, None
    several = (same[defined] - by_chance[defined]) / (1 - by_chance[defined])
    low, high = np.quantile(several, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)
