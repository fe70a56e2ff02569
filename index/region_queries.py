"""The index's searches by a region of a slide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from slidelake.errors import QueryError
from slidelake.index.filters import Filter, as_filter
from slidelake.index.hits import Hits, Query
from slidelake.index.patients import Patients, patients
from slidelake.index.region import as_polygon, patches_in, spread, vectors_of
from slidelake.index.region_search import MOST_VECTORS, find_patches, find_slides
from slidelake.index.scope import Request
from slidelake.index.search import check_k
from slidelake.index.tables import Collection, normalise

if TYPE_CHECKING:
    from slidelake.index.live import LiveView
    from slidelake.index.opener import Opener
    from slidelake.store import FeatureStore

__all__ = ["RegionQueries"]


class RegionQueries:
    """What `SlideIndex` has of regions."""

    store: FeatureStore
    _opener: Opener
    _view: LiveView
    _patients: Patients

    def search_region(
        self,
        slide_id: str,
        *,
        box: Sequence[float] | None = None,
        polygon: Sequence[Sequence[float]] | np.ndarray | None = None,
        find: Literal["patches", "slides"] = "patches",
        space: str | None = None,
        k: int = 20,
        where: Filter | Mapping[str, Any] | Sequence[str] | str | None = None,
        exclude_same_patient: bool = False,
        exclude_patient: str | None = None,
        exact: bool | None = None,
    ) -> Hits:
        """What is like a region of `slide_id`: a `box` (x, y, width, height) or a `polygon` (n, 2), level-0 px.

        Its patches (those whose centres lie in it; the even-odd rule where it crosses itself) are the queries, all
        at once; of more than 128 as many, spread evenly over it, which the notes say. `find="patches"`: each patch
        counts by its best cosine with one of them, and those of the region itself are left out. `find="slides"`: a
        slide's score is the mean over them of the best cosine that any of its patches has; the slide itself is left
        out. QueryError for a region without a patch.
        """
        check_k(k)
        if find not in ("patches", "slides"):
            raise QueryError(f"a region finds no {find!r}", remedy="Ask for patches or slides.")
        full = self._view.space(space)
        region = patches_in(self.store, slide_id, full, as_polygon(box, polygon, slide=slide_id))
        chosen = spread(region, MOST_VECTORS)
        features = vectors_of(self.store, region, full, chosen)
        unit, usable = normalise(features, slide=region.slide_id)
        if not usable.any():
            raise QueryError(
                "the features of the region's patches are all zeros, which have no direction",
                remedy="Search from another region.",
                slide=region.slide_id,
            )
        notes = []
        if len(chosen) < len(region.rows):
            notes.append(
                f"the region has {len(region.rows):,} patches: {len(chosen)} spread over it were asked with"
            )
        patient = self._patients.of(region.slide_id, full)
        corner, size = region.polygon.min(axis=0), np.ptp(region.polygon, axis=0)
        query = Query(
            kind="region",
            k=k,
            slide_id=region.slide_id,
            patient_id=patient,
            x=int(np.floor(corner[0])),
            y=int(np.floor(corner[1])),
            width=int(np.ceil(size[0])),
            height=int(np.ceil(size[1])),
            patches=len(region.rows),
            where=str(as_filter(where)),
            exact=bool(exact),
            notes=tuple(notes),
            exclude_patients=patients(exclude_patient, patient if exclude_same_patient else None),
        )
        slides = find == "slides"
        request = Request(
            Collection(full),
            np.asarray(unit[usable], np.float32),
            query,
            as_filter(where),
            exclude_slide=region.slide_id if slides else None,
            exclude_rows=None if slides else (region.slide_id, region.rows),
        )
        finder = find_slides if slides else find_patches
        return finder(self.store, self._opener, request, self._view)
