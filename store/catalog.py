"""The table of slides, made from the commits and kept as Parquet under `catalog/`: derived, never the truth.

A refresh lists only what may have changed (listing.py), and reads only the commits of slides whose keys
changed. Without changes it reads one Parquet file (kept_catalog.py) and writes nothing.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from slidelake.store.commits import Commit, latest_commit
from slidelake.store.kept_catalog import COLUMNS, KEPT_COLUMNS, UNSETTLED, KeptCatalog
from slidelake.store.layout import SlideState, Subject
from slidelake.store.listing import changes_since, digest_of, readers
from slidelake.store.objects import Objects
from slidelake.store.patients import said_patient

if TYPE_CHECKING:
    import pandas as pd

    from slidelake.store.feature_store import FeatureStore

__all__ = ["make_catalog", "read_catalog"]

log = logging.getLogger(__name__)


def read_catalog(store: "FeatureStore", *, now_ns: int | None = None) -> "pd.DataFrame":
    """One row a slide with a live commit, sorted by slide_id.

    patient_id is the metadata's word where there is one, else the commits'; mpp is x's, in µm/px; width and
    height in level-0 px; spaces a list, and space_patches the rows in each of them; n_patches the rows of the
    slide's largest grid. The metadata's other columns follow; one named like a column above is left out.
    `now_ns` is the file system's time, read off it by default.
    """
    objects = store.objects
    kept = KeptCatalog.read(objects)
    changes = changes_since(objects, kept, now_ns=now_ns)
    live = {slide_id: state for slide_id, state in changes.states.items() if state.keys}
    # Listed again, and found as it was: the row stands, the stamp may be a newer one.
    digests = kept.column("digest") if live else []
    there = {name: row for name in live if (row := kept.places.get(name)) is not None}
    stand = {name: row for name, row in there.items() if digests[row] == digest_of(live[name])}
    fresh = _rows(objects, [state for name, state in live.items() if name not in stand])
    for new in fresh:
        new.update(changes.stamps.get(new["slide_id"], UNSETTLED)._asdict())
    stamps = {name: changes.stamps[name] for name in stand if name in changes.stamps}
    now = kept.stamped(stamps).take(sorted([*changes.same, *stand.values()])).joined(KeptCatalog.of(fresh))
    now.prefixes = changes.prefixes
    if not now.table.equals(kept.table) or now.prefixes != kept.prefixes:
        _keep(store, now)
    return _with_metadata(_frame(now), store.metadata.read())


def _keep(store: "FeatureStore", catalog: KeptCatalog) -> None:
    """Keeps the rows of all that is not denied: a slide may be deleted while its row is made or written."""
    gone = store.denied.among("slide", catalog.places)
    while True:
        catalog = catalog.without(gone)
        catalog.keep(store.objects)
        gone = store.denied.among("slide", catalog.places)
        if not gone:
            return


def make_catalog(
    objects: Objects, states: Mapping[str, SlideState], metadata: "pd.DataFrame"
) -> "pd.DataFrame":
    """The same table of other states than the live ones (a snapshot's). Rows that the kept catalog has for the
    very same keys are taken from there; nothing is kept."""
    kept = KeptCatalog.read(objects)
    digests = kept.column("digest")
    live = {slide_id: state for slide_id, state in states.items() if state.keys}
    there = {name: row for name in live if (row := kept.places.get(name)) is not None}
    stand = {name: row for name, row in there.items() if digests[row] == digest_of(live[name])}
    fresh = _rows(objects, [state for name, state in live.items() if name not in stand])
    return _with_metadata(_frame(kept.take(sorted(stand.values())).joined(KeptCatalog.of(fresh))), metadata)


def _frame(kept: KeptCatalog) -> "pd.DataFrame":
    lists = ("spaces", "space_patches")
    frame: pd.DataFrame = kept.table.drop_columns([*KEPT_COLUMNS, *lists]).to_pandas()
    for name in lists:
        frame[name] = kept.column(name)
    frame = frame[list(COLUMNS)]
    for name in ("slide_id", "patient_id", "uri"):
        frame[name] = frame[name].astype("str")
    return frame.astype({"mpp": "float64", "width": "Int64", "height": "Int64", "n_patches": "int64"})


def _with_metadata(frame: "pd.DataFrame", metadata: "pd.DataFrame") -> "pd.DataFrame":
    free = metadata.drop(columns=[name for name in COLUMNS[1:] if name in metadata])
    joined = frame.merge(free, on="slide_id", how="left") if len(free.columns) > 1 else frame
    if "patient_id" in metadata:
        said = metadata.set_index("slide_id")["patient_id"].reindex(joined["slide_id"]).reset_index(drop=True)
        joined["patient_id"] = said.where(said.notna(), joined["patient_id"])
    return joined


def _rows(objects: Objects, states: Iterable[SlideState]) -> list[dict[str, Any]]:
    with ThreadPoolExecutor(readers(objects)) as pool:
        return [
            {**row, "digest": digest_of(state), **UNSETTLED._asdict()}
            for state, row in pool.map(lambda state: (state, _row_or_less(objects, state)), states)
        ]


def _row_or_less(objects: Objects, state: SlideState) -> dict[str, Any]:
    """A slide's row; one damaged commit must not cost the others theirs."""
    try:
        return _row(objects, state)
    except (LookupError, TypeError, ValueError, AttributeError) as exc:
        log.warning(
            "a commit does not say what its kind says: run slidelake verify",
            extra={"slide_id": state.slide_id, "error": f"{type(exc).__name__}: {exc}"},
        )
        nothing: dict[str, Any] = dict.fromkeys(COLUMNS)
        named = {"slide_id": state.slide_id, "patient_id": state.slide_id}
        return {**nothing, **named, "spaces": [], "space_patches": [], "n_patches": 0}


def _row(objects: Objects, state: SlideState) -> dict[str, Any]:
    """What a slide's commits say of it. A bag's commit usually says all: the others are read where it does not."""
    by_kind: dict[str, list[Subject]] = {"bag": [], "grid": [], "overview": []}
    for subject in sorted(state.keys):
        if subject.kind in by_kind:
            by_kind[subject.kind].append(subject)
    read: dict[Subject, Commit | None] = {}

    def commits(*kinds: str) -> Iterable[Commit]:
        for subject in (each for kind in kinds for each in by_kind[kind]):
            if subject not in read:
                read[subject] = latest_commit(objects, state, subject)
            if (commit := read[subject]) is not None:
                yield commit

    def first(say: Callable[[Commit], Any]) -> Any:
        said = (say(commit) for commit in commits("bag", "grid", "overview"))
        return next((each for each in said if each is not None), None)

    bags = {f"{b.subject.grid_id}/{b.subject.encoder_id}": b for b in commits("bag")}
    patient = said_patient(bags.values())
    patches = {space: int(bag.arrays["coords"]["shape"][0]) for space, bag in bags.items()}
    # A bag has its grid's rows: only grids without a bag need be asked.
    tiled = {bag.subject.grid_id for bag in bags.values()}
    by_kind["grid"].sort(key=lambda subject: subject.grid_id in tiled)
    bare = [
        int(grid.arrays["coords"]["shape"][0])
        for grid in (commits("grid") if any(s.grid_id not in tiled for s in by_kind["grid"]) else ())
    ]
    width, height = first(_size) or (None, None)
    return {
        "slide_id": state.slide_id,
        "patient_id": patient[0]
        if patient
        else first(lambda commit: _text(commit, "patient_id")) or state.slide_id,
        "uri": first(lambda commit: _text(commit, "source_uri")),
        "mpp": None if (mpp := first(lambda commit: commit.provenance.get("mpp_x"))) is None else float(mpp),
        "width": width,
        "height": height,
        "spaces": sorted(patches),
        "space_patches": [patches[space] for space in sorted(patches)],
        "n_patches": max([*patches.values(), *bare], default=0),
    }


def _text(commit: Commit, name: str) -> str | None:
    """A word of the provenance; who writes through Python may have given a number."""
    said = commit.provenance.get(name)
    return None if said in (None, "") else str(said)


def _size(commit: Commit) -> tuple[int, int] | None:
    size = commit.attributes.get("slide_size")
    return (int(size[0]), int(size[1])) if size else None
