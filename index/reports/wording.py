"""The words that a part of the questions is put in: organs, tumours, findings, numbers, what is asked, in what form.

develop, test    tables of `paraphrases.py`; both were looked at while search and answers were chosen
practice, confirm    files in `wordings/`, each written by one who saw neither the search nor its synonyms nor the
                 other parts. practice may be looked at; confirm is only measured on
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from slidelake.errors import UsageError
from slidelake.index.reports.numerals import words_of
from slidelake.index.reports.paraphrases import (
    ABSENT,
    ASK,
    FINDINGS,
    FRAMES,
    HISTOLOGIES,
    LABELS,
    ORGANS,
    TEMPLATES,
)

__all__ = ["PARTS", "Part", "WordingSet", "wording_of"]

Part = Literal["develop", "test", "practice", "confirm"]
PARTS: tuple[str, ...] = get_args(Part)

_FOLDER = Path(__file__).with_name("wordings")
_ISUP = {"3+3": 1, "3+4": 2, "4+3": 3, "4+4": 4, "3+5": 4, "5+3": 4, "4+5": 5, "5+4": 5, "5+5": 5}
_Phrases = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class WordingSet:
    """Phrases by what they stand for; `numbers` gives those of a (kind, value) fact that is a number.

    `templates` have {tumour}, {clues}, {ask}; `labels` {kind}, {place}; `frames` of unanswerable questions a {}.
    `absent`: topics, each with the words whose absence from every report proves it. `article` stands before organs.
    """

    organs: _Phrases
    histologies: _Phrases
    findings: _Phrases
    ask: _Phrases
    templates: tuple[str, ...]
    labels: tuple[str, ...]
    frames: tuple[str, ...]
    absent: Mapping[str, str]
    numbers: Callable[[str, str], list[str]]
    article: str = ""


@cache
def wording_of(part: str) -> WordingSet:
    """The words of a part. Raises UsageError for a part that is none."""
    if part not in PARTS:
        raise UsageError(f"there is no part {part!r}", remedy=f"Use one of: {', '.join(PARTS)}.")
    if part in ("develop", "test"):
        half: Literal["develop", "test"] = "develop" if part == "develop" else "test"
        return WordingSet(
            {name: each.of(half) for name, each in ORGANS.items()},
            {name: each.of(half) for name, each in HISTOLOGIES.items()},
            {name: each.of(half) for name, each in FINDINGS.items()},
            {name: tuple(each[part].split("|")) for name, each in ASK.items()},
            TEMPLATES[part],
            LABELS[part],
            FRAMES[part],
            ABSENT[part],
            _developed if part == "develop" else _tested,
        )
    told = json.loads((_FOLDER / f"{part}.json").read_text(encoding="utf-8"))
    phrases = {
        name: {key: tuple(each) for key, each in told[name].items()}
        for name in ("organs", "histologies", "findings", "ask")
    }
    return WordingSet(
        **phrases,
        templates=tuple(told["templates"]),
        labels=tuple(told["labels"]),
        frames=tuple(told["frames"]),
        absent=told["absent"],
        numbers=lambda kind, value: _written(told, kind, value),
        article="the ",
    )


def _developed(kind: str, value: str) -> list[str]:
    match kind:
        case "size":
            digits = f"{int(value) / 10:g} mm"
            centimetres = [f"{words_of(int(value) // 100)} centimetres"] if int(value) % 100 == 0 else []
            return [f"a diameter of {each}" for each in (digits, *centimetres)]
        case "nodes":
            positive, _, total = value.rpartition("/")
            some = _none_or(positive, str)
            return [
                f"{spell(int(total))} LN sampled"
                + (f", {_none_or(positive, spell)} positive" if some else "")
                for spell in (str, words_of)
            ]
        case "weight":
            return [f"{float(value) / 1000:g} kg taken out"]
        case "gleason":
            return [f"ISUP group {words_of(_ISUP[value])}"] if value in _ISUP else []
    return [f"{words_of(int(float(value)))} percent of nuclei cycling"] if float(value).is_integer() else []


def _tested(kind: str, value: str) -> list[str]:
    match kind:
        case "size":
            whole, rest = divmod(int(value), 10)
            spelt = [f"{words_of(whole)} millimetres"] if not rest else []
            return [f"an extent of {each}" for each in (*spelt, f"{int(value) / 10:g} mm")]
        case "nodes":
            positive, _, total = value.rpartition("/")
            return [
                f"{_none_or(positive, spell)} out of {spell(int(total))} LN affected"
                if positive
                else f"{spell(int(total))} LN looked at"
                for spell in (words_of, str)
            ]
        case "weight":
            grams = float(value)
            spelt = [f"{words_of(int(grams))} grams in weight"] if grams.is_integer() else []
            return [*spelt, f"{grams / 1000:g} kg on the scale"]
        case "gleason":
            first, second = value.split("+")
            return [f"architectural patterns {words_of(int(first))} then {words_of(int(second))}"]
    return [f"{words_of(int(float(value)))} percent of nuclei dividing"] if float(value).is_integer() else []


def _written(told: Mapping[str, Any], kind: str, value: str) -> list[str]:
    """The frames of a file with the number in them, in digits and, where it is whole, in words."""
    frames: list[str] = told[kind]
    match kind:
        case "size":
            parts = {"mm": int(value) / 10, "cm": int(value) / 100}
        case "nodes":
            positive, _, total = value.rpartition("/")
            frames = frames if positive else told["nodes_total"]
            parts = {"positive": float(positive or 0), "total": float(total)}
        case "weight":
            parts = {"g": float(value), "kg": float(value) / 1000}
        case "gleason":
            first, second = value.split("+")
            if value not in _ISUP:
                frames = [frame for frame in frames if "{isup}" not in frame]
            parts = {"first": float(first), "second": float(second), "isup": float(_ISUP.get(value, 0))}
        case _:
            parts = {"percent": float(value)}
    found = []
    for frame in frames:
        for spell in (_digits, _spelt):
            said = {name: spell(number) for name, number in parts.items() if f"{{{name}}}" in frame}
            if all(said.values()):
                found.append(frame.format(**said))
    return found


def _digits(number: float) -> str:
    return f"{number:g}"


def _spelt(number: float) -> str:
    return words_of(int(number)) if number.is_integer() and number <= 9999 else ""


def _none_or(positive: str, spell: Callable[[int], str]) -> str:
    return "none" if positive in ("0", "00") else spell(int(positive)) if positive else ""
