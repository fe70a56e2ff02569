"""Reports in text files: one report a file."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from slidelake.errors import ReportError
from slidelake.index.reports.draft import Draft
from slidelake.index.reports.options import ReadOptions
from slidelake.store import Source

__all__ = ["decoded", "read_text"]

_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def read_text(path: Path, options: ReadOptions) -> Iterator[Draft]:
    """The file's report. Raises ReportError: too large, another encoding, not text."""
    size = path.stat().st_size
    if size > options.text_bytes:
        raise ReportError(
            f"{size / 1e6:,.0f} MB of text; a report may have {options.text_bytes / 1e6:,.0f} MB",
            remedy="Divide it, or give a table (CSV, JSONL) with one report a row.",
            slide=str(path),
        )
    data = path.read_bytes()
    text = decoded(data, options.encoding, path)
    yield Draft(text, Source(str(path), "text", hashlib.sha256(data).hexdigest()), path.stem, str(path))


def decoded(data: bytes, encoding: str, path: Path) -> str:
    """Bytes as text. A byte order mark goes before the encoding that was named."""
    for mark, named in _MARKS.items():
        if data.startswith(mark):
            encoding = named
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as exc:
        raise ReportError(
            f"it is not text in {encoding}: byte {exc.start:,} is 0x{data[exc.start]:02x}",
            remedy="Name its encoding with --encoding (cp1252 for files of older Windows programs).",
            slide=str(path),
        ) from exc
    if "\0" in text:
        raise ReportError(
            "it holds zero bytes: it is not text", remedy="Give the report as text.", slide=str(path)
        )
    return text
