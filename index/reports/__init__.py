"""Reports as a corpus: read from files, cleaned, divided into sections and passages, searched, and evaluated."""

from typing import TYPE_CHECKING, Any

from slidelake.index.reports.hits import ReportHit, ReportHits

if TYPE_CHECKING:
    from slidelake.index.reports.add import Refused, ReportsAdded, add_reports
    from slidelake.index.reports.chunk import Chunk, chunk_report
    from slidelake.index.reports.clean import clean_text
    from slidelake.index.reports.evaluate import evaluate_reports, read_records, records_of, wording_overlap
    from slidelake.index.reports.follow import sentence_encoder
    from slidelake.index.reports.lexicon import default_lexicon
    from slidelake.index.reports.marks import marked_spans
    from slidelake.index.reports.numerals import number_of
    from slidelake.index.reports.options import ReadOptions
    from slidelake.index.reports.questions import Question, make_questions
    from slidelake.index.reports.read import find_files
    from slidelake.index.reports.request import MODES, Mode
    from slidelake.index.reports.sections import find_sections
    from slidelake.index.reports.stems import Word, words_in
    from slidelake.index.reports.tables import WHOLE
    from slidelake.index.reports.terms import FIELDS, read_terms
    from slidelake.index.reports.wording import Part

__all__ = [
    "FIELDS",
    "MODES",
    "WHOLE",
    "Chunk",
    "Mode",
    "Part",
    "Question",
    "ReadOptions",
    "Refused",
    "ReportHit",
    "ReportHits",
    "ReportsAdded",
    "Word",
    "add_reports",
    "chunk_report",
    "clean_text",
    "default_lexicon",
    "evaluate_reports",
    "find_files",
    "find_sections",
    "make_questions",
    "marked_spans",
    "number_of",
    "read_records",
    "read_terms",
    "records_of",
    "sentence_encoder",
    "wording_overlap",
    "words_in",
]

_LAZY = {
    "FIELDS": "slidelake.index.reports.terms",
    "WHOLE": "slidelake.index.reports.tables",
    "Chunk": "slidelake.index.reports.chunk",
    "MODES": "slidelake.index.reports.request",
    "Mode": "slidelake.index.reports.request",
    "Part": "slidelake.index.reports.wording",
    "Question": "slidelake.index.reports.questions",
    "ReadOptions": "slidelake.index.reports.options",
    "Refused": "slidelake.index.reports.add",
    "ReportsAdded": "slidelake.index.reports.add",
    "Word": "slidelake.index.reports.stems",
    "add_reports": "slidelake.index.reports.add",
    "chunk_report": "slidelake.index.reports.chunk",
    "clean_text": "slidelake.index.reports.clean",
    "default_lexicon": "slidelake.index.reports.lexicon",
    "evaluate_reports": "slidelake.index.reports.evaluate",
    "find_files": "slidelake.index.reports.read",
    "find_sections": "slidelake.index.reports.sections",
    "make_questions": "slidelake.index.reports.questions",
    "marked_spans": "slidelake.index.reports.marks",
    "number_of": "slidelake.index.reports.numerals",
    "read_records": "slidelake.index.reports.evaluate",
    "read_terms": "slidelake.index.reports.terms",
    "records_of": "slidelake.index.reports.evaluate",
    "sentence_encoder": "slidelake.index.reports.follow",
    "wording_overlap": "slidelake.index.reports.evaluate",
    "words_in": "slidelake.index.reports.stems",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
