"""The card of a data set: what it is, how it was made, what was left out, what it may be used for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from slidelake.services.tuning.data.files import new_text

__all__ = ["write_card"]


def write_card(folder: Path, asked: Mapping[str, Any], counts: Mapping[str, Any], *, about: str) -> Path:
    """Writes DATASET.md, from what the run was asked for and what it counted."""
    path = folder / "DATASET.md"
    with new_text(path) as out:
        out.write("\n".join(_lines(asked, counts, about)) + "\n")
    return path


def _lines(asked: Mapping[str, Any], counts: Mapping[str, Any], about: str) -> Iterator[str]:
    yield f"# Tuning data: {counts['rows']:,} rows by `slidelake tune-data {counts['command']}`"
    yield ""
    yield about or "Rows of instructions and answers, each with the text or picture it was made from."
    yield ""
    yield "## What is in it"
    yield ""
    for name in ("by_task", "by_split", "by_kind", "by_licence"):
        yield f"- {name.removeprefix('by_')}: {_told(counts[name])}"
    yield f"- patients: {_told(counts['patients'])} (a patient is in one split only)"
    yield (
        f"- text and vision: {counts['text_words']:,} words about {counts['pictures']:,} slides or patches"
        f" ({_ratio(counts)}); {counts['text_only_rows']:,} rows are text alone"
    )
    yield ""
    yield "## What was left out"
    yield ""
    for step, rules in counts["dropped"].items():
        yield f"- {step}: {_told(rules)}"
    if not counts["dropped"]:
        yield "- nothing"
    yield ""
    yield "## How it was made"
    yield ""
    yield f"slidelake {asked['slidelake']}, seed {asked['seed']}, arguments:"
    yield ""
    yield "```json"
    yield json.dumps(asked["arguments"], indent=1, ensure_ascii=False, sort_keys=True)
    yield "```"
    yield ""
    yield "The same command on the same lake writes the same bytes. `slidelake tune-data verify` looks up every"
    yield "row's evidence in the lake."
    yield ""
    yield "## Use"
    yield ""
    yield "The rows hold words of pathology reports or captions, so they are as confidential as these, and their"
    yield "licence is that of their sources. Not for diagnosis. When a patient is deleted from the lake, make the data"
    yield "set again and tune again: the files here are copies that the lake cannot reach."


def _told(values: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in values.items()) or "none"


def _ratio(counts: Mapping[str, Any]) -> str:
    if counts["text_per_picture"] is None:
        return "none"
    return f"{counts['text_per_picture']:,} words and {counts['rows_per_picture']:,} rows each"
