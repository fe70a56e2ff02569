"""The terms of the archive's reports, as the index keeps them: how common each is, and which report holds which."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from slidelake.index.connection import Connection
from slidelake.index.reports.tables import WHOLE
from slidelake.index.reports.terms import FIELDS
from slidelake.services.answers.clues import TermCounts
from slidelake.services.answers.evidence import Terms

if TYPE_CHECKING:
    from slidelake.services.lake import Lake

__all__ = ["SAMPLED", "archive_counts", "terms_of_reports"]

#: Reports whose terms are counted at most: shares of a larger archive are those of so many of it.
SAMPLED = 20_000
_KEPT = 8

_lock = threading.Lock()
_kept: dict[str, tuple[int, TermCounts]] = {}


def archive_counts(lake: Lake) -> TermCounts:
    """How common terms are in the reports of the index; counted once a version of its table and process."""
    table = Connection(lake.store).table(WHOLE)
    if table is None:
        return TermCounts(())
    url, version = lake.store.url, table.version
    with _lock:
        kept = _kept.get(url)
        if kept is not None and kept[0] == version:
            return kept[1]
    rows = table.search().select(list(FIELDS)).limit(SAMPLED).to_arrow().to_pylist()
    counts = TermCounts(_terms(row) for row in rows)
    with _lock:
        while len(_kept) >= _KEPT and url not in _kept:
            del _kept[next(iter(_kept))]
        _kept[url] = version, counts
    return counts


def terms_of_reports(lake: Lake, report_ids: Sequence[str]) -> dict[str, Terms]:
    """The terms of whole reports; one that the index does not hold is not among them."""
    table = Connection(lake.store).table(WHOLE)
    if table is None or not report_ids:
        return {}
    from lancedb.expr import col

    chosen = table.search().where(col("report_id").isin(list(report_ids))).limit(len(report_ids))
    rows = chosen.select(["report_id", *FIELDS]).to_arrow().to_pylist()
    return {row["report_id"]: Terms.of(_terms(row)) for row in rows}


def _terms(row: Mapping[str, Any]) -> list[str]:
    return [term for name in FIELDS for term in row[name].split()]
