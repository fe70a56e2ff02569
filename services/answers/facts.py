"""What the archive itself knows of slides and patches, as passages: metadata, labels, likeness."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from slidelake.services.answers.passage import Passage
from slidelake.services.answers.place import Alike, Place
from slidelake.services.answers.terms import numbers, words

if TYPE_CHECKING:
    import pandas as pd

    from slidelake.services.lake import Lake

__all__ = ["alike_passage", "matching_slides", "slide_passage"]

#: Columns of the catalog that are about files, not about patients.
_BOOKKEEPING = frozenset(
    re.findall(
        r"[\w']+",
        "slide_id patient_id uri mpp width height spaces space_patches n_patches",
    )
)
_LONGEST_VALUE = 200


def slide_passage(lake: Lake, place: Place, *, leave_out: str = "") -> Passage | None:
    """What the metadata says of the place's own slide; None where it says nothing. `leave_out` is a column."""
    catalog = lake.slides
    row = catalog[catalog["slide_id"] == place.slide_id]
    known = {} if row.empty else _known(row.iloc[0].to_dict(), leave_out)
    if not known:
        return None
    return _of_slide(place.slide_id, place.patient_id, known)


def alike_passage(alike: Alike, label: str = "") -> Passage | None:
    """A labelled case: a patch that looks like the query, with its label, or all that its metadata says."""
    known = _known(dict(alike.metadata))
    if label:
        known = {name: value for name, value in known.items() if name == label}
    if not known:
        return None
    what = "A slide" if alike.x is None else f"A patch at {alike.x}, {alike.y}"
    of = "" if alike.x is None else f" of slide {alike.slide_id}"
    return Passage(
        kind="slide" if alike.x is None else "patch",
        text=f"{what}{of} (patient {alike.patient_id}) that looks like the query: {_said(known)}",
        patient_id=alike.patient_id,
        slide_id=alike.slide_id,
        x=alike.x,
        y=alike.y,
        width=alike.width,
        height=alike.height,
        score=(1 + alike.similarity) / 2,
        scores={"similarity": alike.similarity},
    )


def matching_slides(lake: Lake, question: str, *, k: int) -> list[Passage]:
    """Slides whose metadata holds words or numbers of the question, most first."""
    asked = words(question) | numbers(question)
    catalog: pd.DataFrame = lake.slides
    columns = [name for name in catalog.columns if name not in _BOOKKEEPING]
    if not columns or catalog.empty:
        return []
    found: list[tuple[int, str, Passage]] = []
    for row in catalog[["slide_id", "patient_id", *columns]].to_dict("records"):
        known = _known(row)
        shared = {
            word for value in known.values() for word in words(str(value)) | numbers(str(value))
        } & asked
        if shared:
            patient = str(row["patient_id"] or row["slide_id"])
            found.append((-len(shared), row["slide_id"], _of_slide(row["slide_id"], patient, known)))
    found.sort(key=lambda each: each[:2])
    return [passage for _, _, passage in found[:k]]


def _of_slide(slide_id: str, patient_id: str, known: Mapping[str, Any]) -> Passage:
    return Passage(
        kind="slide",
        text=f"Slide {slide_id} (patient {patient_id}): {_said(known)}",
        patient_id=patient_id,
        slide_id=slide_id,
    )


def _known(row: Mapping[str, Any], leave_out: str = "") -> dict[str, Any]:
    return {
        name: value
        for name, value in row.items()
        if name not in _BOOKKEEPING and name != leave_out and _says_something(value)
    }


def _says_something(value: object) -> bool:
    if isinstance(value, str):
        return bool(value.strip())
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, (bool, int)) or (hasattr(value, "item") and _says_something(value.item()))


def _said(known: Mapping[str, Any]) -> str:
    return "; ".join(f"{name} = {str(value)[:_LONGEST_VALUE]}" for name, value in known.items())
