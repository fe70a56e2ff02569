"""The lake's search: one method, whose arguments say what is looked for."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from slidelake.errors import UsageError
from slidelake.services.lake_part import LakePart
from slidelake.services.search_result import SearchResult

__all__ = ["SearchMethods"]


class SearchMethods(LakePart):
    """What `Lake` has of search."""

    def search(
        self,
        *,
        slide: str | None = None,
        at: tuple[int, int] | None = None,
        region: "Sequence[float] | Sequence[Sequence[float]] | None" = None,
        image: "str | PathLike[str] | bytes | np.ndarray[Any, Any] | None" = None,
        mpp: float | None = None,
        text: str | None = None,
        find: Literal["patches", "slides"] | None = None,
        space: str | None = None,
        aggregator: str = "mean",
        k: int = 20,
        where: Mapping[str, Any] | Sequence[str] | None = None,
        exclude_same_patient: bool = False,
        exclude_patient: str | None = None,
        exact: bool | None = None,
    ) -> "SearchResult":
        """Patches like one patch (`slide` and `at`, level-0 px), a region of a slide (`slide` and `region`: x, y,
        width, height, or the corners of a polygon), an image (a path, a file's bytes, or pixels), or words (where
        the encoder reads them); slides like one slide, or with `find="slides"` like a region.

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
        if sum(each is not None for each in (slide, image, text)) != 1 or (
            at is not None and region is not None
        ):
            raise UsageError(
                "a search takes one query",
                remedy="Pass slide= (alone, with at= or with region=), image=, or text=.",
            )
        if slide is None and (at is not None or region is not None):
            raise UsageError("a place is on a slide", remedy="Pass slide= with at= or region=.")
        if find is not None and region is None:
            raise UsageError(
                "only a region finds one thing or the other", remedy="Pass region=, or no find=."
            )
        if text is not None:
            return SearchResult(self.index.search_text(text, **common), self.store)
        if image is not None:
            source = image if isinstance(image, np.ndarray | bytes) else Path(image)
            return SearchResult(self.index.search_image(source, mpp=mpp, **common), self.store)
        assert slide is not None
        if region is not None:
            box = np.ndim(np.asarray(region, dtype=object)) == 1 and len(region) == 4
            shape: dict[str, Any] = {"box": region} if box else {"polygon": region}
            hits = self.index.search_region(slide, find=find or "patches", **shape, **common)
            return SearchResult(hits, self.store)
        if at is not None:
            return SearchResult(self.index.search_patch(slide, *at, **common), self.store)
        return SearchResult(self.index.search_slide(slide, aggregator=aggregator, **common), self.store)
