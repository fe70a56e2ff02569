"""What a data set holds, in numbers: rows by task and split, text beside vision, what was dropped by which rule."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from slidelake.services.tuning.data.duplicates import plain_words
from slidelake.services.tuning.data.row import TuningRow

__all__ = ["Tally", "vision_of"]


def vision_of(row: TuningRow) -> tuple[str, ...]:
    """The pictures that a row is about: its patches and image files, else its slide; none for a row of text alone."""
    patches = tuple(f"{each.slide_id}@{each.x},{each.y}" for each in row.images)
    return (*patches, *row.image_files) or ((row.slide_id,) if row.slide_id else ())


@dataclass
class Tally:
    """Counts rows as they are added."""

    rows: int = 0
    by: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    words: int = 0
    text_only: int = 0
    _vision: set[str] = field(default_factory=set)
    _patients: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, row: TuningRow) -> None:
        self.rows += 1
        self.by["task"][row.task] += 1
        self.by["split"][row.split] += 1
        self.by["kind"][row.kind] += 1
        self.by["licence"][row.licence or "not stated"] += 1
        self.words += sum(len(plain_words(turn.text)) for turn in row.turns if turn.role != "system")
        seen = vision_of(row)
        self.text_only += not seen
        self._vision.update(seen)
        self._patients[row.split].add(row.patient_id.casefold())

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values. `text_per_picture` is words of questions and answers for each slide or patch that the
        rows are about; `rows_per_picture` how many rows each has; both are null where all rows are text alone."""
        pictures = len(self._vision)
        seeing = self.rows - self.text_only
        return {
            "rows": self.rows,
            **{f"by_{name}": dict(sorted(counts.items())) for name, counts in sorted(self.by.items())},
            "patients": {part: len(patients) for part, patients in sorted(self._patients.items())},
            "text_words": self.words,
            "pictures": pictures,
            "text_only_rows": self.text_only,
            "rows_per_picture": round(seeing / pictures, 3) if pictures else None,
            "text_per_picture": round(self.words / pictures, 3) if pictures else None,
        }
