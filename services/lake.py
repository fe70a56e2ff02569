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

import numpy as np

from slidelake.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from slidelake.encoders import EmbedReport
    from slidelake.index import Hit, Hits, SlideIndex
    from slidelake.ingest import GridSpec, RunReport
    from slidelake.services.deletion import DeletionReport
    from slidelake.store import Bag, FeatureStore, GcReport

Progress = Callable[..., None] | None


def open(url: str | PathLike[str], *, create: bool = True, compression: str | None = None) -> "Lake":
    """Open a lake: a folder or any fsspec URL. A folder that is empty or missing becomes a new lake.

    `compression` is how a new lake packs its arrays: none (the default), zstd, blosc or pcodec. Raises
    NotAStoreError where the folder holds other things, or nothing and `create` is False; StoreNotWritableError
    where a new lake cannot be written; StoreVersionError for a lake of a newer format; UsageError for a lake
    with another compression.
    """
    from slidelake.store import FeatureStore

    return Lake(FeatureStore.open(fspath(url), create=create, compression=compression))


class Lake:
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

    def embed(
        self, *, aggregator: str = "mean", space: str | None = None, progress: Progress = None
    ) -> "EmbedReport":
        """Commit a slide embedding for every slide of a space that has none by this aggregator yet."""
        from slidelake.encoders import embed

        return embed(self.store, space=space, aggregator=aggregator, progress=progress)

    def search(
        self,
        *,
        slide: str | None = None,
        at: tuple[int, int] | None = None,
        image: "str | PathLike[str] | np.ndarray[Any, Any] | None" = None,
        mpp: float | None = None,
        space: str | None = None,
        aggregator: str = "mean",
        k: int = 20,
        where: Mapping[str, Any] | Sequence[str] | None = None,
        exclude_same_patient: bool = False,
        exclude_patient: str | None = None,
        exact: bool | None = None,
    ) -> "SearchResult":
        """Patches like one patch (`slide` and `at`, level-0 px) or like an image; slides like one slide.

        `where` filters by metadata: {"site": "larynx"} or ["age>=50", "stage in I,II"]. Scores are true
        cosines in −1…1. Raises QueryError, FilterError, UnknownSlideError, UnknownSpaceError,
        IndexMissingError.
        """
        from slidelake.index import Filter, parse_where

        wanted: Filter | None = None
        if isinstance(where, Mapping):
            wanted = Filter.from_dict(where)
        elif where:
            wanted = parse_where(list(where))
        common: dict[str, Any] = {
            "space": space,
            "k": k,
            "where": wanted,
            "exclude_patient": exclude_patient,
            "exclude_same_patient": exclude_same_patient,
            "exact": exact,
        }
        if image is not None:
            if slide is not None or at is not None:
                raise UsageError(
                    "a search takes one query", remedy="Pass image=, or slide= with at=, not both."
                )
            source = image if isinstance(image, np.ndarray) else Path(image)
            return SearchResult(self.index.search_image(source, mpp=mpp, **common), self.store)
        if slide is None:
            raise UsageError("a search needs a query", remedy="Pass slide= with at=, slide=, or image=.")
        if at is not None:
            return SearchResult(self.index.search_patch(slide, *at, **common), self.store)
        return SearchResult(self.index.search_slide(slide, aggregator=aggregator, **common), self.store)

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
            "quarantine": self.store.quarantine.read_all(),
            "runs": len(self.store.objects.list("runs")),
            "index": self.index.status(),
        }


def _several(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


class SearchResult(Sequence["Hit"]):
    """The hits of one search, best first; in a notebook a gallery."""

    def __init__(self, hits: "Hits", store: "FeatureStore") -> None:
        self.hits = hits
        self.store = store

    def __len__(self) -> int:
        return len(self.hits)

    def __getitem__(self, index: Any) -> Any:
        return self.hits[index]

    def __repr__(self) -> str:
        best = f", best {self.hits[0].score:.3f} in {self.hits[0].slide_id}" if len(self.hits) else ""
        return f"SearchResult({len(self)} hits in {self.space}{best})"

    @property
    def space(self) -> str:
        return self.hits.space

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader should know: a stale index, an assumed mpp."""
        return tuple(self.hits.notes)

    def to_pandas(self) -> "pd.DataFrame":
        """One row a hit: rank, score, slide_id, patient_id, row, x, y, metadata columns."""
        return self.hits.to_pandas()

    def to_dicts(self) -> list[dict[str, Any]]:
        return self.hits.to_dicts()

    def save(self, stem: str | PathLike[str]) -> dict[str, Path]:
        """Write STEM.png and STEM.html; returns their paths by kind."""
        from slidelake.services.gallery import render_html, render_png

        stem = Path(stem)
        stem.parent.mkdir(parents=True, exist_ok=True)
        png, html = stem.with_name(stem.name + ".png"), stem.with_name(stem.name + ".html")
        render_png(self.hits, self.store, png)
        render_html(self.hits, self.store, html)
        return {"png": png, "html": html}

    def _repr_html_(self) -> str:
        from html import escape

        from slidelake.services.gallery.page import html

        # A frame of its own: the page's styles must not meet the notebook's.
        page = escape(html(self.hits, self.store, limit=24), quote=True)
        return f'<iframe srcdoc="{page}" style="width:100%;height:640px;border:0" title="hits"></iframe>'
