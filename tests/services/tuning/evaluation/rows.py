"""Rows of tuning data made by hand, and files of them with predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from slidelake.services.tuning.data import Evidence, TuningRow, Turn


def row(
    name: str,
    answer: str,
    *,
    question: str = "What is it?",
    patient: str = "P0",
    task: str = "report-vqa",
    choices: Sequence[str] = (),
    closed: bool = False,
    report: str = "R0",
    split: str = "",
) -> TuningRow:
    return TuningRow(
        id=name,
        task=task,
        patient_id=patient,
        turns=(Turn("user", question), Turn("assistant", answer)),
        evidence=(Evidence("report", report),),
        kind="closed" if closed or choices else "open",
        choices=tuple(choices),
        split=split,
    )


def write(folder: Path, rows: Sequence[TuningRow], predictions: Mapping[str, str]) -> tuple[Path, Path]:
    """rows.jsonl and predictions.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    first, second = folder / "rows.jsonl", folder / "predictions.jsonl"
    first.write_text("".join(json.dumps(each.to_dict()) + "\n" for each in rows))
    second.write_text(
        "".join(json.dumps({"id": key, "prediction": text}) + "\n" for key, text in predictions.items())
    )
    return first, second
