"""What a gallery shows, before it is drawn: the query's card and one card a hit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from slidelake.services.gallery.pixels import Picture, Pixels

if TYPE_CHECKING:
    from slidelake.index import Hit, Hits
    from slidelake.store import FeatureStore

__all__ = ["Card", "Gallery", "lay_out"]


@dataclass(frozen=True)
class Card:
    """One query or hit: heading, pictures, and (name, value) facts below. `picture` is None for a bare
    vector.
    """

    heading: str
    score: float | None
    picture: Picture | None
    place: Picture | None
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Gallery:
    """A whole gallery: title, one line on the space, the query's card, the hits' cards, and notes."""

    title: str
    subtitle: str
    query: Card
    hits: tuple[Card, ...]
    notes: tuple[str, ...]


def lay_out(hits: Hits, store: FeatureStore, *, limit: int) -> Gallery:
    """The cards of the first `limit` hits, their pixels read."""
    with Pixels(store, hits.space) as pixels:
        cards = tuple(_hit(hit, pixels) for hit in hits[:limit])
        query = _query(hits, pixels)
        reference = hits.query.slide_id or (hits[0].slide_id if len(hits) else None)
        side = pixels.side_um(reference) if reference else None
    what = "Slides" if hits.query.kind == "slide" or (len(hits) and hits[0].row is None) else "Patches"
    grid, _, encoder = hits.space.partition("/")
    subtitle = f"{encoder}, grid {grid}" + (
        f", patches {side:.0f} µm a side" if side and what == "Patches" else ""
    )
    notes = list(hits.notes)
    if len(hits) > limit:
        notes.append(f"the first {limit} of {len(hits)} hits are shown")
    if not hits:
        notes.append("nothing was found: the filter, or the patients left out, leave no patch")
    return Gallery(f"{what} most like the query", subtitle, query, cards, tuple(notes))


def _query(hits: Hits, pixels: Pixels) -> Card:
    query = hits.query
    facts: list[tuple[str, str]] = []
    picture = place = None
    if query.kind == "patch" and query.slide_id is not None and query.x is not None and query.y is not None:
        picture = pixels.patch(query.slide_id, query.x, query.y)
        place = pixels.thumbnail(query.slide_id, query.x, query.y)
        facts = [("slide", query.slide_id), ("place", f"{query.x}, {query.y}")]
    elif query.kind == "region" and query.slide_id is not None:
        picture = pixels.region(
            query.slide_id, (query.x or 0, query.y or 0, query.width or 0, query.height or 0)
        )
        facts = [
            ("slide", query.slide_id),
            ("place", f"{query.x}, {query.y}"),
            ("patches", str(query.patches)),
        ]
    elif query.kind == "slide" and query.slide_id is not None:
        picture = pixels.thumbnail(query.slide_id)
        facts = [("slide", query.slide_id), ("pooled by", str(query.aggregator))]
    elif query.pixels is not None:
        picture = Picture(Image.fromarray(query.pixels), f"The query image, {query.image}")
        facts = [("image", str(query.image))]
    else:
        facts = [("query", query.text or "a vector")]
    if query.patient_id and query.patient_id != query.slide_id:
        facts.append(("patient", query.patient_id))
    if query.where:
        facts.append(("where", query.where))
    if query.exclude_patients:
        facts.append(("left out", ", ".join(query.exclude_patients)))
    return Card("Query", None, picture, place, tuple(facts))


def _hit(hit: Hit, pixels: Pixels) -> Card:
    facts = [("slide", hit.slide_id)]
    if hit.x is not None and hit.y is not None:
        picture = pixels.patch(hit.slide_id, hit.x, hit.y)
        place: Picture | None = pixels.thumbnail(hit.slide_id, hit.x, hit.y)
        facts.append(("place", f"{hit.x}, {hit.y}"))
    else:
        picture, place = pixels.thumbnail(hit.slide_id), None
    if hit.patient_id != hit.slide_id:
        facts.append(("patient", hit.patient_id))
    facts += [(name, _text(value)) for name, value in hit.metadata.items() if value is not None]
    return Card(str(hit.rank), hit.score, picture, place, tuple(facts))


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def notes_of(cards: Sequence[Card]) -> tuple[str, ...]:
    """What the pictures themselves should say, once each."""
    return tuple(dict.fromkeys(c.picture.note for c in cards if c.picture is not None and c.picture.note))
