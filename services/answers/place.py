"""Where a question points: a patch, region, slide or picture, and the patches and slides that look like it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slidelake.errors import QueryError, StoreError, UnknownSlideError, UsageError
from slidelake.services.answers.adaptive_k import fall_off

if TYPE_CHECKING:
    from slidelake.services.lake import Lake

__all__ = ["LIKENESS_FALL", "Alike", "Place", "look_alikes"]

#: Hits of the image search that are looked at.
_LOOKED_AT = 100
#: Of (1 + cosine) / 2: where the next patient is less than this much like the query as the one before, the rest
#: looks different. Cosines of one space lie close together, so the share is nearer to 1 than that of passages.
LIKENESS_FALL = 0.9


@dataclass(frozen=True)
class Place:
    """What a question is about besides its words; at most one of `at`, `region` and `image` is set.

    `at` is a level-0 pixel, `region` what `lake.search(region=…)` takes, `image` uint8 (H, W, 3). `patient_id` is
    whose slide it is, empty for a picture.
    """

    slide_id: str = ""
    at: tuple[int, int] | None = None
    region: Any = None
    image: np.ndarray | None = None
    mpp: float | None = None
    space: str | None = None
    patient_id: str = ""

    def __bool__(self) -> bool:
        return bool(self.slide_id) or self.image is not None


@dataclass(frozen=True)
class Alike:
    """The most alike patch (or slide: no x, y) of one other patient."""

    patient_id: str
    slide_id: str
    #: A true cosine.
    similarity: float
    metadata: Mapping[str, Any]
    x: int | None = None
    y: int | None = None
    width: int | None = None
    height: int | None = None


def place_of(
    lake: Lake,
    *,
    slide: str | None,
    at: tuple[int, int] | None,
    region: Any,
    image: np.ndarray | None,
    mpp: float | None,
    space: str | None,
) -> Place:
    """The place that arguments mean. Raises UsageError for a patch of no slide, UnknownSlideError for no such slide."""
    if image is not None:
        if slide is not None or at is not None or region is not None:
            raise UsageError("a question is about one place", remedy="Pass image=, or slide=, not both.")
        return Place(image=image, mpp=mpp, space=space)
    if slide is None:
        if at is not None or region is not None:
            raise UsageError("a patch or region needs its slide", remedy="Pass slide= as well.")
        return Place()
    if at is not None and region is not None:
        raise UsageError("a question is about one place", remedy="Pass at= or region=, not both.")
    catalog = lake.slides
    own = catalog[catalog["slide_id"].astype("str").str.casefold() == slide.casefold()]
    if own.empty:
        raise UnknownSlideError("no such slide in the lake", remedy="See `slidelake status`.", slide=slide)
    slide_id = str(own.iloc[0]["slide_id"])
    patient = str(own.iloc[0]["patient_id"] or slide_id)
    return Place(slide_id, at, _shape(region), None, mpp, space, patient)


def _shape(region: Any) -> Any:
    """A region as `lake.search` takes it: a box, or the corners of a polygon. Raises UsageError for another form."""
    if not isinstance(region, Mapping):
        return region
    if len(region) != 1 or not region.keys() <= {"box", "polygon"}:
        raise UsageError(
            "a region is a box or a polygon",
            remedy='Give {"box": [x, y, w, h]} or {"polygon": [[x, y], …]}, in level-0 pixels.',
        )
    return next(iter(region.values()))


def look_alikes(lake: Lake, place: Place, *, k: int) -> tuple[list[Alike], list[str]]:
    """At most `k` other patients whose tissue is most like the place's, best first, and notes.

    One patch a patient. The list ends where likeness falls off. A slide without a pooled embedding has none, and a
    note says so; a patch or picture that cannot be searched for raises what the search raises.
    """
    arguments: dict[str, Any] = {"space": place.space, "k": _LOOKED_AT}
    if place.image is not None:
        arguments |= {"image": place.image, "mpp": place.mpp}
    else:
        arguments |= {"slide": place.slide_id, "exclude_same_patient": True}
        if place.at is not None:
            arguments |= {"at": place.at}
        if place.region is not None:
            arguments |= {"region": place.region}
    whole_slide = place.image is None and place.at is None and place.region is None
    try:
        found = lake.search(**arguments)
    except QueryError as error:
        if not whole_slide:
            raise
        return [], [f"slides like {place.slide_id} were not looked for: {error.problem}. {error.remedy}"]
    best: dict[str, Any] = {}
    for hit in found:
        best.setdefault(hit.patient_id, hit)
    hits = list(best.values())[:k]
    hits = hits[: fall_off([(1 + hit.score) / 2 for hit in hits], fall=LIKENESS_FALL)]
    return [_alike(lake, hit) for hit in hits], list(found.notes)


def _alike(lake: Lake, hit: Any) -> Alike:
    width, height = footprint(lake, hit.slide_id, hit.space) if hit.row is not None else (None, None)
    return Alike(
        patient_id=hit.patient_id,
        slide_id=hit.slide_id,
        similarity=float(hit.score),
        metadata=hit.metadata,
        x=hit.x,
        y=hit.y,
        width=width,
        height=height,
    )


def footprint(lake: Lake, slide_id: str, space: str) -> tuple[int | None, int | None]:
    """What a patch of a slide covers in level-0 px; None where its grid does not say."""
    try:
        sides: Sequence[float] = lake.store.grid(slide_id, space.partition("/")[0]).attributes[
            "footprint_level0"
        ]
    except (StoreError, KeyError):
        return None, None
    return round(sides[0]), round(sides[1])
