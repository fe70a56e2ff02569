"""Predictions beside the rows that they answer: read from JSONL, and matched by id."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slidelake.errors import UsageError
from slidelake.services.tuning.data import TuningRow

__all__ = ["Matched", "match", "read_predictions", "read_rows"]

_NAMED = 5


@dataclass(frozen=True)
class Matched:
    """Rows and what was predicted for each ("" where nothing was), in the order of the rows.

    `missing` are ids of rows without a prediction, `unknown` ids of predictions without a row.
    """

    rows: tuple[TuningRow, ...]
    predictions: tuple[str, ...]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def complete(self) -> bool:
        return not (self.missing or self.unknown)


def read_rows(path: str | Path, *, split: str = "") -> list[TuningRow]:
    """The rows of a rows.jsonl; of one split where it is named.

    Raises UsageError: no such file, a line that is no row, an id that stands twice, a patient in two splits, no rows.
    """
    found: dict[str, TuningRow] = {}
    splits: dict[str, set[str]] = {}
    for place, values in _lines(path):
        try:
            row = TuningRow.read(values)
        except UsageError as exc:
            raise UsageError(f"{place}: {exc.problem}", remedy=exc.remedy) from exc
        if row.id in found:
            raise UsageError(
                f"{place}: the id {row.id} stands twice", remedy="Give each row an id of its own."
            )
        found[row.id] = row
        splits.setdefault(row.patient_id, set()).add(row.split)
    for patient, several in splits.items():
        if len(several) > 1:
            raise UsageError(
                f"patient {patient} of {path} is in the splits {', '.join(map(repr, sorted(several)))}",
                remedy="Split by patient: figures on a patient that was learnt from say nothing.",
            )
    kept = [row for row in found.values() if not split or row.split == split]
    if not kept:
        known = sorted({row.split for row in found.values()} - {""})
        raise UsageError(
            f"{path} has no rows" + (f" of the split {split!r}" if split else ""),
            remedy=f"Its splits: {', '.join(known) or 'none are named'}."
            if found
            else "Make some: tune-data.",
        )
    return kept


def read_predictions(path: str | Path) -> dict[str, str]:
    """Id → text of a JSONL of {"id", "prediction"}. Raises UsageError for other lines, and ids that stand twice."""
    found: dict[str, str] = {}
    twice: list[str] = []
    for place, values in _lines(path):
        name, text = values.get("id"), values.get("prediction")
        if not isinstance(name, str) or not name or not isinstance(text, str):
            raise UsageError(
                f'{place} is no prediction: it has no "id" or no "prediction" that is text',
                remedy='Write one object a line: {"id": "…", "prediction": "…"}.',
            )
        twice += [name] if name in found else []
        found[name] = text
    if twice:
        raise UsageError(
            f"{path} answers {len(set(twice))} rows twice: {_listed(twice)}",
            remedy="Keep one prediction a row: nobody can tell which one counts.",
        )
    return found


def match(
    rows: Sequence[TuningRow], predictions: Mapping[str, str], *, others: Sequence[str] = ()
) -> Matched:
    """Each row with its prediction. `others` are ids that are known though not asked about (of other splits).

    Raises UsageError where no prediction belongs to any row.
    """
    ids = {row.id for row in rows}
    if not ids & set(predictions):
        raise UsageError(
            f"none of the {len(predictions):,} predictions is of one of the {len(ids):,} rows",
            remedy=f"Their ids must be those of the rows, such as {rows[0].id}." if rows else "Give rows.",
        )
    known = ids | set(others)
    return Matched(
        tuple(rows),
        tuple(predictions.get(row.id, "") for row in rows),
        tuple(row.id for row in rows if row.id not in predictions),
        tuple(name for name in predictions if name not in known),
    )


def _lines(path: str | Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(place, object) of each line that is not empty."""
    try:
        with Path(path).open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    values = json.loads(line)
                except json.JSONDecodeError as exc:
                    raise UsageError(
                        f"line {number} of {path} is no JSON ({exc})", remedy="Write one JSON object a line."
                    ) from exc
                if not isinstance(values, dict):
                    raise UsageError(
                        f"line {number} of {path} is no object", remedy="Write one JSON object a line."
                    )
                yield f"line {number} of {path}", values
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"{path} cannot be read ({exc})", remedy="Name a JSONL file in UTF-8.") from exc


def _listed(names: Sequence[str]) -> str:
    several = list(dict.fromkeys(names))
    more = f" and {len(several) - _NAMED} more" if len(several) > _NAMED else ""
    return ", ".join(several[:_NAMED]) + more
