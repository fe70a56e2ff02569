"""Who is trained on and who is tested on: by patient, always, and the same whatever the order of the rows."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from slidelake.errors import UsageError
from slidelake.services.tuning.data.row import TuningRow

__all__ = ["SHARES", "PatientSplit", "check_splits"]

SHARES: Mapping[str, float] = {"train": 0.8, "val": 0.1, "test": 0.1}
_NAMED = 5


@dataclass(frozen=True)
class PatientSplit:
    """`of(patient_id)` is the patient's part: from a file of splits, else by a hash of patient and seed.

    With `known` (from `load`), who is in none of its parts is in no split ("") and their rows are to be dropped. Ids
    that differ in case are one patient.
    """

    seed: int = 0
    shares: Mapping[str, float] = field(default_factory=lambda: dict(SHARES))
    known: Mapping[str, str] | None = None

    @classmethod
    def load(cls, path: Path, seed: int = 0) -> PatientSplit:
        """The parts of a file that `slidelake split` wrote. Raises UsageError where it is none, or holds folds."""
        from slidelake.store.streaming import Splits

        splits = Splits.load(path)
        if splits.folds is not None or not set(splits.parts) <= set(SHARES):
            raise UsageError(
                f"{path} divides into {'folds' if splits.folds else ', '.join(splits.parts)}",
                remedy="Give splits with the parts train, val and test: slidelake split OUT.json.",
            )
        known = {patient.casefold(): part for part in splits.parts for patient in splits.patients(part)}
        return cls(seed=seed, known=known)

    def of(self, patient_id: str) -> str:
        patient = patient_id.casefold()
        if self.known is not None:
            return self.known.get(patient, "")
        digest = hmac.new(f"split:{self.seed}".encode(), patient.encode("utf-8"), hashlib.sha256).digest()
        at = int.from_bytes(digest[:8], "big") / 2**64
        reached = 0.0
        for part, share in self.shares.items():
            reached += share
            if at < reached:
                return part
        return part


def check_splits(rows: Iterable[TuningRow]) -> None:
    """Raises UsageError where a patient, a slide, or a text or image (by its digest) is in more than one split."""
    part_of: dict[tuple[str, str], str] = {}
    leaks: dict[str, None] = {}
    for row in rows:
        if row.split not in SHARES:
            raise UsageError(
                f"row {row.id} of the tuning data is in no split ({row.split!r})",
                remedy=f"Each row is in one of {', '.join(SHARES)}.",
            )
        named = {("patient", row.patient_id.casefold()), ("slide", row.slide_id.casefold())}
        named |= {("slide", patch.slide_id.casefold()) for patch in row.images}
        named |= {("image", name) for name in row.image_files}
        # Two patients may well get the same answer; no two have the same report or image.
        named |= {("source", each.sha256) for each in row.evidence if each.kind != "answer"}
        for kind, what in sorted(named):
            if what and part_of.setdefault((kind, what), row.split) != row.split:
                leaks[f"{kind} {what} ({part_of[kind, what]} and {row.split})"] = None
    if leaks:
        more = f" and {len(leaks) - _NAMED} more" if len(leaks) > _NAMED else ""
        raise UsageError(
            f"the tuning data leaks between its splits: {', '.join(list(leaks)[:_NAMED])}{more}",
            remedy="Put all of a patient's slides and reports into one part, and drop copies of other patients' texts.",
        )
