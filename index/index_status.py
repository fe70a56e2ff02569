"""What an index holds, how it differs from its store, and how much of the truth its searches find."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from slidelake.errors import IndexStaleError
from slidelake.index.live import live_versions
from slidelake.index.recall import kept_recall, measure
from slidelake.index.slides_table import version_of
from slidelake.index.tables import SLIDES, Collection, facts, metadata_generation
from slidelake.index.upkeep import has_vector_index

if TYPE_CHECKING:
    from slidelake.index.connection import Connection
    from slidelake.store import FeatureStore

__all__ = ["IndexStatus"]


class IndexStatus:
    """What `SlideIndex` says of itself."""

    store: FeatureStore
    _connection: Connection

    def evaluate(self, *, queries: int = 200, k: int = 10) -> list[dict[str, Any]]:
        """Recall@k of each table's approximate index against exact search, measured now; `recall` is None for tables
        that are searched exactly anyway."""
        found = []
        for each in self.status()["tables"]:
            kept = kept_recall(self.store.objects, each["table"])
            now = None
            if each["approximate"]:
                table = self._connection.table(each["table"])
                now = measure(table, queries=queries, k=k, probes=kept.probes if kept else None, seed=1)
            told = asdict(now) if now is not None else {"recall": None, "rows": each["rows"]}
            found.append({"space": each["space"], "aggregator": each["aggregator"], **told})
        return found

    def status(self) -> dict[str, Any]:
        """What the index holds and how it differs from the store; plain values, ready for JSON.

        `state` says it in a phrase; `tables` hold the counts.
        """
        if not self._connection.possible:
            state = "none: a store in memory cannot hold an index"
            return {"state": state, "url": self._connection.url, "exists": False, "stale": 0, "tables": []}
        store_id = str(self.store.info.store_id)
        live = live_versions(self.store)
        try:
            slides = self._connection.table(SLIDES, facts(store_id))
        except IndexStaleError:
            slides = None
        rows = slides.to_arrow().to_pylist() if slides is not None else []
        indexed = {Collection(row["space"], row["aggregator"]) for row in rows}
        tables = []
        for collection in sorted(indexed | set(live)):
            own = {row["slide_id"]: row for row in rows if row["table"] == collection.table}
            now = live.get(collection, {})
            table = self._connection.table(collection.table)
            ann = table is not None and has_vector_index(table)
            recall = kept_recall(self.store.objects, collection.table) if ann else None
            tables.append(
                {
                    "table": collection.table,
                    "space": collection.space,
                    "aggregator": collection.aggregator,
                    "slides": len(own),
                    "rows": sum(row["rows"] for row in own.values()),
                    "left_out": sum(row["left_out"] for row in own.values()),
                    "approximate": ann,
                    "recall": asdict(recall) if recall is not None else None,
                    "unindexed_rows": table.index_stats("vector_idx").num_unindexed_rows
                    if table and ann
                    else None,
                    "missing": len(set(now) - set(own)),
                    "changed": sum(version_of(own[s]) != now[s] for s in set(now) & set(own)),
                    "gone": len(set(own) - set(now)),
                }
            )
        relabelled = (
            slides is not None and metadata_generation(slides.schema) != self.store.metadata.generation()
        )
        stale = sum(t["missing"] + t["changed"] + t["gone"] for t in tables)
        if not stale and relabelled:
            state = "older than the metadata: run `slidelake index sync`"
        elif not stale:
            state = "follows the store" if slides is not None else "empty, as the store is"
        else:
            state = f"{stale} bags behind the store" if slides is not None else "not made yet"
            state += ": run `slidelake index sync`"
        return {
            "state": state,
            "url": self._connection.url,
            "exists": slides is not None,
            "stale": stale,
            "tables": tables,
        }
