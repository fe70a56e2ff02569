"""LanceDB index, derived from the store: sync, and search by patch, image, vector and slide."""

from typing import TYPE_CHECKING, Any

from slidelake.index.filters import Condition, Filter, parse_where
from slidelake.index.hits import Hit, Hits, Query

if TYPE_CHECKING:
    from slidelake.index.evaluate import phash64, retrieval_scores
    from slidelake.index.slide_index import SlideIndex
    from slidelake.index.sync import SyncReport

__all__ = [
    "Condition",
    "Filter",
    "Hit",
    "Hits",
    "Query",
    "SlideIndex",
    "SyncReport",
    "parse_where",
    "phash64",
    "retrieval_scores",
]

_LAZY = {
    "SlideIndex": "slidelake.index.slide_index",
    "SyncReport": "slidelake.index.sync",
    "phash64": "slidelake.index.evaluate",
    "retrieval_scores": "slidelake.index.evaluate",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
