"""The lake's reports: texts that are added, searched and asked about."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from slidelake.services.answers import Answer, Endpoint, ImageUse
    from slidelake.store import FeatureStore

__all__ = ["TextMethods"]


class TextMethods:
    """What `Lake` has of reports."""

    store: "FeatureStore"

    def ask(self, question: str, **about: Any) -> "Answer":
        """Answer a question from the reports, with citations; or say that they do not answer it.

        Arguments are those of `ask_pieces`, whose last piece this is.
        """
        *_, answer = self.ask_pieces(question, **about)
        return answer  # type: ignore[return-value]

    def ask_pieces(
        self,
        question: str,
        *,
        slide: str | None = None,
        at: tuple[int, int] | None = None,
        region: Any = None,
        image: "np.ndarray[Any, Any] | None" = None,
        mpp: float | None = None,
        space: str | None = None,
        k: int | None = None,
        exclude_own_report: bool = False,
        endpoint: "Endpoint | None" = None,
        examples: int = 0,
        label: str | None = None,
    ) -> "Iterator[str | Answer]":
        """The text of an answer piece by piece as it comes, then the `Answer`.

        The question may be about a slide, a patch (`slide` and `at`, a level-0 pixel), a region of a slide, or an
        image (H, W, 3): then it is answered from the reports of the patients whose tissue looks most alike, and of the
        slide's own patient unless `exclude_own_report`. `endpoint` writes the answer; without one it is made of
        quotes. `examples` labelled cases of other patients (metadata column `label`) are put before the endpoint.
        At most `k` passages are used, fewer where the rest fits worse. Raises QueryError for a question or k that
        cannot be, UsageError, UnknownSlideError, IndexMissingError.
        """
        from slidelake.services.answers import ask_pieces, place_of

        place = place_of(self, slide=slide, at=at, region=region, image=image, mpp=mpp, space=space)  # type: ignore[arg-type]
        return ask_pieces(
            self,  # type: ignore[arg-type]
            question,
            place,
            k=k,
            exclude_own_report=exclude_own_report,
            endpoint=endpoint,
            examples=examples,
            label=label,
        )

    def probe_image_use(self, question: str, **about: Any) -> "ImageUse":
        """Ask about a patch or slide, then with the place left out and with other tissue in its place.

        Arguments are those of `ask`; says whether the answer changed. An answer that stays the same whatever the
        picture shows does not rest on it.
        """
        from slidelake.services.answers import probe_image_use

        return probe_image_use(self, question, **about)  # type: ignore[arg-type]
