"""The table of slides, made from the commits and kept as Parquet under `catalog/`: derived, never the truth.

Each row keeps the digest of its slide's keys: a refresh lists the keys once, and reads only the commits of
slides whose keys changed. Without changes it reads one Parquet file and writes nothing.
"""

import io
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import xxhash

from slidelake.errors import StoreFullError, StoreNotWritableError
from slidelake.store.commits import Commit, latest_commit
from slidelake.store.layout import SlideState, Subject
from slidelake.store.objects import Objects

if TYPE_CHECKING:
    import pandas as pd

    from slidelake.store.feature_store import FeatureStore

__all__ = ["COLUMNS", "make_catalog", "read_catalog"]

log = logging.getLogger(__name__)

#: The catalog's own columns; those of the metadata follow.
COLUMNS = ("slide_id", "patient_id", "uri", "mpp", "width", "height", "spaces", "space_patches", "n_patches")
_KEY = "catalog/slides.parquet"
# Part of each digest: rows made by an older rule are made again.
_RULE = "2"


def read_catalog(store: "FeatureStore") -> "pd.DataFrame":
    """One row a slide with a live commit, sorted by slide_id.

    patient_id is the metadata's word where there is one, else the commits'; mpp is x's, in µm/px; width and
    height in level-0 px; spaces a list, and space_patches the rows in each of them; n_patches the rows of the
    slide's largest grid. The metadata's other columns follow; one named like a column above is left out.
    """
    known = _known(store.objects)
    rows, changed = _rows(store.objects, store.states(), known)
    if changed or len(known) != len(rows):
        _keep(store, rows)
    return _frame(rows, store.metadata.read())


def make_catalog(
    objects: Objects, states: Mapping[str, SlideState], metadata: "pd.DataFrame"
) -> "pd.DataFrame":
    """The same table of other states than the live ones (a snapshot's). Rows that the kept catalog has are
    taken from it; it is left as it is."""
    return _frame(_rows(objects, states, _known(objects))[0], metadata)


def _rows(
    objects: Objects, states: Mapping[str, SlideState], known: Mapping[str, dict[str, Any]]
) -> tuple[list[dict[str, Any]], int]:
    """A row for each slide with a live commit, and how many of them had to be read anew."""
    rows, changed = [], 0
    for slide_id, state in states.items():
        if not state.keys:
            continue
        digest = _digest(state)
        row = known.get(slide_id)
        if row is None or row["digest"] != digest:
            row = {**_row(objects, state), "digest": digest}
            changed += 1
        rows.append(row)
    return rows, changed


def _frame(rows: list[dict[str, Any]], metadata: "pd.DataFrame") -> "pd.DataFrame":
    import pandas as pd

    frame = pd.DataFrame(rows, columns=[*COLUMNS, "digest"]).drop(columns="digest")
    frame = frame.astype({"mpp": "float64", "width": "Int64", "height": "Int64", "n_patches": "int64"})
    return _with_metadata(frame, metadata)


def _with_metadata(frame: "pd.DataFrame", metadata: "pd.DataFrame") -> "pd.DataFrame":
    free = metadata.drop(columns=[name for name in COLUMNS[1:] if name in metadata])
    joined = frame.merge(free, on="slide_id", how="left") if len(free.columns) > 1 else frame
    if "patient_id" in metadata:
        said = metadata.set_index("slide_id")["patient_id"].reindex(joined["slide_id"]).reset_index(drop=True)
        joined["patient_id"] = said.where(said.notna(), joined["patient_id"])
    return joined


def _digest(state: SlideState) -> str:
    text = "\n".join([_RULE, *sorted(key.key for key in state.keys.values())])
    return xxhash.xxh3_128(text.encode()).hexdigest()


def _row(objects: Objects, state: SlideState) -> dict[str, Any]:
    commits = {
        subject: commit
        for subject in sorted(state.keys)
        if subject.kind != "pooled" and (commit := latest_commit(objects, state, subject)) is not None
    }
    bags = [commit for subject, commit in commits.items() if subject.kind == "bag"]
    grids = [commit for subject, commit in commits.items() if subject.kind == "grid"]
    sources = [*bags, *grids, *([commits[Subject("overview")]] if Subject("overview") in commits else [])]
    width, height = _size(list(commits.values()))
    spaces = {
        f"{b.subject.grid_id}/{b.subject.encoder_id}": int(b.arrays["coords"]["shape"][0]) for b in bags
    }
    return {
        "slide_id": state.slide_id,
        "patient_id": _first(sources, "patient_id") or state.slide_id,
        "uri": _first(sources, "source_uri"),
        "mpp": _first(sources, "mpp_x"),
        "width": width,
        "height": height,
        "spaces": sorted(spaces),
        "space_patches": [spaces[space] for space in sorted(spaces)],
        "n_patches": max((int(each.arrays["coords"]["shape"][0]) for each in [*bags, *grids]), default=0),
    }


def _first(commits: list[Commit], name: str) -> Any:
    return next((found for commit in commits if (found := commit.provenance.get(name)) is not None), None)


def _size(commits: list[Commit]) -> tuple[int | None, int | None]:
    for commit in commits:
        size = commit.attributes.get("slide_size")
        if size:
            return int(size[0]), int(size[1])
    return None, None


def _known(objects: Objects) -> dict[str, dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(objects.read(_KEY)))
        return {row["slide_id"]: row for row in table.to_pylist()}
    except FileNotFoundError:
        return {}
    except (pa.ArrowException, KeyError) as exc:
        # Derived: what cannot be read is made again.
        log.warning("the catalog is made again", extra={"error": str(exc)})
        return {}


def _keep(store: "FeatureStore", rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
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
        }
    )
    # A slide may have been deleted since the rows were read.
    gone = store.denied.among("slide", (row["slide_id"] for row in rows))
    rows = [row for row in rows if row["slide_id"] not in gone]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer)
    try:
        store.objects.replace(_KEY, buffer.getvalue())
    except (StoreNotWritableError, StoreFullError) as exc:
        # A reader without the right to write still gets its table; it only is not kept.
        log.info("the catalog is not kept", extra={"error": str(exc)})
