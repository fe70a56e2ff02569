"""What a tuning came to: what it learnt from, what it cost, and its answers before and after."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from slidelake.errors import UsageError
from slidelake.services.tuning.model.files import put_text

__all__ = ["REPORT", "PhaseReport", "TuneReport", "load_report", "phase_report", "save_report"]

REPORT = "report.json"


@dataclass(frozen=True)
class PhaseReport:
    """A phase: rows and steps, the first and last loss a learnt token (a mean over lines of the log), tokens in all and
    learnt ones, seconds of its steps and the share of them that features were waited for."""

    name: str
    rows: int
    epochs: int
    steps: int
    first_loss: float
    last_loss: float
    val_loss: float | None
    tokens: int
    learnt_tokens: int
    seconds: float
    waited: float

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0

    @property
    def waiting(self) -> float:
        """The share of the time that features were waited for."""
        return self.waited / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class TuneReport:
    """A whole tuning. `measured`: "before", "aligned" and "after", each with closed_accuracy, open_recall and counts
    over the rows of `asked`, a part whose patients nobody learnt from. `parts`: rows and patients of each part."""

    out: str
    space: str
    model: str
    asked: str
    parts: Mapping[str, Mapping[str, int]]
    left_out: Mapping[str, int]
    parameters: Mapping[str, int]
    phases: Sequence[PhaseReport]
    measured: Mapping[str, Mapping[str, Any]]
    notes: Sequence[str] = ()
    config: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def phase_report(
    name: str, rows: int, epochs: int, history: Sequence[Mapping[str, Any]]
) -> PhaseReport | None:
    """What the log says of a phase; None where it says nothing."""
    lines = [each for each in history if each["phase"] == name]
    if not lines:
        return None
    seen = [each["val_loss"] for each in lines if each["val_loss"] is not None]
    return PhaseReport(
        name,
        rows,
        epochs,
        int(lines[-1]["step"]),
        lines[0]["train_loss"],
        lines[-1]["train_loss"],
        seen[-1] if seen else None,
        sum(each["tokens"] for each in lines),
        sum(each["learnt_tokens"] for each in lines),
        sum(each["seconds"] for each in lines),
        sum(each["waited"] for each in lines),
    )


def save_report(report: TuneReport) -> None:
    """Writes report.json."""
    put_text(Path(report.out) / REPORT, json.dumps(report.to_dict(), indent=2) + "\n")


def load_report(folder: str | Path) -> TuneReport:
    """The report of a tuning that ended. Raises UsageError where there is none."""
    file = Path(folder).expanduser() / REPORT
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        values["phases"] = [PhaseReport(**each) for each in values["phases"]]
        return TuneReport(**values)
    except (OSError, ValueError, TypeError, KeyError) as exc:
        raise UsageError(
            f"{file} is no report of a tuning ({exc})", remedy="Let it end first: slidelake tune --resume."
        ) from exc
