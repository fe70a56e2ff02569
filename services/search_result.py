"""The hits of one search, as people look at them: a sequence, a table, a gallery."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from slidelake.index import Hit, Hits
    from slidelake.store import FeatureStore

__all__ = ["SearchResult"]


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
