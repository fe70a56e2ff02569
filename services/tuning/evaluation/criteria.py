"""The seven criteria by which an answer is judged against a report, each on its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["CRITERIA", "VERDICTS", "Criterion", "VerdictName"]

VerdictName = Literal["agrees", "contradicts", "not stated", "not assessable"]
#: What each verdict means, in words that a judge is told.
VERDICTS: dict[VerdictName, str] = {
    "agrees": "the answer speaks of it, and what it says is what the report says, in whatever words",
    "contradicts": "the answer says of it what cannot be true together with the report",
    "not stated": "the report speaks of it and the answer does not",
    "not assessable": "the report says nothing of it, so that no statement of the answer can be checked",
}


@dataclass(frozen=True)
class Criterion:
    """`name` stands in replies and tables; `meaning` is what a judge is told to look at."""

    name: str
    meaning: str


CRITERIA = (
    Criterion(
        "site", "the organ or part of the body that the tumour or the main finding is in, with its side"
    ),
    Criterion("histology", "the kind of tumour or lesion, its subtype and whether it is benign or malignant"),
    Criterion("grade", "how well differentiated it is, or its grade or score in any grading system"),
    Criterion(
        "extent", "how far it has spread: the T and M category, the stage, which structures it has grown into"
    ),
    Criterion("margins", "whether the edges of what was cut out are free of tumour, involved, or close"),
    Criterion("nodes", "the lymph nodes: the N category, how many were looked at, how many held tumour"),
    Criterion(
        "markers",
        "biomarkers and further findings: receptors, mutations, immunohistochemistry, invasion of vessels or nerves, "
        "necrosis",
    ),
)
