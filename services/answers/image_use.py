"""Whether an answer rests on the tissue asked about: asked again without it, and with other tissue in its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slidelake.errors import QueryError, UsageError
from slidelake.services.answers.answer import Answer
from slidelake.services.answers.place import Place, place_of
from slidelake.services.answers.terms import numbers, words

if TYPE_CHECKING:
    from slidelake.services.lake import Lake

__all__ = ["ImageUse", "probe_image_use"]


@dataclass(frozen=True)
class ImageUse:
    """Three answers to one question; the slide's own patient is left out of all, so that only tissue differs."""

    answer: Answer
    without: Answer
    swapped: Answer
    #: The tissue that was put in its place: the patch least like it.
    swapped_slide: str
    swapped_at: tuple[int, int]

    @property
    def changed_without(self) -> bool:
        return _differ(self.answer, self.without)

    @property
    def changed_when_swapped(self) -> bool:
        return _differ(self.answer, self.swapped)

    def describe(self) -> str:
        """What the probe found, in words."""
        where = f"{self.swapped_slide} at {self.swapped_at[0]},{self.swapped_at[1]}"
        swapped = f"With other tissue ({where}) the answer {_verdict(self.changed_when_swapped)}."
        without = f"Without the place it {_verdict(self.changed_without)}."
        use = (
            "The answer follows the tissue."
            if self.changed_when_swapped
            else "The answer does not rest on the tissue: do not take it for one about this place."
        )
        return f"{swapped} {without} {use}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "changed_without": self.changed_without,
            "changed_when_swapped": self.changed_when_swapped,
            "words_shared_without": _shared(self.answer, self.without),
            "words_shared_when_swapped": _shared(self.answer, self.swapped),
            "swapped_slide": self.swapped_slide,
            "swapped_at": list(self.swapped_at),
            "without": self.without.to_dict(),
            "swapped": self.swapped.to_dict(),
            "verdict": self.describe(),
        }


def probe_image_use(lake: Lake, question: str, **about: Any) -> ImageUse:
    """Ask with the place, without it, and with the patch of another patient that is least like it.

    `about` as for `lake.ask`. Raises UsageError where there is no place, QueryError where there is no other tissue.
    """
    spot = {name: about.pop(name, None) for name in ("slide", "at", "region", "image", "mpp", "space")}
    place = place_of(lake, **spot)
    if not place:
        raise UsageError("there is no image whose use could be probed", remedy="Pass slide=, at= or image=.")
    about["exclude_own_report"] = True
    slide, at = _least_alike(lake, place)
    examples = about.get("examples", 0)
    return ImageUse(
        answer=lake.ask(question, **spot, **about),
        without=lake.ask(question, space=spot["space"], **{**about, "examples": 0} if examples else about),
        swapped=lake.ask(question, slide=slide, at=at, space=spot["space"], **about),
        swapped_slide=slide,
        swapped_at=at,
    )


def _least_alike(lake: Lake, place: Place) -> tuple[str, tuple[int, int]]:
    """The patch of another patient whose cosine with the place is least: the nearest to its vector turned round."""
    from slidelake.index.locate import patch_at

    space = lake.store.resolve_space(place.space)
    if place.image is not None:
        best = lake.search(image=place.image, mpp=place.mpp, space=space, k=1)
        if not len(best):
            raise QueryError(
                "the archive has no tissue to compare with", remedy="Run `slidelake index sync`."
            )
        feature = patch_at(lake.store, best[0].slide_id, space, best[0].x, best[0].y).feature
    elif place.at is not None:
        feature = patch_at(lake.store, place.slide_id, space, *place.at).feature
    else:
        feature = np.asarray(lake.store.bag(place.slide_id, space).features[:], dtype=np.float32).mean(axis=0)
    away = lake.index.search_vector(
        -np.asarray(feature, dtype=np.float32),
        space=space,
        k=1,
        exclude_patient=place.patient_id or None,
        exact=True,
    )
    if not len(away):
        raise QueryError("no other patient has tissue in this space", remedy="Ingest more slides.")
    hit = away[0]
    assert hit.x is not None
    assert hit.y is not None
    return hit.slide_id, (hit.x, hit.y)


def _differ(one: Answer, other: Answer) -> bool:
    return one.abstained != other.abstained or one.text.split() != other.text.split()


def _shared(one: Answer, other: Answer) -> float:
    """The share of words and numbers that two answers have in common (Jaccard), 0…1."""
    first = words(one.text) | numbers(one.text)
    second = words(other.text) | numbers(other.text)
    return len(first & second) / max(1, len(first | second))


def _verdict(changed: bool) -> str:
    return "is another" if changed else "stays the same"
