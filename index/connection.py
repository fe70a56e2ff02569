"""Where the index lies, and how LanceDB opens it: beside the store's data, under `index/`."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slidelake.errors import IndexStaleError, IndexStateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slidelake.store import FeatureStore

__all__ = ["Connection", "lance_options"]


class Connection:
    """LanceDB at a store's `index/`; tables are opened anew at each call (0.4 ms), so no reader is frozen.

    A LanceDB handle is a snapshot of the version it was opened at. Opening again, and reading at the newest
    version, shows what a sync wrote since, and survives the folder's removal. Raises IndexStateError for a
    store that LanceDB cannot lie beside (`memory://`).
    """

    def __init__(self, store: FeatureStore) -> None:
        self.store = store
        self.url = store.objects.url_of("index")
        self._database: Any = None

    @property
    def possible(self) -> bool:
        """Can LanceDB lie beside this store? Not in memory, which is fsspec's own."""
        return not self.url.startswith("memory:")

    def require(self) -> None:
        """Raise IndexStateError for a store that cannot hold an index."""
        if not self.possible:
            raise IndexStateError(
                "a store in memory cannot hold an index",
                remedy="Keep the store in a folder or in an object store such as s3://.",
            )

    @property
    def database(self) -> Any:
        if self._database is None:
            self.require()
            import lancedb

            self._database = lancedb.connect(
                self.url,
                read_consistency_interval=timedelta(0),
                storage_options=lance_options(self.store.objects.storage_options) or None,
            )
        return self._database

    def exists(self) -> bool:
        """Is there anything under `index/`? Looking must not make the folder, as connecting does."""
        local = self.store.objects.local
        return local is None or (Path(local) / "index").is_dir()

    def names(self) -> list[str]:
        """The tables' names, sorted."""
        if not self.exists():
            return []
        names: list[str] = []
        token = None
        while True:
            page = self.database.list_tables(page_token=token, limit=1000)
            names += page.tables
            token = page.page_token
            if not token:
                return sorted(names)

    def snapshot(self, name: str, facts: Mapping[str, str]) -> Any | None:
        """The table as it is now, whatever a sync writes meanwhile: for reads that must agree."""
        table = self.table(name, facts)
        if table is not None:
            table.checkout(table.version)
        return table

    def table(self, name: str, facts: Mapping[str, str] | None = None) -> Any | None:
        """The table, at its newest version; None if there is none; IndexStaleError if its facts are not
        `facts`.
        """
        if not self.exists():
            return None
        try:
            table = self.database.open_table(name)
        except ValueError as exc:  # lancedb 0.40 has no class of its own for this
            if "not found" in str(exc):
                return None
            raise
        if facts is not None:
            found = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
            wrong = {key: found.get(key) for key, value in facts.items() if found.get(key) != value}
            if wrong:
                key, value = next(iter(wrong.items()))
                raise IndexStaleError(
                    f"table {name} of the index was made for another store or version "
                    f"({key} is {value!r}, not {facts[key]!r})",
                    remedy="Run `slidelake index sync`, which makes it anew.",
                )
        return table


def lance_options(options: Mapping[str, Any]) -> dict[str, str]:
    """fsspec's storage options (s3fs's names) as those of LanceDB's object store.

    LanceDB reads the usual `AWS_…` variables itself, but refuses an endpoint without TLS unless told.
    """
    client = dict(options.get("client_kwargs") or {})
    endpoint = (
        options.get("endpoint_url")
        or client.get("endpoint_url")
        or os.environ.get("AWS_ENDPOINT_URL_S3")
        or os.environ.get("AWS_ENDPOINT_URL")
    )
    named = {
        "aws_access_key_id": options.get("key"),
        "aws_secret_access_key": options.get("secret"),
        "aws_session_token": options.get("token"),
        "aws_endpoint": endpoint,
        "aws_region": client.get("region_name"),
        "skip_signature": "true" if options.get("anon") else None,
    }
    found = {key: str(value) for key, value in named.items() if value}
    if found.get("aws_endpoint", "").startswith("http://"):
        found["allow_http"] = "true"
    return found
