"""The lake's search: one method, whose arguments say what is looked for."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slidelake.errors import UsageError
from slidelake.services.search_result import SearchResult

if TYPE_CHECKING:
    from slidelake.index import SlideIndex
    from slidelake.store import FeatureStore

__all__ = ["SearchMethods"]


class SearchMethods:
    """What `Lake` has of search."""

    store: "FeatureStore"

    @property
    def index(self) -> "SlideIndex":
        """The LanceDB tables of this lake."""
        raise NotImplementedError

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
