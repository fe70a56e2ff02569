"""The cohort's table, `metadata/<generation>.parquet`: one generation a change, merged on a lost race."""

import io
from typing import TYPE_CHECKING, Any

from slidelake.errors import ManifestError, StoreError
from slidelake.store.ids import slug
from slidelake.store.objects import Objects

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Metadata", "from_parquet", "to_parquet"]

_FOLDER = "metadata"
# Each lost race means that another writer won one, so a long row of them is a fault, not contention.
_ATTEMPTS = 100


class Metadata:
    """Free columns about slides (labels, site, consent, …), by slide_id; what manifests say is kept here."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def generation(self) -> int:
        """The latest generation; 0 where there is none."""
        return max((_number(key) for key in self._objects.list(_FOLDER)), default=0)

    def latest_key(self) -> str | None:
        """The key of the latest generation; None where there is none."""
        generation = self.generation()
        return _key(generation) if generation else None

    def read(self) -> "pd.DataFrame":
        """The latest table: `slide_id` first, one row a slide, sorted; empty where nothing was ever said."""
        while True:
            generation = self.generation()
            try:
                return self._read(generation)
            except FileNotFoundError:
                # A deletion wrote the next generation since, and removed this one.
                if self.generation() == generation:
                    raise

    def merge(self, frame: "pd.DataFrame") -> int:
        """Puts what `frame` says over what is known, by (slide_id, column); returns the generation.

        Empty cells say nothing. No new generation is written where nothing changes. Raises ManifestError: no
        slide_id column, an id twice, or a column of another type than it has in the store.
        """
        new = _checked(frame)
        for _ in range(_ATTEMPTS):
            generation = self.generation()
            old = self._read(generation)
            merged = _merge(old, new)
            if merged.equals(old):
                return generation
            if self._objects.put_if_absent(_key(generation + 1), to_parquet(merged)):
                return generation + 1
        raise StoreError(
            f"{_ATTEMPTS} other writers changed the metadata meanwhile", remedy="Run the same command again."
        )

    def _read(self, generation: int) -> "pd.DataFrame":
        import pandas as pd

        if generation == 0:
            return pd.DataFrame({"slide_id": pd.Series(dtype="str")})
        return from_parquet(self._objects.read(_key(generation)))


def _checked(frame: "pd.DataFrame") -> "pd.DataFrame":
    import pandas as pd
    import pandas.api.types as types

    if "slide_id" not in frame.columns:
        raise ManifestError(
            f"the table has no slide_id column (it has {', '.join(map(str, frame.columns)) or 'none'})",
            remedy="Add one, with the slides' ids.",
        )
    if not frame.columns.is_unique or not all(isinstance(name, str) and name for name in frame.columns):
        raise ManifestError(
            "the table has columns without a name or twice the same", remedy="Name each once."
        )
    ids = frame["slide_id"].astype("str")
    for slide_id in ids:
        if slug(slide_id) != slide_id:
            raise ManifestError(
                f"{slide_id!r} is no slide_id", remedy=f"Write {slug(slide_id)!r}, as the store does."
            )
    twice = ids[ids.str.casefold().duplicated()]
    if len(twice):
        raise ManifestError(f"{twice.iloc[0]} stands in the table twice", remedy="Give each slide one row.")
    whole = {name: "Int64" for name in frame.columns if types.is_integer_dtype(frame[name])}
    # numpy's integers would turn into floats at the first empty cell; categories are a matter of memory only.
    plain = {
        name: frame[name].dtype.categories.dtype
        for name in frame.columns
        if isinstance(frame[name].dtype, pd.CategoricalDtype)
    }
    return frame.assign(slide_id=ids).astype({**whole, **plain})


def _merge(old: "pd.DataFrame", new: "pd.DataFrame") -> "pd.DataFrame":
    import pandas as pd

    before, change = old.set_index("slide_id"), new.set_index("slide_id").dropna(axis="columns", how="all")
    for name in before.columns.intersection(change.columns):
        kinds = {_kind(before[name]), _kind(change[name])}
        if len(kinds) > 1:
            raise ManifestError(
                f"the column {name} holds {_kind(change[name])}, and {_kind(before[name])} in the store",
                remedy="Write it as the store has it, or give it another name.",
            )
    index = before.index.union(change.index, sort=True).rename("slide_id")
    columns: dict[str, Any] = {}
    for name in [*before.columns, *change.columns.difference(before.columns, sort=False)]:
        if name not in change.columns:
            columns[name] = before[name].reindex(index)
        elif name not in before.columns:
            columns[name] = change[name].reindex(index)
        else:
            columns[name] = change[name].dropna().reindex(index).combine_first(before[name].reindex(index))
    merged = pd.DataFrame(columns, index=index).reset_index()
    # What comes out of a file is what is compared: a reader must see no difference where there is none.
    return from_parquet(to_parquet(merged))


def _kind(column: "pd.Series[Any]") -> str:
    import pandas.api.types as types

    if types.is_bool_dtype(column.dropna().infer_objects()):
        return "yes/no"
    if types.is_numeric_dtype(column):
        return "numbers"
    if types.is_datetime64_any_dtype(column):
        return "times"
    return "text"


def from_parquet(data: bytes) -> "pd.DataFrame":
    """The table that a Parquet file holds."""
    import pandas as pd

    return pd.read_parquet(io.BytesIO(data))


def to_parquet(frame: "pd.DataFrame") -> bytes:
    """A table as a Parquet file; raises ManifestError where a column holds values of several types."""
    import pyarrow as pa

    buffer = io.BytesIO()
    try:
        frame.to_parquet(buffer, index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as exc:
        raise ManifestError(
            f"the table cannot be kept ({exc})", remedy="Let each column hold values of one type."
        ) from exc
    return buffer.getvalue()


def _key(generation: int) -> str:
    return f"{_FOLDER}/{generation:06d}.parquet"


def _number(key: str) -> int:
    name = key.rpartition("/")[2].removesuffix(".parquet")
    return int(name) if name.isdecimal() else 0
