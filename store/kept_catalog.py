"""The catalog's file, `catalog/slides.parquet`: rows made from commits, and when each may be believed.

Beside a slide's row stand the digest of its keys and, on a local store, its folder's mtime and ctime; the
digests of the 256 prefixes' listings stand in the file's own metadata. A folder whose times are the kept ones
need not be listed again, a prefix whose listing is the kept one need not be taken apart. Derived: whatever is
wrong with the file, it is made again.
"""

import io
import json
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from slidelake.errors import StoreFullError, StoreNotWritableError
from slidelake.store.layout import commit_folder
from slidelake.store.objects import Objects

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["COLUMNS", "KEPT_COLUMNS", "UNSETTLED", "KeptCatalog", "Stamp"]

log = logging.getLogger(__name__)

#: The catalog's own columns; those of the metadata follow.
COLUMNS = ("slide_id", "patient_id", "uri", "mpp", "width", "height", "spaces", "space_patches", "n_patches")
#: What is kept beside them.
KEPT_COLUMNS = ("digest", "mtime_ns", "ctime_ns")
_KEY = "catalog/slides.parquet"
_PREFIXES = b"slidelake.prefixes"
_VERSION = b"slidelake.catalog"
# Rows that an older rule made are made again.
_RULE = b"3"


class Stamp(NamedTuple):
    """A folder's mtime and ctime in ns; both say when it changed, and no copy or `touch` sets both back."""

    mtime_ns: int
    ctime_ns: int


#: No folder has it: what bears it is listed again.
UNSETTLED = Stamp(0, 0)


@dataclass
class KeptCatalog:
    """The rows as they are kept: one Arrow table, sorted by slide_id, and what its rows rest on."""

    table: "pa.Table"
    prefixes: dict[str, str] = field(default_factory=dict)
    #: Row numbers by slide_id, made at the first question.
    _places: dict[str, int] | None = None

    @classmethod
    def read(cls, objects: Objects) -> "KeptCatalog":
        """What is kept; empty where nothing is, or nothing that can be read."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(io.BytesIO(objects.read(_KEY)))
            said = table.schema.metadata or {}
            if said.get(_VERSION) == _RULE and table.schema.equals(_schema()):
                return cls(table, dict(json.loads(said[_PREFIXES])))
            log.info("the catalog is of another version and made again")
        except FileNotFoundError:
            pass
        except (pa.ArrowException, KeyError, ValueError, TypeError, OSError) as exc:
            log.warning("the catalog is made again", extra={"error": str(exc)})
        return cls(_schema().empty_table())

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> "KeptCatalog":
        """A catalog of fresh rows, in any order."""
        import pyarrow as pa

        ordered = sorted(rows, key=lambda row: str(row["slide_id"]))
        return cls(pa.Table.from_pylist(ordered, schema=_schema()))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def places(self) -> dict[str, int]:
        """The row of each slide."""
        if self._places is None:
            self._places = {name: row for row, name in enumerate(self.table["slide_id"].to_pylist())}
        return self._places

    def column(self, name: str) -> list[Any]:
        """One column, as plain values."""
        values: list[Any] = self.table[name].to_pylist()
        return values

    def take(self, rows: list[int]) -> "KeptCatalog":
        """Some of the rows."""
        import pyarrow as pa

        if len(rows) == len(self):
            return self

        return KeptCatalog(self.table.take(pa.array(rows, pa.int64())), self.prefixes)

    def without(self, slide_ids: Collection[str]) -> "KeptCatalog":
        """All rows but those of some slides; their prefixes are to be listed again."""
        if not slide_ids:
            return self
        left = self.take([row for name, row in self.places.items() if name not in slide_ids])
        again = {commit_folder(name).split("/", 2)[1] for name in slide_ids}
        left.prefixes = {prefix: digest for prefix, digest in self.prefixes.items() if prefix not in again}
        return left

    def joined(self, other: "KeptCatalog") -> "KeptCatalog":
        """The rows of both, which share no slide."""
        import pyarrow as pa

        if not len(other):
            return self
        return KeptCatalog(pa.concat_tables([self.table, other.table]).sort_by("slide_id"), self.prefixes)

    def stamped(self, stamps: Mapping[str, Stamp]) -> "KeptCatalog":
        """The same rows with new stamps for some of the slides."""
        import pyarrow as pa

        changed = {self.places[name]: stamp for name, stamp in stamps.items() if name in self.places}
        if not changed:
            return self
        table = self.table
        for at, name in enumerate(Stamp._fields):
            values = table[name].to_pylist()
            for row, stamp in changed.items():
                values[row] = stamp[at]
            table = table.set_column(table.schema.get_field_index(name), name, pa.array(values, pa.int64()))
        return KeptCatalog(table, self.prefixes, self._places)

    def keep(self, objects: Objects) -> None:
        """Writes the file; a reader without the right to write only goes without."""
        import pyarrow.parquet as pq

        said = {_VERSION: _RULE, _PREFIXES: json.dumps(self.prefixes).encode()}
        buffer = io.BytesIO()
        pq.write_table(self.table.replace_schema_metadata(said), buffer)
        try:
            objects.replace(_KEY, buffer.getvalue())
        except (StoreNotWritableError, StoreFullError) as exc:
            log.info("the catalog is not kept", extra={"error": str(exc)})


def _schema() -> "pa.Schema":
    import pyarrow as pa

    return pa.schema(
        {
            "slide_id": pa.string(),
            "patient_id": pa.string(),
            "uri": pa.string(),
            "mpp": pa.float64(),
            "width": pa.int64(),
            "height": pa.int64(),
            "spaces": pa.list_(pa.string()),
            "space_patches": pa.list_(pa.int64()),
            "n_patches": pa.int64(),
            "digest": pa.string(),
            "mtime_ns": pa.int64(),
            "ctime_ns": pa.int64(),
        }
    )
