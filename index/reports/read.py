"""Finds report files and reads them, each by its kind; what cannot be read is an error in its place."""

import codecs
import glob
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path

from slidelake.errors import ReportError, SlidelakeError, StoreError, UsageError
from slidelake.index.reports.draft import Draft
from slidelake.index.reports.options import ReadOptions
from slidelake.index.reports.pdf_file import read_pdf
from slidelake.index.reports.table_file import read_csv, read_jsonl
from slidelake.index.reports.text_file import read_text

__all__ = ["count_reports", "find_files", "read_file"]

Reader = Callable[[Path, ReadOptions], Iterator[Draft | ReportError] | Iterator[Draft]]
#: One more kind of file: a reader, and its suffix here.
READERS: Mapping[str, Reader] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".tab": read_csv,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".txt": read_text,
    ".text": read_text,
    ".md": read_text,
    ".pdf": read_pdf,
}


def find_files(sources: Sequence[str | PathLike[str]]) -> list[Path]:
    """The files that paths, folders and globs name, each once: all of a named file, of folders and globs those of a
    kind that is read, hidden ones not. Raises UsageError for a path that is not there."""
    found: dict[Path, None] = {}
    for source in [fspath(each) for each in sources]:
        path = Path(source).expanduser()
        if path.is_dir():
            for each in sorted(path.rglob("*")):
                hidden = any(part.startswith(".") for part in each.relative_to(path).parts)
                if each.suffix.lower() in READERS and each.is_file() and not hidden:
                    found.setdefault(each)
        elif path.exists():
            found.setdefault(path)
        elif glob.has_magic(source):
            for name in sorted(glob.glob(str(path), recursive=True)):  # noqa: PTH207 - the pattern may be absolute
                if Path(name).suffix.lower() in READERS and Path(name).is_file():
                    found.setdefault(Path(name))
        else:
            raise UsageError(
                f"there is no file {source}", remedy="Name files, folders or globs with reports."
            )
    # A file that is named twice, once through a link, is one; its name is that of the first.
    once: dict[Path, Path] = {}
    for path in found:
        once.setdefault(path.resolve(), path.absolute())
    return list(once.values())


def count_reports(path: Path, options: ReadOptions) -> int:
    """How many reports a file seems to hold, for progress: a table's rows, else one."""
    if READERS.get(path.suffix.lower()) not in (read_csv, read_jsonl):
        return 1
    try:
        return sum(1 for _ in READERS[path.suffix.lower()](path, options))
    except (SlidelakeError, OSError):
        return 1  # the reading itself says what is wrong


def read_file(path: Path, options: ReadOptions) -> Iterator[Draft | SlidelakeError]:
    """The reports of a file; what cannot go in, a row or the rest of the file, as the error that says why."""
    try:
        codecs.lookup(options.encoding)
    except LookupError as exc:
        raise UsageError(
            f"there is no encoding {options.encoding}", remedy="Write e.g. utf-8, cp1252 or latin-1."
        ) from exc
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        yield ReportError(
            f"files of the kind {path.suffix or 'without a suffix'} are not read",
            remedy=f"Give one of {', '.join(READERS)}.",
            slide=str(path),
        )
        return
    try:
        yield from reader(path, options)
    except StoreError:
        raise
    except SlidelakeError as error:
        yield error if error.slide else type(error)(error.problem, remedy=error.remedy, slide=str(path))
    except OSError as error:
        yield ReportError(
            f"it cannot be read ({error.strerror or error})", remedy="Check the file.", slide=str(path)
        )
