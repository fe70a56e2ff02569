"""A language model as the judge: any OpenAI-compatible endpoint, whose replies are taken only in the strict form."""

from __future__ import annotations

from collections import Counter

from slidelake.errors import EndpointError, UsageError
from slidelake.services.answers import Endpoint
from slidelake.services.tuning.evaluation.criteria import CRITERIA, Criterion
from slidelake.services.tuning.evaluation.judge_prompt import REPORT_LIMIT, asked_criteria, messages
from slidelake.services.tuning.evaluation.verdict import (
    PLAIN,
    Case,
    Finding,
    MalformedError,
    Verdict,
    Way,
    read_reply,
)

__all__ = ["EndpointJudge"]

#: So many cases in a row without any reply: the endpoint is down, and asking on would take hours.
_PATIENCE = 3


class EndpointJudge:
    """Asks an endpoint. `malformed` counts, by reason, all replies that were not taken, also where a later one was.

    `apart`: each criterion is asked about in a request of its own, which keeps them from one another's influence for
    seven times the cost. `tries` requests at most for one verdict. An endpoint that gives no reply counts as "no
    reply"; after three cases in a row without any the error is raised.
    """

    def __init__(self, endpoint: Endpoint, *, apart: bool = False, tries: int = 2) -> None:
        if tries < 1:
            raise UsageError(f"tries={tries}", remedy="Ask at least once.")
        self._endpoint = endpoint
        self._apart = apart
        self._tries = tries
        self._silent = 0
        self.malformed: Counter[str] = Counter()
        self.requests = 0
        #: Cases whose report was longer than is sent.
        self.cut: set[str] = set()

    @property
    def name(self) -> str:
        return self._endpoint.model

    def judge(self, case: Case, way: Way = PLAIN) -> Verdict | None:
        """A verdict, or None where no reply was one."""
        criteria = asked_criteria(way)
        self.cut |= {case.id} if len(case.report) > REPORT_LIMIT else set()
        parts = [[each] for each in criteria] if self._apart else [criteria]
        found: dict[str, Finding] = {}
        for part in parts:
            findings = self._ask(case, part, way)
            if findings is None:
                return None
            found |= {finding.criterion: finding for finding in findings}
        return Verdict(tuple(found[each.name] for each in CRITERIA))

    def _ask(self, case: Case, criteria: list[Criterion], way: Way) -> list[Finding] | None:
        for attempt in range(self._tries):
            self.requests += 1
            try:
                text = "".join(piece.text for piece in self._endpoint.write(messages(case, criteria, way)))
                self._silent = 0
                return read_reply(text, case, criteria)
            except MalformedError as exc:
                self.malformed[exc.reason] += 1
            except EndpointError:
                self.malformed["no reply"] += 1
                self._silent += attempt == self._tries - 1
                if self._silent >= _PATIENCE:
                    raise
        return None
