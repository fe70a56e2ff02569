"""What a run did: one outcome a slide, and how the run ends."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["RunReport", "SlideOutcome"]


@dataclass
class SlideOutcome:
    """What became of one slide: `state` is made, already, would-make, quarantined or denied (it was
    deleted, and stays out: no name of it is told, `uri` is a keyed hash).

    `reason` is quarantine's short name, `message` and `remedy` are for people; the seconds tell where the time
    of a slide that was made went (decoding is summed over threads).
    """

    slide_id: str
    uri: str
    state: str
    reason: str = ""
    message: str = ""
    remedy: str = ""
    patches: int = 0
    invalid: int = 0
    seconds: float = 0.0
    decode_seconds: float = 0.0
    encode_seconds: float = 0.0
    write_seconds: float = 0.0


@dataclass
class RunReport:
    """One run: what was asked, the outcomes in the order of the sources, and notes for people.

    `interrupted` tells that the run ended early: not every slide has an outcome.
    """

    run_id: str
    asked: dict[str, Any] = field(default_factory=dict)
    outcomes: list[SlideOutcome] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """Outcomes by state."""
        return dict(Counter(outcome.state for outcome in self.outcomes))

    @property
    def exit_code(self) -> int:
        """0 all well, 3 some slides in quarantine, 4 nothing matched (FORMAT, Words on the command line)."""
        if not self.outcomes:
            return 4
        return 3 if any(outcome.state == "quarantined" for outcome in self.outcomes) else 0

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "counts": self.counts, "exit_code": self.exit_code}
