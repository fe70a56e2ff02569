"""The `slides` table: which commit of which slide each vector table holds, and the cohort's metadata."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from slidelake.index.live import Version
from slidelake.index.tables import (
    OWN_COLUMNS,
    SLIDES,
    facts,
    metadata_fields,
    metadata_generation,
    slides_schema,
)

if TYPE_CHECKING:
    from slidelake.index.cohort import Cohort
    from slidelake.index.connection import Connection

__all__ = ["SlidesTable", "row_key", "version_of"]

Row = dict[str, Any]


def row_key(table: str, slide_id: str) -> str:
    """The one key of a row; `/` occurs in neither."""
    return f"{table}/{slide_id}"


def version_of(row: Row) -> Version:
    return Version(row["epoch"], row["generation"])


class SlidesTable:
    """For the writer, under its lock: the rows in memory, and each change as one atomic write."""

    def __init__(self, connection: Connection, store_id: str, cohort: Cohort) -> None:
        self._connection = connection
        self._cohort = cohort
        self.fields = metadata_fields(cohort.types)
        self._names = {field.name: field.metadata[b"slidelake.name"].decode() for field in self.fields}
        self._schema = slides_schema(store_id, self.fields, cohort.generation)
        self._table: Any = connection.table(SLIDES, facts(store_id))
        self.rows: dict[str, Row] = {}
        if self._table is not None:
            self.rows = {row["key"]: row for row in self._table.to_arrow().to_pylist()}

    def follow_metadata(self) -> int:
        """Make the rows' metadata the cohort's, by one rewrite where it changed; how many slides' did."""
        if self._table is not None and metadata_generation(self._table.schema) == self._cohort.generation:
            return 0
        fresh = {key: self.row({name: row[name] for name in OWN_COLUMNS}) for key, row in self.rows.items()}
        relabelled = {
            row["slide_id"]
            for key, row in self.rows.items()
            if any(row.get(name) != value for name, value in fresh[key].items())
        }
        self.rows = fresh
        data = pa.Table.from_pylist(list(fresh.values()), schema=self._schema)
        mode = "create" if self._table is None else "overwrite"  # overwriting is one new version: never half
        self._table = self._connection.database.create_table(
            SLIDES, data=data, schema=self._schema, mode=mode
        )
        self._table.set_unenforced_primary_key("key")
        return len(relabelled)

    def of(self, table: str) -> dict[str, Row]:
        """The rows of one vector table, by slide."""
        return {row["slide_id"]: row for row in self.rows.values() if row["table"] == table}

    def row(self, own: Row) -> Row:
        """A whole row from its own columns: patient and metadata come from the cohort."""
        values = self._cohort.values.get(own["slide_id"], {})
        patient = self._cohort.patients.get(own["slide_id"]) or own["commit_patient_id"]
        metadata = {physical: values.get(name) for physical, name in self._names.items()}
        return own | {"patient_id": patient} | metadata

    def put(self, rows: Sequence[Row]) -> None:
        """Add or replace rows by key, in one version of the table."""
        if rows:
            data = pa.Table.from_pylist(list(rows), schema=self._schema)
            merge = self._table.merge_insert("key").when_matched_update_all().when_not_matched_insert_all()
            merge.execute(data)
            self.rows |= {row["key"]: row for row in rows}

    def remove(self, keys: Sequence[str]) -> None:
        if keys:
            from lancedb.expr import col

            self._table.delete(col("key").isin(list(keys)))
            for key in keys:
                del self.rows[key]
