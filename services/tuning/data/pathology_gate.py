"""Is a text about tissue under the microscope? How near it is to sentences that are, and to sentences that are not.

The margin is the cosine with the nearest sentence of `PATHOLOGY` less that with the nearest of `OTHER`. A
caption stands
for itself; the questions of one picture are put together, since few say by themselves what the picture shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from slidelake.services.tuning.data.pairs import Pair
from slidelake.services.tuning.data.pathology_prototypes import OTHER, PATHOLOGY

if TYPE_CHECKING:
    from slidelake.encoders.text import TextEncoder

__all__ = ["LEAST_MARGIN", "PathologyGate", "choose_margin", "said_of_picture"]

#: What a text must reach. By `choose_margin` on 86 pictures of PathVQA's validation part, sorted by hand
#: into micrographs
#: and others (radiographs, photographs of organs and patients, drawings), one half of the collection: 0.01
#: keeps 95 % of
#: the micrographs there. At 0.0, on 55 of the other half: all 28 micrographs kept, 8 of 27 others dropped. What a text
#: of three words does not say, it cannot drop: the gate errs to the side of keeping.
LEAST_MARGIN = 0.0
#: The frame of a question, which says nothing of the picture.
_FRAME = re.compile(
    r"\b(?:what|where|when|why|how|who|which|does|do|did|is|are|was|were|this|the|that|there|images?|figure|picture|"
    r"slide|photo|show|shows|shown|seen|present|part|belong to)\b|[?]",
    re.IGNORECASE,
)


class PathologyGate:
    """The margins of texts by one text encoder; MiniLM where none is given."""

    def __init__(self, encoder: TextEncoder | None = None) -> None:
        if encoder is None:
            from slidelake.encoders.text import shared_text_encoder

            encoder = shared_text_encoder("minilm")
        self._encoder = encoder
        self._pathology, self._other = encoder.encode(PATHOLOGY), encoder.encode(OTHER)

    @property
    def encoder_id(self) -> str:
        return self._encoder.id

    def margins(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n,) float32 of n texts: above 0, a text is nearer to pathology than to anything else."""
        vectors = self._encoder.encode(texts)
        margins: NDArray[np.float32] = (vectors @ self._pathology.T).max(1) - (vectors @ self._other.T).max(1)
        return margins


def choose_margin(
    margins: NDArray[np.floating], pathology: NDArray[np.bool_], *, keep: float = 0.95
) -> float:
    """The highest margin that still keeps a share `keep` of the texts known to be pathology, to two decimals."""
    return round(float(np.floor(np.quantile(margins[pathology], 1 - keep) * 100)) / 100, 2)


def said_of_picture(pairs: Iterable[Pair]) -> str:
    """What the pairs of one picture say of it: captions, answers, and questions that are answered with yes.

    Questions without their frame, the longest first; what another one holds already is left out.
    """
    parts: list[str] = []
    for pair in pairs:
        if not pair.question:
            parts.append(pair.text)
        elif pair.text.strip().lower() != "no":
            asked = " ".join(_FRAME.sub(" ", pair.question).split())
            parts.append(asked if pair.text.strip().lower() == "yes" else f"{asked} {pair.text}".strip())
    said: list[str] = []
    for part in sorted(dict.fromkeys(each.lower() for each in parts if each), key=len, reverse=True):
        if not any(part in other for other in said):
            said.append(part)
    return ". ".join(said)
