"""What could not go in, and why: `quarantine/<key>.json`, the only objects that are ever overwritten."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from slidelake.store.deny_list import DenyList
from slidelake.store.ids import require_slug
from slidelake.store.objects import Objects

__all__ = ["Quarantine", "quarantine_key"]


def quarantine_key(uri: str, asked: Mapping[str, Any]) -> str:
    """32 hex digits for a source and what was asked of it (encoder, grid, …), in whatever order."""
    text = json.dumps([uri, asked], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Quarantine:
    """The entries of one store. A commit outranks an entry; a success clears it."""

    def __init__(self, objects: Objects, denied: DenyList | None = None) -> None:
        self._objects = objects
        self._denied = denied

    def put(self, key: str, entry: Mapping[str, Any]) -> None:
        """Records why a slide is not in; over an older entry of the same key. Of one that was deleted nothing is
        written down."""
        names = {"slide_id": str(entry.get("slide_id") or ""), "uri": str(entry.get("uri") or "")}
        if self._denied is not None and self._denied.find(**names):
            return
        data = json.dumps({**entry, "key": key}, indent=1, allow_nan=False).encode()
        self._objects.replace(_place(key), data)
        if self._denied is not None and self._denied.find(**names):
            self.clear(key)  # deleted since it was looked for

    def read_all(self) -> list[dict[str, Any]]:
        """Every entry, by key; each holds its own `key`."""
        entries = []
        for key in self._objects.list("quarantine"):
            try:
                entries.append(self._objects.read_json(key))
            except FileNotFoundError:
                continue  # cleared by a success since it was listed
        return entries

    def clear(self, key: str) -> None:
        """Forgets an entry; nothing happens where there is none."""
        self._objects.delete(_place(key))


def _place(key: str) -> str:
    return f"quarantine/{require_slug(key, 'quarantine key')}.json"
