"""Image–text pairs as other people's files hold them, read into one form; and whose each of them is.

A file is JSON (a list of objects), JSONL or CSV. Its shape is told by its fields:

    pathgen   wsi_id, position, caption              the patient is TCGA's, in the slide's id
    quilt     question_id, image, text               the patient is the video that the image was cut from
    pathvqa   img_id, labelf, sentf                  one record an image, many questions; the patient is the image
    wsi-vqa   Id, Question, Choice, Answer           the patient is `Id`
    pairs     caption or text; id, image, patient_id, question, answer, choices, licence where there are
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slidelake.errors import UsageError
from slidelake.services.tuning.data.row import Evidence

__all__ = ["SHAPES", "Pair", "pair_resolver", "read_pairs"]

#: TCGA's barcode of a patient at the beginning of that of a slide.
_TCGA = re.compile(r"TCGA-\w{2}-\w{4}", re.IGNORECASE)
#: A field of a CSV may be as long as the longest caption that is refused by its length.
_FIELD = 2**24


@dataclass(frozen=True)
class Pair:
    """A picture and what is said of it.

    `text` is the caption, or the answer where there is a `question`, as the file has it. `image` is what the file calls
    its picture ("" where there is none), `position` the level-0 px of a patch of the slide `slide_id`. `record` finds
    it again in `source`: the id, or "#n" for the n-th record.
    """

    source: str
    record: str
    text: str
    patient_id: str
    question: str = ""
    choices: tuple[str, ...] = ()
    image: str = ""
    slide_id: str = ""
    position: tuple[int, int] | None = None
    licence: str = ""

    @property
    def whole(self) -> str:
        """The text that evidence is cut from: the caption; of a question all that tells it from the others."""
        return f"{self.picture}\n{self.question}\n{self.text}" if self.question else self.text

    @property
    def picture(self) -> str:
        """What tells this picture from all others; where there is none, the record in its source."""
        if self.image:
            return self.image
        place = f"@{self.position[0]},{self.position[1]}" if self.position else ""
        return f"{self.slide_id}{place}" if place else f"{self.source}#{self.record}"

    def evidence(self) -> Evidence:
        """The text as the file has it, and the record that holds it."""
        whole = self.whole
        start = len(whole) - len(self.text)
        digest = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()
        source = f"{self.source}#{self.record}"
        return Evidence("caption", source, start, len(whole), quote=self.text, sha256=digest)


def read_pairs(path: Path, *, shape: str | None = None, licence: str = "") -> Iterator[Pair]:
    """The pairs of a file, in its order; `licence` is that of records which name none.

    Raises UsageError for a file that is not there, is no JSON, JSONL or CSV, has no record, or is of no known shape.
    What is wrong with one record alone (no text, a type that is not text) is left to the rules of cleaning.
    """
    records = _records(path)
    first = next(records, None)
    if first is None:
        raise UsageError(f"{path} has no record", remedy="Give a file with image–text pairs.")
    reader = SHAPES[shape or _shape_of(first[1], path)]
    number, seen = 0, False
    for place, record in _again(first, records):
        for pair in reader(record, path.name, f"#{place}"):
            seen = True
            number += 1
            yield pair if pair.licence or not licence else _licensed(pair, licence)
    if not seen:
        raise UsageError(f"{path} has no pair", remedy="Its records hold neither captions nor questions.")


def pair_resolver(paths: Iterable[Path], shape: str | None = None) -> Callable[[Evidence], str]:
    """Looks evidence of the kind caption up in the files: what is wrong with it, or "" where they still say it."""
    held: dict[str, set[str]] = {}
    for path in paths:
        for pair in read_pairs(path, shape=shape):
            evidence = pair.evidence()
            held.setdefault(evidence.source, set()).add(evidence.sha256)

    def resolve(evidence: Evidence) -> str:
        if evidence.source not in held:
            return "its record is in none of the files"
        return "" if evidence.sha256 in held[evidence.source] else "its record has another text by now"

    return resolve


def _records(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(number from 1, record) of a file."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}", remedy="Give a .json, .jsonl or .csv file.")
    kind = path.suffix.lower()
    readers = {".json": _json, ".jsonl": _jsonl, ".ndjson": _jsonl, ".csv": _csv}
    if kind not in readers:
        raise UsageError(f"{path} is no .json, .jsonl or .csv", remedy="Convert it to one of these.")
    try:
        for number, record in enumerate(readers[kind](path), start=1):
            if not isinstance(record, dict):
                raise UsageError(
                    f"record {number} of {path} is a {type(record).__name__}, not an object",
                    remedy="Give a list of objects, a line of JSON each, or a CSV with a header.",
                )
            yield number, record
    except UnicodeDecodeError as exc:
        raise UsageError(f"{path} is not UTF-8 ({exc.reason})", remedy="Convert it to UTF-8.") from exc
    except csv.Error as exc:
        raise UsageError(f"{path} cannot be read as CSV ({exc})", remedy="Quote its fields.") from exc
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"{path} is not valid JSON ({exc})", remedy="Is the file whole?") from exc


def _json(path: Path) -> Iterator[Any]:
    values = json.loads(path.read_text("utf-8-sig"))
    if not isinstance(values, list):
        raise UsageError(f"{path} holds no list", remedy="Give a list of records, or JSONL.")
    return iter(values)


def _jsonl(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8-sig") as handle:
        for number, line in enumerate(handle, start=1):
            if not line.strip():
                continue
            try:
                yield json.loads(line)
            except ValueError as exc:  # also a number of thousands of digits
                raise UsageError(
                    f"line {number} of {path} is not valid JSON ({exc})", remedy="Is the file whole?"
                ) from exc


def _csv(path: Path) -> Iterator[Any]:
    before = csv.field_size_limit(min(sys.maxsize, _FIELD))
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            yield from csv.DictReader(handle)
    finally:
        csv.field_size_limit(before)


def _again(
    first: tuple[int, Mapping[str, Any]], rest: Iterator[tuple[int, Mapping[str, Any]]]
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    yield first
    yield from rest


def _shape_of(record: Mapping[str, Any], path: Path) -> str:
    for shape, fields in _FIELDS.items():
        if fields <= record.keys():
            return shape
    if record.keys() & _TEXTS or {"question", "answer"} <= record.keys():
        return "pairs"
    raise UsageError(
        f"{path} has no known field of text: its records have {', '.join(map(str, record)) or 'none'}",
        remedy="Name the text caption or text, or question and answer; or give --shape.",
    )


def _text(value: Any) -> str:
    """What is text as it is; "" for what is none, which the rules then drop as empty."""
    return _writable(value) if isinstance(value, str) else ""


def _name(value: Any) -> str:
    return _writable(str(value).strip()) if isinstance(value, str | int) else ""


def _writable(text: str) -> str:
    """Half a character ("\\ud800", which JSON allows) cannot be written as UTF-8: a question mark stands for it."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _pathgen(record: Mapping[str, Any], source: str, place: str) -> Iterator[Pair]:
    slide = _name(record.get("wsi_id"))
    found = _TCGA.match(slide)
    try:
        x, y = (int(each) for each in record.get("position") or ())
        position = (x, y)
    except (TypeError, ValueError, OverflowError):
        position = None
    record_id = f"{slide}@{position[0]},{position[1]}" if position else place
    yield Pair(
        source,
        record_id,
        _text(record.get("caption")),
        found[0].upper() if found else slide or place,
        slide_id=slide,
        position=position,
    )


