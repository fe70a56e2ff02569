"""Opens a collection for searches; a server keeps it open for a moment, and its vectors in memory."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slidelake.index.resident import Resident, load
from slidelake.index.scope import Opened, open_collection

if TYPE_CHECKING:
    from slidelake.index.connection import Connection
    from slidelake.index.tables import Collection
    from slidelake.store import FeatureStore

__all__ = ["Opener"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Remembered:
    opened: Opened
    until: float


class Opener:
    """The tables of one index.

    `fresh_for`: seconds for which an opened table is taken for the newest; `resident_bytes`: how much memory the
    vectors of all collections may take together (0: none are kept). Safe to use from several threads.
    """

    def __init__(self, connection: Connection, *, fresh_for: float = 0.0, resident_bytes: int = 0) -> None:
        self._connection = connection
        self._fresh_for = fresh_for
        self._limit = resident_bytes
        self._opened: dict[Collection, _Remembered] = {}
        self._resident: dict[Collection, Resident] = {}
        self._loading = threading.Lock()

    def open(self, store: FeatureStore, collection: Collection, *, remembered: bool = False) -> Opened:
        """The collection's tables as they are now, or as they were less than `fresh_for` seconds ago."""
        known = self._opened.get(collection)
        if remembered and known is not None and time.monotonic() < known.until:
            return known.opened
        opened = open_collection(store, self._connection, collection)
        self._opened[collection] = _Remembered(opened, time.monotonic() + self._fresh_for)
        return opened

    def resident(self, opened: Opened) -> Resident | None:
        """The collection's vectors in memory, as of the opened version; None where they may not take it, or while
        another thread loads them."""
        if not self._limit:
            return None
        known = self._resident.get(opened.collection)
        if known is not None and known.version == opened.version:
            return known
        if not self._loading.acquire(blocking=False):
            return None
        try:
            known = self._resident.get(opened.collection)
            if known is not None and known.version >= opened.version:
                return known if known.version == opened.version else None
            self._resident.pop(opened.collection, None)
            needed = opened.table.count_rows() * (opened.dim * 3 + 48)
            if needed + sum(each.bytes for each in self._resident.values()) > self._limit:
                return None
            began = time.monotonic()
            made = load(opened)
            self._resident[opened.collection] = made
            log.info(
                "vectors are in memory",
                extra={
                    "table": opened.collection.table,
                    "bytes": made.bytes,
                    "seconds": time.monotonic() - began,
                },
            )
            return made
        finally:
            self._loading.release()

    def forget(self) -> None:
        """Nothing is remembered any more: the tables have changed."""
        self._opened.clear()
        self._resident.clear()
