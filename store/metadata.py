"""The cohort's table, `metadata/<generation>.parquet`: one generation a change, merged on a lost race."""

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from slidelake.errors import ManifestError, StoreError, UnknownSlideError, UsageError
from slidelake.store.deny_list import DenyList
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

    def __init__(self, objects: Objects, denied: DenyList | None = None) -> None:
        self._objects = objects
        self._denied = denied

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
        slide_id column, an id twice, or a column of another type than it has in the store. Rows of deleted
        slides and patients stay out.
        """
        new = _checked(frame)
        return self._change(lambda old: _merge(old, self._allowed(new)))

    def unset(self, column: str, slide_ids: Sequence[str] | None = None) -> int:
        """Takes a column back, or what it says of some slides; returns the generation.

        A column that says nothing any more goes, so that it may come back with another type. Older generations
        and snapshots still say it: only a deletion removes those. Raises UsageError for a column that is not
        there, UnknownSlideError for a slide of which nothing is said.
        """
        return self._change(lambda old: _without(old, column, slide_ids))

    def become(self, table: "pd.DataFrame") -> bool:
        """Makes a copy's table that of its source, and removes the older generations; whether anything changed."""
        before = self.generation()
        # As it comes out of a file: a table that was cut down holds other types of nothing.
        table = from_parquet(to_parquet(table)) if len(table) or before else table[["slide_id"]]
        latest = self._change(lambda old: table)
        older = [key for key in self._objects.list(_FOLDER) if _number(key) < latest]
        for key in older:
            self._objects.delete(key)
        return latest != before

    def forget_denied(self) -> int:
        """Writes the next generation without the rows of deleted slides and patients, and removes the older ones;
        how many objects were written or removed. Nothing happens where no generation holds such a row."""
        for _ in range(_ATTEMPTS):
            generation = self.generation()
            try:
                table = self._read(generation)
            except FileNotFoundError:
                continue
            left = self._allowed(table).reset_index(drop=True)
            dirty = len(left) < len(table)
            if dirty and not self._put(generation + 1, left):
                continue
            latest = generation + 1 if dirty else generation
            gone = 0
            for number in sorted(filter(None, map(_number, self._objects.list(_FOLDER)))):
                if number < latest and (dirty or self._holds_denied(number)):
                    self._objects.delete(_key(number))
                    gone += 1
            return gone + dirty
        raise _contended()

    def _change(self, step: "Callable[[pd.DataFrame], pd.DataFrame]") -> int:
        """Makes the next generation out of the latest; out of a later one where another writer was quicker."""
        for _ in range(_ATTEMPTS):
            generation = self.generation()
            try:
                old = self._read(generation)
            except FileNotFoundError:
                continue  # a deletion wrote the next one, and removed this
            changed = self._allowed(step(old))
            if changed.equals(old):
                return generation
            if self._put(generation + 1, changed):
                if self._denied is not None and len(self._allowed(changed)) < len(changed):
                    self.forget_denied()  # deleted since it was merged
                return generation + 1
        raise _contended()

    def _holds_denied(self, generation: int) -> bool:
        try:
            table = self._read(generation)
        except FileNotFoundError:
            return False
        return len(self._allowed(table)) < len(table)

    def _allowed(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """The rows that are not on the deny-list, by slide or patient."""
        if self._denied is None or frame.empty:
            return frame
        out = frame["slide_id"].isin(self._denied.among("slide", frame["slide_id"].astype("str")))
        if "patient_id" in frame:
            said = frame["patient_id"].dropna().astype("str")
            out |= frame["patient_id"].astype("str").isin(self._denied.among("patient", said))
        return frame if not out.any() else frame[~out]

    def _put(self, generation: int, table: "pd.DataFrame") -> bool:
        """Writes one generation; False where another writer has it, or a later one is there."""
        if not self._objects.put_if_absent(_key(generation), to_parquet(table)):
            return False
        if self.generation() > generation:
            # A slow writer may put a number that a deletion removed since: what it says must go into the latest.
            self._objects.delete(_key(generation))
            return False
        return True

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


def _without(old: "pd.DataFrame", column: str, slide_ids: Sequence[str] | None) -> "pd.DataFrame":
    columns = [name for name in old.columns if name != "slide_id"]
    if column not in columns:
        raise UsageError(
            f"the metadata has no column {column}",
            remedy=f"It has: {', '.join(columns)}." if columns else "Nothing was said yet.",
        )
    if slide_ids is None:
        return old.drop(columns=column)
    spelled = {slide_id.casefold(): slide_id for slide_id in old["slide_id"]}
    for slide_id in slide_ids:
        if slide_id.casefold() not in spelled:
            raise UnknownSlideError(
                "the metadata says nothing of this slide", remedy="Check the id.", slide=slide_id
            )
    named = old["slide_id"].isin([spelled[slide_id.casefold()] for slide_id in slide_ids])
    left = old[column].mask(named)
    return (
        old.drop(columns=column)
        if left.isna().all()
        else from_parquet(to_parquet(old.assign(**{column: left})))
    )


def _contended() -> StoreError:
    return StoreError(
        f"{_ATTEMPTS} other writers changed the metadata meanwhile", remedy="Run the same command again."
    )


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
