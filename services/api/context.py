"""What the routes of one server share, and how a route asks for it."""

import logging
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from fastapi import Depends, Request
from numpy.typing import NDArray

from slidelake.services.api.audit import AuditLog
from slidelake.services.api.byte_cache import ByteCache
from slidelake.services.api.catalog_view import CatalogView, Row, read_catalog_view
from slidelake.services.api.metrics import Metrics
from slidelake.services.api.models import SpaceInfo
from slidelake.services.api.remembered import Remembered
from slidelake.services.api.reports_view import read_reports
from slidelake.services.api.sessions import Sessions
from slidelake.services.api.settings import ServeSettings
from slidelake.services.api.slide_pool import SlidePool
from slidelake.services.api.sources import Slide, SourceBook, Sources, unknown_slide
from slidelake.services.api.spaces import read_spaces
from slidelake.services.api.tokens import Tokens
from slidelake.store import match_space

if TYPE_CHECKING:
    from slidelake.services.api.auth import Caller
    from slidelake.services.lake import Lake
    from slidelake.store import ReportHead, SlideState

__all__ = ["Context", "Picture", "SharedContext", "shared_context"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Picture:
    """A coded picture, and what its pixels are: the slide's, or its thumbnail's."""

    data: bytes
    pixels: str


class Context:
    """One server's lake and settings, and what it keeps open: the catalog, slides, pictures, sessions, counters."""

    def __init__(self, lake: "Lake", settings: ServeSettings, tokens: Tokens | None = None) -> None:
        self.lake = lake
        self.settings = settings
        self.tokens = tokens or Tokens()
        self.sessions = Sessions(settings.session_time)
        self.metrics = Metrics()
        self.pool = SlidePool(settings.open_slides)
        self.sources = Sources(lake.store, settings.fresh_for)
        self.pictures: ByteCache[Picture] = ByteCache(
            settings.cache_bytes, lambda picture: len(picture.data) + 200
        )
        self.thumbnails: ByteCache[NDArray[np.uint8]] = ByteCache(
            settings.thumbnail_bytes, lambda picture: picture.nbytes
        )
        self._shown: frozenset[str] = frozenset()
        self.catalog: Remembered[CatalogView] = Remembered(self._read_catalog, settings.fresh_for)
        self.states: Remembered[dict[str, SlideState]] = Remembered(lake.store.states, settings.fresh_for)
        self.spaces: Remembered[list[SpaceInfo]] = Remembered(
            lambda: read_spaces(lake.store, self.catalog.get(), self.states.get()), settings.fresh_for
        )
        lake.index.serve(fresh_for=settings.fresh_for, resident_bytes=settings.resident_bytes)
        self.status: Remembered[dict[str, Any]] = Remembered(lake.status, settings.fresh_for)
        self.reports: Remembered[dict[str, ReportHead]] = Remembered(
            lambda: read_reports(lake.store), settings.fresh_for
        )
        #: Decodes and draws: as many at once as there are processors; more would only get in each other's way.
        self.painters = ThreadPoolExecutor(max(2, os.cpu_count() or 2), thread_name_prefix="slidelake-pixels")
        self._audit = AuditLog(settings.audit) if settings.audit is not None else None
        watch = self.metrics.watch
        watch("open_slides", "Slides that are open.", lambda: float(self.pool.open))
        watch("cache_bytes", "Bytes of tiles and pictures kept.", lambda: float(self.pictures.bytes))
        watch("thumbnail_bytes", "Bytes of thumbnails kept decoded.", lambda: float(self.thumbnails.bytes))

    def url(self, path: str) -> str:
        """A path of this server ("/api/…") as a URL for callers: under the prefix."""
        return f"{self.settings.prefix}{path}"

    def row(self, slide_id: str) -> Row:
        """A slide's row of the catalog, looked up by its very id. Raises UnknownSlideError."""
        row = self.catalog.get().by_id.get(slide_id)
        if row is None:
            raise unknown_slide(slide_id)
        return row

    def source(self, slide_id: str) -> SourceBook:
        """What is known of a slide and where its pixels are. Raises UnknownSlideError.

        The id is looked up in the catalog first, so that nothing which is no id gets near the store; one that came
        in since the catalog was read is looked for once more.
        """
        if (book := self.sources.peek(slide_id)) is not None:
            return book
        if slide_id not in self.catalog.get().by_id:
            self.catalog.refresh()
            if slide_id not in self.catalog.get().by_id:
                raise unknown_slide(slide_id)
        return self.sources.get(slide_id)

    def space(self, name: str | None) -> str:
        """A space's full name for what a caller wrote, by the remembered listing. Raises UnknownSpaceError."""
        return match_space(name, [each.space for each in self.spaces.get()])

    def thumbnail(self, slide: Slide) -> NDArray[np.uint8] | None:
        """(h, w, 3) the stored thumbnail, which others share: do not write into it; None where there is none."""
        if not slide.overview:
            return None
        key = (slide.slide_id, slide.overview)
        kept = self.thumbnails.get(key)
        if kept is None:
            kept = np.ascontiguousarray(self.sources.overview(slide).thumbnail)
            self.thumbnails.put(key, kept)
        return kept

    def changed(self, *slide_ids: str) -> None:
        """Slides were deleted or added: nothing of them stays in memory; the listings are made again."""
        self._let_go(slide_ids)
        for listing in (self.catalog, self.states, self.spaces, self.status, self.reports):
            listing.forget()

    def _read_catalog(self) -> CatalogView:
        """The catalog as it is now; of slides that another program deleted nothing stays in memory."""
        view = read_catalog_view(self.lake.store)
        self._let_go(self._shown - view.by_id.keys())
        self._shown = frozenset(view.by_id)
        return view

    def _let_go(self, slide_ids: Iterable[str]) -> None:
        gone = frozenset(slide_ids)
        for slide_id in gone:
            if (known := self.sources.forget(slide_id)) is not None:
                self.pool.forget(known.slide.uri)
        if gone:
            for kept in (self.pictures, self.thumbnails):
                kept.drop(lambda key: isinstance(key, tuple) and key[0] in gone)

    def audit(self, caller: "Caller", action: str, **facts: Any) -> None:
        """Record what a caller did: `context.audit(caller, "search", kind="patch", space=…, hits=…)`."""
        if action == "search":
            self.metrics.searches.labels(str(facts.get("kind", "other"))).inc()
        if self._audit is not None:
            self._audit.record(caller.name, action, **facts)

    def warm(self) -> None:
        """Begin to read the listings and to load what draws, so that the first caller need not wait for it."""
        self.painters.submit(self._warm)

    def _warm(self) -> None:
        try:
            self.spaces.get()
            self.status.get()
            import_module("slidelake.ingest.readers.openslide")
            import_module("slidelake.ingest.pixels")
        except Exception:
            # Who asks first is told what it is.
            log.warning("the lake could not be read yet", exc_info=True)

    def close(self) -> None:
        """Close slides and files; the app does it when it stops."""
        # Waited for: what draws must not outlive the slides that it draws from.
        self.painters.shutdown(cancel_futures=True)
        self.pool.close()
        if self._audit is not None:
            self._audit.close()


async def shared_context(request: Request) -> Context:
    """The context of the app that a request came to."""
    context: Context = request.app.state.context
    return context


#: A route's parameter: `context: SharedContext`.
SharedContext = Annotated[Context, Depends(shared_context)]
