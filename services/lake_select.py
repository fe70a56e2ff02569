"""The lake's selection: representative patches of a slide, of a cohort, and pictures of them."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slidelake.services.lake_part import LakePart

if TYPE_CHECKING:
    from slidelake.index.representatives import Chosen, Representatives, Texts

__all__ = ["SelectMethods"]


class SelectMethods(LakePart):
    """What `Lake` has of selection."""

    def representatives(
        self, slide_id: str, space: str | None = None, *, texts: "Texts | None" = None, **options: Any
    ) -> "Representatives":
        """The patches that stand for a slide, each with its reason: by report text, attribute prompts and clusters.

        `options` are those of `slidelake.index.representatives.SelectionOptions`: count, near, spread, spread_px,
        quality, clusters, refill, seed; and `encoder`, where the space's own is not registered. Raises
        UnknownSlideError, UnknownSpaceError, UsageError, QueryError, SlidelakeError for a slide without patches.
        """
        from slidelake.index.representatives import select_representatives

        return select_representatives(self.store, slide_id, space, texts=texts, **options)

    def representatives_of(
        self,
        slides: Sequence[str] | None = None,
        space: str | None = None,
        *,
        texts: "Texts | None" = None,
        progress: Callable[..., None] | None = None,
        **options: Any,
    ) -> "Iterator[Chosen]":
        """The same for each of `slides`, or all of a space, one at a time: `.picked`, or `.error` where it failed."""
        from slidelake.index.representatives import select_cohort

        return select_cohort(self.store, space, slides, texts=texts, progress=progress, **options)

    def draw_representatives(self, picked: "Representatives", out: Path) -> dict[str, Path]:
        """Write SLIDE.representatives.png, the patches side by side, and SLIDE.map.png, where they lie."""
        from slidelake.services.representatives_map import draw_map
        from slidelake.services.representatives_sheet import draw_sheet

        return {
            "sheet": draw_sheet(picked, self.store, out / f"{picked.slide_id}.representatives.png"),
            "map": draw_map(picked, self.store, out / f"{picked.slide_id}.map.png"),
        }
