"""What people say of slides that are in: a table of labels, consent, site, … merged into the metadata.

The table is keyed by `slide_id`, or by `patient_id` alone: then each row holds for all of the patient's
slides. One new generation of the metadata is written, none where nothing changes.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from slidelake.errors import ManifestError, UnknownSlideError
from slidelake.store.kept_catalog import COLUMNS
from slidelake.store.tables import read_table

if TYPE_CHECKING:
    import pandas as pd

    from slidelake.store.feature_store import FeatureStore

__all__ = ["MetadataUpdate", "update_metadata"]

_SHOWN = 5
#: The catalog's own words, which the metadata cannot say over; patient_id it can.
_RESERVED = frozenset(COLUMNS) - {"slide_id", "patient_id"}


@dataclass(frozen=True)
class MetadataUpdate:
    """What an update did.

    `generation` is the metadata's now, `changed` whether it is a new one; `slides` how many the table spoke
    of, `columns` what of; `left_out` columns that are the catalog's own and were passed over; `unknown` ids
    that name no slide or patient of the store; `moved` slides that belong to another patient than before.
    """

    generation: int
    changed: bool
    slides: int
    columns: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return asdict(self)


def update_metadata(
    store: "FeatureStore", source: "str | PathLike[str] | pd.DataFrame", *, allow_unknown: bool = False
) -> MetadataUpdate:
    """Puts what a table (DataFrame, CSV or Parquet file) says over what is known, by (slide_id, column).

    Empty cells say nothing; `Metadata.unset` takes something back. Ids are matched as the store spells them,
    whatever their case; those it does not know are refused, each named (UnknownSlideError), or with
    `allow_unknown` kept for slides yet to come (a patient without slides has nothing to be kept with). Columns
    named like the catalog's own (uri, mpp, width, …) are passed over. `patient_id` beside `slide_id` is the
    metadata's word for whose slide it is: catalog, splits and filters follow it. Raises ManifestError for a
    table that cannot be read or kept, and then nothing is changed.
    """
    import pandas as pd

    frame = source.copy() if isinstance(source, pd.DataFrame) else read_table(fspath(source))
    if isinstance(source, pd.DataFrame):
        frame.columns = [name.strip() if isinstance(name, str) else name for name in frame.columns]
    if frame.empty:
        raise ManifestError("the table has no rows", remedy="Give one row a slide or patient.")
    if not frame.columns.is_unique:
        raise ManifestError("the table has a column twice", remedy="Name each once.")
    key = next((name for name in ("slide_id", "patient_id") if name in frame.columns), None)
    if key is None:
        raise ManifestError(
            f"the table has no slide_id and no patient_id column (it has {', '.join(map(str, frame.columns))})",
            remedy="Add one of the two, with the store's ids.",
        )
    left_out = [name for name in frame.columns if name in _RESERVED]
    frame = frame.drop(columns=left_out)
    columns = [str(name) for name in frame.columns if name != key]
    if not columns:
        also = f" but {', '.join(left_out)}, which the commits say" if left_out else ""
        raise ManifestError(f"the table says nothing{also}", remedy="Add the columns that are to be kept.")
    frame[key] = _ids(frame[key], key)
    catalog = store.catalog()
    match = _by_slide if key == "slide_id" else _by_patient
    frame, unknown = match(frame, catalog, store)
    if unknown and not allow_unknown:
        raise _unknown(key, unknown, catalog[key])
    moved = _moved(frame, catalog)
    before = store.metadata.generation()
    generation = store.metadata.merge(frame) if len(frame) else before
    return MetadataUpdate(
        generation=generation,
        changed=generation != before,
        slides=len(frame),
        columns=tuple(columns),
        left_out=tuple(left_out),
        unknown=tuple(unknown),
        moved=tuple(moved),
    )


def _ids(column: "pd.Series[Any]", name: str) -> "pd.Series[Any]":
    text = column.astype("str").str.strip()
    empty = column.isna() | (text == "")
    if empty.any():
        row = int(empty.to_numpy().argmax()) + 1
        raise ManifestError(f"row {row} of the table has no {name}", remedy="Give every row one.")
    twice = text[text.str.casefold().duplicated()] if name == "slide_id" else text[text.duplicated()]
    if len(twice):
        raise ManifestError(
            f"{twice.iloc[0]} stands in the table twice as {name}", remedy=f"Give each {name} one row."
        )
    return text


def _by_slide(
    frame: "pd.DataFrame", catalog: "pd.DataFrame", store: "FeatureStore"
) -> "tuple[pd.DataFrame, list[str]]":
    told = store.metadata.read()["slide_id"]
    known = {each.casefold(): each for each in [*told, *catalog["slide_id"]]}
    unknown = [each for each in frame["slide_id"] if each.casefold() not in known]
    return frame.assign(slide_id=[known.get(each.casefold(), each) for each in frame["slide_id"]]), unknown


def _by_patient(
    frame: "pd.DataFrame", catalog: "pd.DataFrame", store: "FeatureStore"
) -> "tuple[pd.DataFrame, list[str]]":
    patients = catalog[["slide_id", "patient_id"]].astype({"patient_id": "str"})
    there = set(patients["patient_id"])
    unknown = [each for each in frame["patient_id"] if each not in there]
    joined = patients.merge(frame, on="patient_id", how="inner", suffixes=("", "_"))
    return joined.drop(columns="patient_id"), unknown


def _moved(frame: "pd.DataFrame", catalog: "pd.DataFrame") -> list[str]:
    if "patient_id" not in frame.columns:
        return []
    said = frame.set_index("slide_id")["patient_id"].dropna().astype("str")
    before = catalog.set_index("slide_id")["patient_id"].astype("str").reindex(said.index)
    return sorted(said.index[before.notna() & (before != said)])


def _unknown(key: str, unknown: Sequence[str], known: Iterable[Any]) -> UnknownSlideError:
    names = [str(each) for each in known]
    shown = []
    for each in unknown[:_SHOWN]:
        close = difflib.get_close_matches(each, names, n=1)
        shown.append(f"{each} (did you mean {close[0]}?)" if close else each)
    rest = [f"and {len(unknown) - _SHOWN} more"] if len(unknown) > _SHOWN else []
    what = "slide" if key == "slide_id" else "patient"
    return UnknownSlideError(
        f"the store has no {what} {', '.join([*shown, *rest])}",
        remedy="Correct the ids; --allow-unknown keeps what is said of slides that are not in yet.",
    )
