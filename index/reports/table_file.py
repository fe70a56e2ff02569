"""Reports in tables: CSV, TSV and JSONL, one report a row; columns are chosen, or found by their usual names."""

import csv
import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slidelake.errors import ReportError
from slidelake.index.reports.draft import Draft
from slidelake.index.reports.options import ReadOptions
from slidelake.store import Source

__all__ = ["read_csv", "read_jsonl"]

#: Columns by their usual names, in the order in which they are looked for.
_USUAL = {
    "text": ("text", "report_text", "report", "ocr_text", "full_text", "body", "content", "narrative"),
    "report_id": (
        *("report_id", "reportid", "id", "pdf_file_name", "patient_filename", "file_name", "filename"),
        *("accession", "accession_number"),
    ),
    "patient_id": (
        *("patient_id", "patientid", "patient", "case_id", "case_submitter_id", "submitter_id"),
        *("bcr_patient_barcode", "subject_id", "case"),
    ),
    "slide_id": ("slide_id", "slide_ids", "slideid", "slide", "slides"),
    "title": ("title", "report_title"),
}
_OPTION = {
    "text": "--text-column",
    "report_id": "--id-column",
    "patient_id": "--patient-column",
    "slide_id": "--slide-column",
    "title": "--title-column",
}
# A longer value is a text of its own, not something to filter by.
_VALUE_LIMIT = 500
_FILE_SUFFIX = re.compile(r"\.(pdf|txt|docx?|rtf|json|xml)$", re.IGNORECASE)


def read_csv(path: Path, options: ReadOptions) -> Iterator[Draft | ReportError]:
    """The rows of a CSV (or, with that suffix, TSV) with a header. A row that cannot be one is an error in its place;
    a file that cannot be read raises ReportError."""
    _check_size(path, options)
    encoding = _checked_encoding(path, options.encoding)
    delimiter = "\t" if path.suffix.lower() in (".tsv", ".tab") else ","
    with path.open(encoding=encoding, newline="") as file, _long_fields():
        rows = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            names = [name.strip() for name in next(rows, [])]
            columns = _columns(names, options, path)
            for fields in rows:
                if not any(fields):
                    continue
                place = f"{path}, line {rows.line_num}"
                if len(fields) > len(names):
                    yield ReportError(
                        f"{len(fields)} fields under {len(names)} columns",
                        remedy="Put fields that hold commas in quotes.",
                        slide=place,
                    )
                    continue
                yield _draft(dict(zip(names, fields, strict=False)), columns, "csv", path, place)
        except csv.Error as exc:
            raise ReportError(
                f"line {rows.line_num} cannot be read ({exc})", remedy="Check the quotes.", slide=str(path)
            ) from exc


def read_jsonl(path: Path, options: ReadOptions) -> Iterator[Draft | ReportError]:
    """The rows of a file with one JSON object a line; raises and yields errors as `read_csv`."""
    _check_size(path, options)
    encoding = _checked_encoding(path, options.encoding)
    columns: Mapping[str, str] | None = None
    with path.open(encoding=encoding) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            place = f"{path}, line {number}"
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as exc:
                yield ReportError(
                    f"it is not JSON ({exc})", remedy="Write one JSON object a line.", slide=place
                )
                continue
            if not isinstance(row, dict):
                yield ReportError(
                    f"a JSON {type(row).__name__}, not an object",
                    remedy="Write {…} with the columns.",
                    slide=place,
                )
                continue
            if columns is None:
                columns = _columns(list(row), options, path)
            yield _draft(row, columns, "jsonl", path, place)


def _columns(names: Sequence[str], options: ReadOptions, path: Path) -> dict[str, str]:
    """What each part of a report is called in this table; raises ReportError where there is no text."""
    chosen = {
        "text": options.text_column,
        "report_id": options.id_column,
        "patient_id": options.patient_column,
        "slide_id": options.slide_column,
        "title": options.title_column,
    }
    has = f"it has {', '.join(names[:20]) or 'none'}"
    by_name = {re.sub(r"[\s-]+", "_", name.strip().casefold()): name for name in reversed(names)}
    found = {}
    for part, name in chosen.items():
        if name:
            if name not in names:
                raise ReportError(
                    f"there is no column {name} ({has})",
                    remedy=f"Name another with {_OPTION[part]}.",
                    slide=str(path),
                )
            found[part] = name
            continue
        usual = next((by_name[each] for each in _USUAL[part] if each in by_name), None)
        if usual is not None and usual not in chosen.values():
            found[part] = usual
    if "text" not in found:
        raise ReportError(
            f"no column holds the text ({has})", remedy="Name it with --text-column.", slide=str(path)
        )
    return found


def _draft(
    row: Mapping[str, Any], columns: Mapping[str, str], kind: str, path: Path, place: str
) -> Draft | ReportError:
    said = {part: row.get(name) for part, name in columns.items()}
    text = said["text"]
    if text is None or text == "":
        return ReportError("the report is empty", remedy="Leave the row out, or fill it in.", slide=place)
    if not isinstance(text, str):
        return ReportError(
            f"{columns['text']} holds {type(text).__name__}, not text",
            remedy="Name the column with the text: --text-column.",
            slide=place,
        )
    patient_id = _id(said.get("patient_id"))
    return Draft(
        text=text,
        source=Source(str(path), kind, hashlib.sha256(_bytes(row)).hexdigest()),
        name=patient_id or path.stem,
        place=place,
        report_id=_FILE_SUFFIX.sub("", _id(said.get("report_id"))),
        patient_id=patient_id,
        slide_ids=_several(said.get("slide_id")),
        title=_id(said.get("title")),
        metadata={
            str(name): value.strip() if isinstance(value, str) else value
            for name, value in row.items()
            if name not in columns.values() and name and _keepable(value)
        },
    )


def _id(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value).strip() if isinstance(value, str | int | float) else ""


def _several(value: Any) -> tuple[str, ...]:
    parts: Iterable[Any] = value if isinstance(value, list) else re.split(r"[;,|\n]", _id(value))
    return tuple(dict.fromkeys(filter(None, map(_id, parts))))


def _keepable(value: Any) -> bool:
    """Whether a value is kept beside the report: a plain one that says something. Nested ones are not."""
    if isinstance(value, str):
        return 0 < len(value.strip()) <= _VALUE_LIMIT
    return isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))


def _bytes(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, sort_keys=True, default=str).encode()


def _check_size(path: Path, options: ReadOptions) -> None:
    size = path.stat().st_size
    if size > options.table_bytes:
        raise ReportError(
            f"{size / 1e9:,.1f} GB; a table may have {options.table_bytes / 1e9:,.0f} GB",
            remedy="Divide it.",
            slide=str(path),
        )


def _checked_encoding(path: Path, encoding: str) -> str:
    """The encoding, with what a byte order mark says; raises ReportError before anything of the file is taken."""
    with path.open("rb") as file:
        start = file.read(3)
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        encoding = "utf-8-sig"
    try:
        with path.open(encoding=encoding) as file:
            while file.read(2**20):
                pass
    except UnicodeError as exc:
        raise ReportError(
            f"it is not text in {encoding.removesuffix('-sig')} ({exc})",
            remedy="Name its encoding with --encoding (cp1252 for files of older Windows programs).",
            slide=str(path),
        ) from exc
    return encoding


@contextmanager
def _long_fields() -> Iterator[None]:
    """A field may be longer than the 128 KiB that the csv module takes: whether a report is too long is said later,
    of that row alone."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)
