"""The facade: one object for a lake, whose methods are what people do with it.

lake = slidelake.open("lake")
lake.ingest("slides/*.svs")
hits = lake.search(slide="S1", at=(5120, 2048), exclude_same_patient=True)
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slidelake.services.lake_search import SearchMethods
from slidelake.services.lake_select import SelectMethods
from slidelake.services.lake_text import TextMethods

if TYPE_CHECKING:
    import pandas as pd

    from slidelake.encoders import EmbedReport, HealthReport
    from slidelake.index import SlideIndex
    from slidelake.ingest import GridSpec, RunReport
    from slidelake.services.deletion import DeletionReport
    from slidelake.services.heatmap import Heatmap
    from slidelake.store import Bag, Cohort, CopyReport, FeatureStore, GcReport, MetadataUpdate, Snapshot
    from slidelake.store.interop import TransferReport
    from slidelake.store.streaming import Splits

Progress = Callable[..., None] | None


def open(
    url: str | PathLike[str],
    *,
    create: bool = True,
    compression: str | None = None,
    snapshot: str | None = None,
) -> "Lake":
    """Open a lake: a folder or any fsspec URL. A folder that is empty or missing becomes a new lake.

    `compression` is how a new lake packs its arrays: none (the default), zstd, blosc or pcodec. With `snapshot`
    the lake is as it was when the snapshot of that name was made, and cannot be written. Raises NotAStoreError
    where the folder holds other things, or nothing and `create` is False; StoreNotWritableError where a new lake
    cannot be written; StoreVersionError for a lake of a newer format; UsageError for a lake with another
    compression; UnknownNameError where there is no such snapshot.
    """
    from slidelake.store import FeatureStore

    store = FeatureStore.open(fspath(url), create=create and snapshot is None, compression=compression)
    return Lake(store.at(snapshot) if snapshot else store)


class Lake(SearchMethods, SelectMethods, TextMethods):
    """Slides, their bags, and the search over them. Nothing is read until asked."""

    def __init__(self, store: "FeatureStore") -> None:
        self.store = store
        self._index: SlideIndex | None = None

    def __repr__(self) -> str:
        return f"Lake({self.store.url!r})"

    @property
    def index(self) -> "SlideIndex":
        """The LanceDB tables of this lake."""
        if self._index is None:
            from slidelake.index import SlideIndex

            self._index = SlideIndex(self.store)
        return self._index

    @property
    def slides(self) -> "pd.DataFrame":
        """One row a slide: ids, patient, source, mpp, size, spaces, patch counts, metadata columns."""
        return self.store.catalog()

    def bag(self, slide_id: str, space: str | None = None) -> "Bag":
        """All patch features of one slide in one space: `.features` (N, D), `.coords` (N, 2) level-0 px."""
        return self.store.bag(slide_id, space)

    def cohort(self, space: str | None = None, **options: Any) -> "Cohort":
        """The bags of a space as one lazy array, with statistics and clusters: `slidelake.store.cohort`."""
        from slidelake.store import cohort

        return cohort(self.store, space, **options)

    def ingest(
        self,
        *sources: str | PathLike[str],
        encoder: str = "stain-texture",
        grid: "GridSpec | str | None" = None,
        manifest: str | PathLike[str] | None = None,
        workers: int = 0,
        sync_index: bool = True,
        progress: Progress = None,
        **options: Any,
    ) -> "RunReport":
        """Tile, encode and commit slides; what is committed already costs one look. Then the index follows.

        `options` are those of `slidelake.ingest.ingest`. A slide that cannot go in is in the report, with
        its reason, and in quarantine; it stops nothing.
        """
        from slidelake.ingest import GridSpec
        from slidelake.ingest import ingest as run_ingest

        if isinstance(grid, str):
            grid = GridSpec.parse(grid)
        report = run_ingest(
            self.store,
            [fspath(source) for source in sources],
            encoder=encoder,
            grid=grid or GridSpec(),
            manifest=fspath(manifest) if manifest is not None else None,
            workers=workers,
            progress=progress,
            **options,
        )
        if sync_index and report.counts.get("made"):
            self.index.sync()
        return report

    def import_features(
        self,
        path: str | PathLike[str],
        *,
        format: str = "auto",
        slides: str | PathLike[str] | None = None,
        patches: str | PathLike[str] | None = None,
        dry_run: bool = False,
        sync_index: bool = True,
        progress: Progress = None,
        **options: Any,
    ) -> "TransferReport":
        """Commit the features that TRIDENT, CLAM, STAMP or AtlasPatch wrote, bit for bit. Then the index follows.

        `slides` is the folder with the slides, which tell mpp and size; `options` are those of
        `slidelake.store.interop.ImportOptions` (mpp, encoder, patient_pattern, …). A file that cannot go in is
        in the report, with its reason; it stops nothing.
        """
        from slidelake.services.slide_folder import SlideFolder
        from slidelake.store.interop import ImportOptions, import_features

        report = import_features(
            self.store,
            Path(path),
            format=format,
            options=ImportOptions(
                slide_of=SlideFolder(slides) if slides is not None else None,
                patches=Path(patches) if patches is not None else None,
                **options,
            ),
            dry_run=dry_run,
            progress=progress,
        )
        if sync_index and report.counts.get("made"):
            self.index.sync()
        return report

    def export_features(
        self,
        folder: str | PathLike[str],
        *,
        format: str,
        space: str | None = None,
        slides: Sequence[str] | None = None,
        snapshot: str | None = None,
        mpp: float | None = None,
        overwrite: bool = False,
        progress: Progress = None,
    ) -> "TransferReport":
        """Write the bags of a space as files of TRIDENT, CLAM or STAMP, which their own readers take.

        All slides of the space, or those named; of a snapshot, where one is given. What is there already is left
        alone; rows that are not valid are left out, and the report says how many.
        """
        from slidelake.store.interop import ExportOptions, export_features

        return export_features(
            self.store.at(snapshot) if snapshot else self.store,
            Path(folder),
            format=format,
            space=space,
            slides=slides,
            options=ExportOptions(mpp=mpp, overwrite=overwrite),
            progress=progress,
        )

    def embed(
        self,
        *,
        aggregator: str | PathLike[str] = "mean",
        space: str | None = None,
        slides: Sequence[str] | None = None,
        snapshot: str | None = None,
        weights: str | PathLike[str] | None = None,
        device: str = "auto",
        progress: Progress = None,
    ) -> "EmbedReport":
        """Commit a slide embedding for every slide of a space that has none by this aggregator yet.

        `aggregator` is mean, max, or the path of a checkpoint that `slidelake train` wrote: then scores are kept
        beside, and the report holds the predictions; or the name of a pre-trained slide encoder (titan, …) with the
        folder of its `weights`. `snapshot` takes slides and bags as it pinned them.
        """
        from slidelake.encoders import embed

        return embed(
            self.store,
            space=space,
            aggregator=aggregator,
            slides=slides,
            snapshot=snapshot,
            weights=weights,
            device=device,
            progress=progress,
        )

    def heatmap(
        self, slide_id: str, *, out: str | PathLike[str] = "heatmaps", **options: Any
    ) -> "list[Heatmap]":
        """Draw aggregator=…'s attention, a column=… of the grid or the values=… of a file over a slide, into `out`:
        pictures, rasters, GeoJSON, the patches themselves. `options`: those of `slidelake.services.heatmap.heatmap`.
        """
        from slidelake.services.heatmap import heatmap

        return heatmap(self.store, slide_id, out=Path(out), **options)

    def attention_health(
        self,
        aggregator: str | PathLike[str],
        space: str | None = None,
        *,
        progress: Progress = None,
        **rules: Any,
    ) -> "HealthReport":
        """Whether an aggregator's stored attention does anything; `rules` are those of `HealthRules`."""
        from slidelake.encoders import HealthRules
        from slidelake.services.attention_source import check_attention

        return check_attention(self.store, space, fspath(aggregator), HealthRules(**rules), progress=progress)

    def update_metadata(
        self, table: "str | PathLike[str] | pd.DataFrame", *, allow_unknown: bool = False
    ) -> "MetadataUpdate":
        """Put a table of labels, consent, site, … (by slide_id, or by patient_id alone) over what is known.

        Searches filter by it after `index.sync()`. Raises ManifestError, UnknownSlideError.
        """
        from slidelake.store import update_metadata

        return update_metadata(self.store, table, allow_unknown=allow_unknown)

    def snapshot(self, name: str, note: str = "", *, spaces: Sequence[str] | None = None) -> "Snapshot":
        """Pin what is in the lake now; `slidelake.open(url, snapshot=name)` and `lake.store.at(name)` read it."""
        return self.store.snapshots.create(name, note, spaces=spaces)

    def copy(self, url: str | PathLike[str], **options: Any) -> "CopyReport":
        """Copy the lake to another folder or URL, or bring such a copy up to date: only what is new travels.

        `options` are those of `slidelake.store.replicate`: snapshot, spaces, slides, verify, threads, progress.
        """
        from slidelake.store import replicate

        return replicate(self.store, url, **options)

    def delete(
        self,
        *,
        slide: str | Sequence[str] = (),
        patient: str | Sequence[str] = (),
        dry_run: bool = False,
    ) -> "DeletionReport":
        """Delete slides, or all slides of patients, from the store, the index and all records, and keep them out.

        It cannot be undone; `allow` lets the next ingest bring them back.
        """
        from slidelake.services.deletion import delete

        return delete(self, slides=_several(slide), patients=_several(patient), dry_run=dry_run)

    def allow(self, *, slide: str | Sequence[str] = (), patient: str | Sequence[str] = ()) -> int:
        """Take slides or patients off the deny-list; how many entries went."""
        from slidelake.services.deletion import allow

        return allow(self, slides=_several(slide), patients=_several(patient))

    def gc(self, *, grace: timedelta | None = None, dry_run: bool = False) -> "GcReport":
        """Remove what no commit and no snapshot names: what a look at least `grace` (7 days) ago found dead too.

        A smaller grace is safe only while no writer and no reader is at work.
        """
        from slidelake.store import collect_garbage

        if grace is None:
            return collect_garbage(self.store, dry_run=dry_run)
        return collect_garbage(self.store, grace=grace, dry_run=dry_run)

    def split(
        self,
        *,
        label: str | None = None,
        folds: int | None = None,
        parts: Mapping[str, float] | None = None,
        seed: int = 0,
        snapshot: str | None = None,
    ) -> "Splits":
        """Divide the slides by patient into parts (train 0.7, val 0.1, test 0.2 by default) or folds.

        `label` names a metadata column whose classes every part gets its share of. `.save(path)` keeps the
        splits for every later training; `slidelake.store.streaming.make_splits` knows more.
        """
        from slidelake.store.streaming import Classification, Labels, make_splits

        store = self.store.at(snapshot) if snapshot else self.store
        labels = Labels.read(store, Classification(label)) if label else None
        return make_splits(store, labels=labels, folds=folds, parts=parts, seed=seed)

    def status(self) -> dict[str, Any]:
        """Counts by space, the quarantine, and whether the index follows; as `slidelake status --json`."""
        catalog = self.slides
        spaces: dict[str, dict[str, Any]] = {}
        for names, patches in zip(catalog["spaces"], catalog["space_patches"], strict=True):
            for name, rows in zip(names, patches, strict=True):
                entry = spaces.setdefault(name, {"space": name, "slides": 0, "patches": 0})
                entry["slides"] += 1
                entry["patches"] += int(rows)
        return {
            "store": self.store.url,
            "format": self.store.info.format,
            "slides": len(catalog),
            "patients": int(catalog["patient_id"].nunique()) if len(catalog) else 0,
            "spaces": [spaces[name] for name in sorted(spaces)],
            "reports": len(self.store.reports.ids()),
            "quarantine": self.store.quarantine.read_all(),
            "runs": len(self.store.objects.list("runs")),
            "index": self.index.status(),
        }


def _several(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)
