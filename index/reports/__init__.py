"""Reports as a corpus: read from files, cleaned, divided into sections and passages, searched, and how well that finds."""

from typing import TYPE_CHECKING, Any

from slidelake.index.reports.hits import ReportHit, ReportHits

if TYPE_CHECKING:
    from slidelake.index.reports.add import Refused, ReportsAdded, add_reports
    from slidelake.index.reports.chunk import Chunk, chunk_report
    from slidelake.index.reports.clean import clean_text
    from slidelake.index.reports.options import ReadOptions
    from slidelake.index.reports.questions import Question, make_questions
    from slidelake.index.reports.read import find_files
    from slidelake.index.reports.sections import find_sections

__all__ = [
    "Chunk",
    "Question",
    "ReadOptions",
    "Refused",
    "ReportHit",
    "ReportHits",
    "ReportsAdded",
    "add_reports",
    "chunk_report",
    "clean_text",
    "find_files",
    "find_sections",
    "make_questions",
]

_LAZY = {
    "Chunk": "slidelake.index.reports.chunk",
    "Question": "slidelake.index.reports.questions",
    "ReadOptions": "slidelake.index.reports.options",
    "Refused": "slidelake.index.reports.add",
    "ReportsAdded": "slidelake.index.reports.add",
    "add_reports": "slidelake.index.reports.add",
    "chunk_report": "slidelake.index.reports.chunk",
    "clean_text": "slidelake.index.reports.clean",
    "find_files": "slidelake.index.reports.read",
    "find_sections": "slidelake.index.reports.sections",
    "make_questions": "slidelake.index.reports.questions",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
