"""The queries of the text arms: a patient's reports and attribute prompts, as vectors of the space's own encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import EncoderError, QueryError, UnknownEncoderError, UsageError
from slidelake.index.representatives.attributes import (
    attribute_prompts,
    known_origin,
    origin_of_metadata,
    origin_of_texts,
)
from slidelake.index.representatives.picks import Arm
from slidelake.index.representatives.report_text import report_paragraphs
from slidelake.index.space_encoder import space_encoder

if TYPE_CHECKING:
    from slidelake.encoders import PatchEncoder
    from slidelake.store import FeatureStore, Report, ReportHead

__all__ = ["Queries", "TextQueries", "Texts"]


@dataclass(frozen=True)
class Texts:
    """What the text arms ask.

    `report`: queries instead of the slide's own reports. `attributes`: prompts instead of the table's; `origin`: the
    tissue's origin for the table, else the slide's metadata and reports tell it. () leaves an arm out, None is the
    default. Raises UsageError for an empty text, or an origin that the table does not know.
    """

    report: Sequence[str] | None = None
    attributes: Sequence[str] | None = None
    origin: str = ""

    def __post_init__(self) -> None:
        for texts in (self.report, self.attributes):
            if isinstance(texts, str) or any(not each.strip() for each in texts or ()):
                raise UsageError(
                    "a text of the selection is empty, or no list", remedy="Give a list of texts."
                )
        if self.origin:
            known_origin(self.origin)

    @property
    def own(self) -> bool:
        """Whether somebody gave texts: then an encoder that reads none is an error."""
        return bool(self.report or self.attributes)


@dataclass(frozen=True)
class Queries:
    """An arm's texts and their (n, D) float32 vectors of unit length."""

    texts: tuple[str, ...]
    vectors: NDArray[np.float32]


@dataclass
class TextQueries:
    """Makes the queries of slide after slide of one space; the encoder is made once, reports are listed once."""

    store: FeatureStore
    space: str
    texts: Texts
    encoder: PatchEncoder | None = None
    _encode: Any = None
    _why_not: str | None = None
    _looked: bool = False
    _heads: list[ReportHead] | None = None
    _metadata: Mapping[str, Mapping[str, Any]] | None = None
    _known: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def check(self) -> None:
        """Raises QueryError where texts were given and the space's encoder reads none."""
        if self.texts.own:
            self._look()

    def of(self, slide_id: str, patient_id: str) -> tuple[dict[Arm, Queries], list[str]]:
        """The queries of each text arm that has any, and notes on those that have none.

        Raises QueryError where texts were given and the space's encoder reads none.
        """
        if self.texts.report == () and self.texts.attributes == ():
            return {}, ["no text was asked for: text arms left out"]
        why_not = self._look()
        if why_not:
            return {}, [f"{why_not}: text arms left out"]
        notes: list[str] = []
        reports = self._reports(slide_id, patient_id)
        found: dict[Arm, Sequence[str]] = {}
        if self.texts.report is not None:
            found["report"] = self.texts.report
        else:
            found["report"] = report_paragraphs(reports)
            if not reports:
                notes.append("the slide has no report: its arm is left out")
            elif not found["report"]:
                notes.append("its reports say nothing that a slide shows: their arm is left out")
        if self.texts.attributes is not None:
            found["attributes"] = self.texts.attributes
        else:
            origin = self._origin(slide_id, reports)
            found["attributes"] = attribute_prompts(origin)
            notes.append(
                f"attribute prompts for {origin}"
                if origin
                else "nothing says where the tissue is from: attribute prompts for any tissue"
            )
        return {arm: self._queries(texts) for arm, texts in found.items() if texts}, notes

    def _look(self) -> str:
        """Finds what encodes texts, once; why there is nothing, or ""."""
        if not self._looked:
            self._looked = True
            self._why_not = self._find()
        if self._why_not and self.texts.own:
            raise QueryError(
                f"texts were given, and {self._why_not}",
                remedy="Leave the texts out, or ingest with an encoder of images and text (a CONCH or PLIP, registered "
                "with an `encode_text` method).",
            )
        return self._why_not or ""

    def _find(self) -> str:
        try:
            made = space_encoder(self.store, self.space, self.encoder)
        except (UnknownEncoderError, QueryError, EncoderError) as exc:
            if self.encoder is not None:
                raise
            return f"the space's encoder cannot be made here ({exc.problem})"
        self._encode = getattr(made, "encode_text", None)
        return "" if self._encode is not None else f"the space's encoder {made.spec.name} reads no text"

    def _queries(self, texts: Sequence[str]) -> Queries:
        fresh = [text for text in dict.fromkeys(texts) if text not in self._known]
        if fresh:
            made = np.asarray(self._encode(fresh), np.float64)
            lengths = np.sqrt(np.einsum("nd,nd->n", made, made)) if made.ndim == 2 else np.zeros(0)
            if made.ndim != 2 or len(made) != len(fresh) or not (np.isfinite(lengths) & (lengths > 0)).all():
                raise QueryError(
                    f"the encoder of {self.space} made {made.shape} of {len(fresh)} texts, or no directions",
                    remedy="`encode_text` must give one finite vector a text.",
                )
            self._known |= dict(zip(fresh, (made / lengths[:, None]).astype(np.float32), strict=True))
        distinct = tuple(dict.fromkeys(texts))
        return Queries(distinct, np.stack([self._known[text] for text in distinct]))

    def _reports(self, slide_id: str, patient_id: str) -> list[Report]:
        if self._heads is None:
            self._heads = self.store.reports.heads()
        wanted = slide_id.casefold()
        return list(
            self.store.reports.iterate(
                head.report_id
                for head in self._heads
                if wanted in map(str.casefold, head.slide_ids)
                or (not head.slide_ids and head.patient_id == patient_id)
            )
        )

    def _origin(self, slide_id: str, reports: Sequence[Report]) -> str:
        if self.texts.origin:
            return known_origin(self.texts.origin)
        if self._metadata is None:
            from slidelake.index.cohort import read_cohort

            self._metadata = read_cohort(self.store).values
        said = origin_of_metadata(self._metadata.get(slide_id, {}))
        return said or origin_of_texts(report.text for report in reports)
