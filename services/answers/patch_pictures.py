"""Pictures for endpoints that see: the patch asked about, then the patches of the cases put before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from slidelake.services.answers.passage import Passage
from slidelake.services.answers.picture import as_data_url
from slidelake.services.answers.place import Place

if TYPE_CHECKING:
    from slidelake.services.lake import Lake

__all__ = ["MOST_PICTURES", "patch_pictures"]

MOST_PICTURES = 8


def patch_pictures(lake: Lake, place: Place, passages: Sequence[Passage]) -> list[tuple[str, str]]:
    """(caption, data URL) of the query, where it is a patch or picture, and of passages that are patches."""
    from PIL import Image

    from slidelake.index.locate import patch_at
    from slidelake.services.gallery.pixels import Pixels

    found: list[tuple[str, str]] = []
    if place.image is not None:
        found.append(("The picture that the question is about:", as_data_url(Image.fromarray(place.image))))
    space = lake.store.resolve_space(place.space)
    with Pixels(lake.store, space) as pixels:
        if place.at is not None:
            patch = patch_at(lake.store, place.slide_id, space, *place.at)
            shown = pixels.patch(patch.slide_id, patch.x, patch.y).image
            found.append(("The patch that the question is about:", as_data_url(shown)))
        for n, passage in enumerate(passages, start=1):
            if passage.kind == "patch" and passage.x is not None and passage.y is not None:
                shown = pixels.patch(passage.slide_id, passage.x, passage.y).image
                found.append((f"The patch of passage {n}:", as_data_url(shown)))
    return found[:MOST_PICTURES]
