"""The index of one store: sync, status, and the searches by patch, image, vector and slide."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from slidelake.errors import QueryError
from slidelake.index.connection import Connection
from slidelake.index.filters import Filter, as_filter
from slidelake.index.hits import Hits, Query
from slidelake.index.index_status import IndexStatus
from slidelake.index.live import LiveView, live_versions
from slidelake.index.locate import patch_at
from slidelake.index.opener import Opener
from slidelake.index.patients import Patients, patients
from slidelake.index.region_queries import RegionQueries
from slidelake.index.reports.hits import ReportHits
from slidelake.index.reports.request import Mode, ReportsRequest, several
from slidelake.index.scope import Request
from slidelake.index.search import check_k, find, query_vector
from slidelake.index.similarity import Similarity
from slidelake.index.sync import SyncReport, synchronise
from slidelake.index.tables import Collection

if TYPE_CHECKING:
    from slidelake.encoders import PatchEncoder
    from slidelake.index.erase import EraseReport
    from slidelake.store import FeatureStore

__all__ = ["EXACT_BELOW", "SlideIndex"]

#: Rows from which a table gets an approximate index; below it every search is exact.
EXACT_BELOW = 50_000

Where = Filter | Mapping[str, Any] | Sequence[str] | str | None


class SlideIndex(RegionQueries, Similarity, IndexStatus):
    """The LanceDB index beside a store's data: derived, and always safe to remove and sync again.

    Searches share these arguments: `space` (may be short, or left out where there is one), `k` hits, `where`
    (a `Filter`, `{"site": "larynx"}` or `["age>=50"]`; applied before the search, so `k` hits come back if
    `k` match), `exclude_same_patient`, `exclude_patient`, and `exact` (None: exact wherever a table has no
    approximate index). Slides that the index does not have, or has from an older commit, never show old
    vectors: `Hits.stale` counts them and `Hits.notes` say it. Raises IndexMissingError before the first sync,
    QueryError for what cannot be searched for, FilterError for a filter on no column.

    A server may set `fresh_for`, seconds for which the store's listing is remembered (0.4 s at 10,000
    slides), and `resident_bytes`, memory in which vectors are kept for fast exact searches: see `serve`.
    """

    def __init__(
        self,
        store: FeatureStore,
        *,
        exact_below: int = EXACT_BELOW,
        fresh_for: float = 0.0,
        resident_bytes: int = 0,
    ) -> None:
        self.store = store
        self.exact_below = exact_below
        self._connection = Connection(store)
        self._encoders: dict[str, PatchEncoder] = {}
        self._patients = Patients(store)
        self.serve(fresh_for=fresh_for, resident_bytes=resident_bytes)

    def serve(self, *, fresh_for: float, resident_bytes: int) -> None:
        """From now on: remember the store's listing and the opened tables for `fresh_for` seconds, and keep vectors
        in at most `resident_bytes` of memory, where every search of them is exact. What is shown is checked still."""
        self._view = LiveView(self.store, fresh_for)
        self._opener = Opener(self._connection, fresh_for=fresh_for, resident_bytes=resident_bytes)

    def sync(self, *, progress: Callable[..., None] | None = None) -> SyncReport:
        """Make the index follow the store; a second run writes nothing. Waits for another sync to end."""
        try:
            return synchronise(self.store, self._connection, exact_below=self.exact_below, progress=progress)
        finally:
            self._opener.forget()

    def erase_denied(self) -> EraseReport:
        """Leaves nothing of slides on the store's deny-list in any version of any table; tables that held some,
        and those with approximate indexes, are written anew. Waits for a sync at work to end."""
        from slidelake.index.erase import erase_denied

        try:
            return erase_denied(self.store, self._connection, exact_below=self.exact_below)
        finally:
            self._opener.forget()

    def denied_rows(self) -> dict[str, int]:
        """How many rows of slides on the store's deny-list each table still holds, in any of its versions."""
        from slidelake.index.erase import held_rows

        return held_rows(self.store, self._connection)

    def search_reports(
        self,
        text: str,
        *,
        k: int = 10,
        mode: Mode = "hybrid",
        patients: Sequence[str] | None = None,
        exclude_patients: Sequence[str] = (),
        slides: Sequence[str] | None = None,
        where: Where = None,
        per_report: int = 1,
    ) -> ReportHits:
        """Passages of reports that answer `text`: by terms and vectors ("hybrid"), or by one of them.

        Only reports of `patients`, not of `exclude_patients`, about `slides` or slides that `where` fits. At most
        `per_report` passages of one report. Raises IndexMissingError before the first sync, QueryError for an empty
        question, a mode that is none, k outside 1 to 10,000; MissingDependencyError for mode "vector" without an
        encoder.
        """
        from slidelake.index.reports.search import find_reports

        request = ReportsRequest(
            text=text,
            k=k,
            mode=mode,
            where=as_filter(where),
            patients=several("patients", patients),
            exclude_patients=several("exclude_patients", exclude_patients) or (),
            slides=several("slides", slides),
            per_report=per_report,
        )
        return find_reports(self.store, self._connection, request)

    def search_patch(
        self,
        slide_id: str,
        x: float,
        y: float,
        *,
        space: str | None = None,
        k: int = 20,
        where: Where = None,
        exclude_same_patient: bool = False,
        exclude_patient: str | None = None,
        exact: bool | None = None,
    ) -> Hits:
        """Patches like the one of `slide_id` that holds level-0 pixel (x, y), itself left out."""
        check_k(k)
        full = self._view.space(space)
        patch = patch_at(self.store, slide_id, full, x, y)
        slide_id = patch.slide_id  # as the store spells it
        patient = self._patients.of(slide_id, full)
        query = Query(
            kind="patch",
            k=k,
            slide_id=slide_id,
            patient_id=patient,
            row=patch.row,
            x=patch.x,
            y=patch.y,
            exclude_patients=patients(exclude_patient, patient if exclude_same_patient else None),
        )
        vector = query_vector(patch.feature)
        return self._find(Collection(full), vector, query, where, exact, exclude_row=(slide_id, patch.row))

    def search_image(
        self,
        image: str | os.PathLike[str] | bytes | np.ndarray,
        *,
        space: str | None = None,
        mpp: float | None = None,
        encoder: PatchEncoder | None = None,
        k: int = 20,
        where: Where = None,
        exclude_same_patient: bool = False,
        exclude_patient: str | None = None,
        exact: bool | None = None,
    ) -> Hits:
        """Patches like an image file (its path, or its bytes) or a uint8 (H, W, 3) array; see `prepare_image` for
        `mpp` and the crop.

        The space's encoder is made again by its name; pass `encoder` where that takes more (weights). An
        encoder whose id is not the space's is refused.
        """
        check_k(k)
        _no_patient("an image file", exclude_same_patient)
        full = self._view.space(space)
        feature, picture = self.encode_image(image, full, mpp=mpp, encoder=encoder)
        query = Query(
            kind="image",
            k=k,
            image=picture.name,
            pixels=picture.pixels,
            notes=picture.notes,
            exclude_patients=patients(exclude_patient),
        )
        return self._find(Collection(full), query_vector(feature), query, where, exact)

    def search_text(
        self,
        text: str,
        *,
        space: str | None = None,
        encoder: PatchEncoder | None = None,
        k: int = 20,
        where: Where = None,
        exclude_same_patient: bool = False,
        exclude_patient: str | None = None,
        exact: bool | None = None,
    ) -> Hits:
        """Patches that words describe, where the space's encoder reads words too (`encode_text`); QueryError says
        what would be needed where it does not."""
        from slidelake.index.space_encoder import text_vector

        check_k(k)
        _no_patient("a text", exclude_same_patient)
        full = self._view.space(space)
        vector = query_vector(text_vector(self.store, full, text, encoder, self._encoders))
        query = Query(kind="text", k=k, text=text, exclude_patients=patients(exclude_patient))
        return self._find(Collection(full), vector, query, where, exact)

    def search_vector(
        self,
        vector: Sequence[float] | np.ndarray,
        *,
        space: str | None = None,
        aggregator: str | None = None,
        k: int = 20,
        where: Where = None,
        exclude_same_patient: bool = False,
        exclude_patient: str | None = None,
        exact: bool | None = None,
    ) -> Hits:
        """Patches nearest to a vector (D,) of the space; with `aggregator`, slides nearest to an embedding (E,)."""
        check_k(k)
        _no_patient("a vector", exclude_same_patient)
        unit = query_vector(vector)
        full = self._view.space(space)
        query = Query(kind="vector", k=k, exclude_patients=patients(exclude_patient))
        collection = Collection(full) if aggregator is None else self._pooled(full, aggregator)
        return self._find(collection, unit, query, where, exact)

    def search_slide(
        self,
        slide_id: str,
        *,
        space: str | None = None,
        aggregator: str = "mean",
        k: int = 20,
        where: Where = None,
        exclude_same_patient: bool = False,
        exclude_patient: str | None = None,
        exact: bool | None = None,
    ) -> Hits:
        """Slides like `slide_id` by their pooled embeddings; the slide itself is left out."""
        check_k(k)
        full = self._view.space(space)
        collection = self._pooled(full, aggregator, self.store.bag(slide_id, full).slide_id)
        pooled = self.store.pooled(slide_id, full, collection.aggregator)
        slide_id, embedding = pooled.slide_id, np.asarray(pooled.embedding)
        if len(embedding) != 1:
            raise QueryError(
                f"{collection.aggregator} makes {len(embedding)} embeddings a slide: no one similarity",
                remedy="Use an aggregator of one branch, such as mean.",
                slide=slide_id,
            )
        patient = self._patients.of(slide_id, full)
        query = Query(
            kind="slide",
            k=k,
            slide_id=slide_id,
            patient_id=patient,
            aggregator=collection.aggregator,
            exclude_patients=patients(exclude_patient, patient if exclude_same_patient else None),
        )
        return self._find(collection, query_vector(embedding[0]), query, where, exact, exclude_slide=slide_id)

    def _find(
        self,
        collection: Collection,
        vector: np.ndarray,
        query: Query,
        where: Where,
        exact: bool | None,
        *,
        exclude_slide: str | None = None,
        exclude_row: tuple[str, int] | None = None,
    ) -> Hits:
        from dataclasses import replace

        conditions = as_filter(where)
        query = replace(query, where=str(conditions), exact=bool(exact))
        rows = None if exclude_row is None else (exclude_row[0], np.array([exclude_row[1]]))
        request = Request(collection, vector[None], query, conditions, exclude_slide, rows)
        return find(self.store, self._opener, request, self._view)

    def _pooled(self, space: str, aggregator: str, slide_id: str = "") -> Collection:
        """The collection of pooled slides that `aggregator`, a full id or its name, means (for this slide)."""
        made = [
            collection
            for collection, slides in live_versions(self.store).items()
            if collection.space == space and collection.aggregator and (not slide_id or slide_id in slides)
        ]
        fits = [c for c in made if c.aggregator == aggregator] or [
            c for c in made if c.aggregator.rpartition(".")[0] == aggregator
        ]
        if len(fits) == 1:
            return fits[0]
        if fits:
            raise QueryError(
                f"several aggregators are called {aggregator!r}",
                remedy=f"Use one of: {', '.join(sorted(c.aggregator for c in fits))}.",
                slide=slide_id,
            )
        raise QueryError(
            f"there is no {aggregator!r} embedding of {'the slide' if slide_id else 'any slide'} in {space}",
            remedy=f"Run `slidelake embed --aggregator {aggregator}`, then `slidelake index sync`.",
            slide=slide_id,
        )


def _no_patient(what: str, exclude_same_patient: bool) -> None:
    """QueryError where the patient of what has none is to be left out."""
    if exclude_same_patient:
        raise QueryError(
            f"{what} has no patient to leave out",
            remedy="Name the patient: --exclude-patient ID (exclude_patient= in Python).",
        )
