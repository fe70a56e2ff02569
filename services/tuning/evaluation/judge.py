"""Judging many answers: acceptance with intervals, each criterion's counts, and the form beside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from slidelake.errors import UsageError
from slidelake.services.tuning.evaluation.criteria import CRITERIA, VERDICTS
from slidelake.services.tuning.evaluation.form import Form, check_form
from slidelake.services.tuning.evaluation.intervals import Patients
from slidelake.services.tuning.evaluation.verdict import PLAIN, Case, Verdict, Way

__all__ = ["Judge", "Judgement", "judge_answers"]


class Judge(Protocol):
    """Anything that gives a verdict on a case. `malformed` counts replies that were none, by reason."""

    malformed: Counter[str]

    @property
    def name(self) -> str: ...

    def judge(self, case: Case, way: Way = ...) -> Verdict | None:
        """A verdict, or None where the judge gave none that could be read."""
        ...


@dataclass(frozen=True)
class Judgement:
    """Each case with its verdict (None: the judge gave none) and the form of its answer; all figures come from them."""

    judge: str
    cases: tuple[Case, ...]
    verdicts: tuple[Verdict | None, ...]
    forms: tuple[Form, ...]
    malformed: dict[str, int]

    @property
    def judged(self) -> int:
        return sum(verdict is not None for verdict in self.verdicts)

    def share(
        self, of: Callable[[Verdict], bool], *, draws: int = 1000, seed: int = 0
    ) -> tuple[float, float | None, float | None]:
        """The share of the judged answers for which something holds, with its 95 % interval by patient."""
        given = [
            (case, verdict)
            for case, verdict in zip(self.cases, self.verdicts, strict=True)
            if verdict is not None
        ]
        if not given:
            return float("nan"), None, None
        patients = Patients([case.patient_id for case, _ in given], draws=draws, seed=seed)
        return patients.mean([float(of(verdict)) for _, verdict in given])

    def criteria(self) -> dict[str, dict[str, int]]:
        """Criterion → verdict → how many answers."""
        found = {criterion.name: dict.fromkeys(map(str, VERDICTS), 0) for criterion in CRITERIA}
        for verdict in self.verdicts:
            for finding in verdict.findings if verdict is not None else ():
                found[finding.criterion][finding.verdict] += 1
        return found

    def to_dict(self, *, draws: int = 1000, seed: int = 0) -> dict[str, Any]:
        """The figures, and each verdict with its evidence, as plain JSON values."""
        faults = Counter(fault for form in self.forms for fault in form.faults)
        return {
            "judge": self.judge,
            "answers": len(self.cases),
            "patients": len({case.patient_id for case in self.cases}),
            "judged": self.judged,
            "malformed": dict(self.malformed),
            "accepted": _interval(self.share(lambda verdict: verdict.accepted, draws=draws, seed=seed)),
            "complete": _interval(self.share(lambda verdict: verdict.complete, draws=draws, seed=seed)),
            "criteria": self.criteria(),
            "form": {"faults": dict(faults), "clean": sum(not form.faults for form in self.forms)},
            "verdicts": [
                {
                    "id": case.id,
                    "patient_id": case.patient_id,
                    "accepted": verdict.accepted if verdict else None,
                    "findings": [asdict(finding) for finding in verdict.findings] if verdict else None,
                    "form": asdict(form),
                }
                for case, verdict, form in zip(self.cases, self.verdicts, self.forms, strict=True)
            ],
        }


def judge_answers(
    cases: Iterable[Case], judge: Judge, *, way: Way = PLAIN, progress: Callable[..., None] | None = None
) -> Judgement:
    """Judge every case. Raises UsageError where there are none, EndpointError where the judge cannot be reached."""
    listed = list(cases)
    check_cases(listed)
    before = Counter(judge.malformed)
    tell = progress or (lambda event, **fields: None)
    tell("start", total=len(listed))
    verdicts = []
    for case in listed:
        verdicts.append(judge.judge(case, way))
        tell("slide", slide_id=case.id)
    tell("end")
    return Judgement(
        judge.name,
        tuple(listed),
        tuple(verdicts),
        tuple(check_form(case.answer) for case in listed),
        dict(judge.malformed - before),
    )


def check_cases(cases: Sequence[Case]) -> None:
    if not cases:
        raise UsageError("there are no answers to judge", remedy="Give rows whose report is known.")


def _interval(ends: tuple[float, float | None, float | None]) -> dict[str, float | None]:
    value, low, high = ends
    return {"value": value if value == value else None, "low": low, "high": high}
