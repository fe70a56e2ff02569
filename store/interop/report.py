"""What an import or export did: one outcome a file or slide, and how it ends."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["BagOutcome", "TransferReport"]


@dataclass
class BagOutcome:
    """What became of one bag: `state` is made, already, would-make, denied (it was
    deleted from the store and stays out) or refused.

    `file` is what was read or written; `reason` a short name, `message` and `remedy` for people; `notes` what
    was assumed, or what the layout could not hold.
    """

    slide_id: str
    file: str
    state: str
    space: str = ""
    patches: int = 0
    reason: str = ""
    message: str = ""
    remedy: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass
class TransferReport:
    """One import or export: what was asked, the outcomes in the order of the files, and notes for people."""

    asked: dict[str, Any] = field(default_factory=dict)
    outcomes: list[BagOutcome] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """Outcomes by state."""
        return dict(Counter(outcome.state for outcome in self.outcomes))

    @property
    def exit_code(self) -> int:
        """0 all well, 3 some could not, 4 nothing matched (FORMAT, Words on the command line)."""
        if not self.outcomes:
            return 4
        return 3 if any(outcome.state == "refused" for outcome in self.outcomes) else 0

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {**asdict(self), "counts": self.counts, "exit_code": self.exit_code}