def _quilt(record: Mapping[str, Any], source: str, place: str) -> Iterator[Pair]:
    image = _name(record.get("image"))
    # VIDEO_roi_UUID.jpg: pictures of one video show one case, or cases side by side.
    video = image.rpartition("_roi_")[0]
    yield Pair(
        source,
        _name(record.get("question_id")) or place,
        _text(record.get("text")),
        video or image or place,
        image=image,
    )


def _pathvqa(record: Mapping[str, Any], source: str, place: str) -> Iterator[Pair]:
    image = _name(record.get("img_id")) or place
    asked, given_answers = record.get("sentf"), record.get("labelf")
    groups: dict[str, Any] = asked if isinstance(asked, dict) else {}
    answers: dict[str, Any] = given_answers if isinstance(given_answers, dict) else {}
    for group, questions in groups.items():
        held = answers.get(group)
        given = held if isinstance(held, list) else []
        for number, question in enumerate(questions if isinstance(questions, list) else []):
            answer = given[number] if number < len(given) else None
            # {answer: weight}: the answers that people gave, and how sure they were.
            known = answer if isinstance(answer, dict) else {}
            weights = {name: weight for name, weight in known.items() if isinstance(weight, int | float)}
            best = max(weights, key=weights.__getitem__) if weights else ""
            yield Pair(source, f"{image}/{number}", _text(best), image, question=_text(question), image=image)


def _wsivqa(record: Mapping[str, Any], source: str, place: str) -> Iterator[Pair]:
    patient = _name(record.get("Id"))
    given = record.get("Choice")
    texts = (_text(each).strip() for each in given) if isinstance(given, list) else ()
    choices = tuple(dict.fromkeys(filter(None, texts)))
    yield Pair(
        source,
        place,
        _text(record.get("Answer")),
        patient or place,
        question=_text(record.get("Question")),
        choices=choices,
        slide_id=patient,
    )


def _pairs(record: Mapping[str, Any], source: str, place: str) -> Iterator[Pair]:
    question = _text(record.get("question"))
    text = next((_text(record[name]) for name in ("caption", "text", "answer") if record.get(name)), "")
    if question and record.get("answer"):
        text = _text(record.get("answer"))
    image = _name(record.get("image") or record.get("image_path"))
    record_id = _name(record.get("id")) or place
    given = record.get("choices")
    yield Pair(
        source,
        record_id,
        text,
        _name(record.get("patient_id")) or _name(record.get("slide_id")) or image or record_id,
        question=question,
        choices=tuple(_writable(str(each)) for each in given) if isinstance(given, list) else (),
        image=image,
        slide_id=_name(record.get("slide_id")),
        licence=_name(record.get("licence") or record.get("license")),
    )


def _licensed(pair: Pair, licence: str) -> Pair:
    return replace(pair, licence=licence)


_TEXTS = frozenset({"caption", "text"})
_FIELDS: Mapping[str, frozenset[str]] = {
    "pathgen": frozenset({"wsi_id", "position", "caption"}),
    "quilt": frozenset({"question_id", "image", "text"}),
    "pathvqa": frozenset({"img_id", "labelf", "sentf"}),
    "wsi-vqa": frozenset({"Id", "Question", "Choice", "Answer"}),
}
Reader = Callable[[Mapping[str, Any], str, str], Iterator[Pair]]
#: The reader of each shape.
SHAPES: Mapping[str, Reader] = {
    "pathgen": _pathgen,
    "quilt": _quilt,
    "pathvqa": _pathvqa,
    "wsi-vqa": _wsivqa,
    "pairs": _pairs,
}
