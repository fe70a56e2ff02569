"""LanceDB index, derived from the store: sync, and search by patch, image, vector and slide."""

from typing import TYPE_CHECKING, Any

from slidelake.index.filters import Column, Condition, Filter, parse_where
from slidelake.index.hits import Hit, Hits, Query

if TYPE_CHECKING:
    from slidelake.index.cohort import read_cohort
    from slidelake.index.erase import EraseReport
    from slidelake.index.evaluate import (
        RetrievalScores,
        bootstrap_difference,
        bootstrap_mean,
        phash64,
        random_scores,
        retrieval_scores,
    )
    from slidelake.index.row_filter import cohort_columns, row_test
    from slidelake.index.slide_index import SlideIndex
    from slidelake.index.sync import SyncReport

__all__ = [
    "Column",
    "Condition",
    "EraseReport",
    "Filter",
    "Hit",
    "Hits",
    "Query",
    "RetrievalScores",
    "SlideIndex",
    "SyncReport",
    "bootstrap_difference",
    "bootstrap_mean",
    "cohort_columns",
    "parse_where",
    "phash64",
    "random_scores",
    "read_cohort",
    "retrieval_scores",
    "row_test",
]

_LAZY = {
    "EraseReport": "slidelake.index.erase",
    "RetrievalScores": "slidelake.index.evaluate",
    "SlideIndex": "slidelake.index.slide_index",
    "SyncReport": "slidelake.index.sync",
    "bootstrap_difference": "slidelake.index.evaluate",
    "bootstrap_mean": "slidelake.index.evaluate",
    "cohort_columns": "slidelake.index.row_filter",
    "phash64": "slidelake.index.evaluate",
    "random_scores": "slidelake.index.evaluate",
    "read_cohort": "slidelake.index.cohort",
    "retrieval_scores": "slidelake.index.evaluate",
    "row_test": "slidelake.index.row_filter",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
