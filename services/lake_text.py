"""The lake's reports: texts that are added, searched and asked about."""

from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from slidelake.index import SlideIndex
    from slidelake.index.reports import ReportHits, ReportsAdded
    from slidelake.index.reports.request import Mode
    from slidelake.services.answers import Answer, Endpoint, ImageUse
    from slidelake.store import FeatureStore

__all__ = ["TextMethods"]


class TextMethods:
    """What `Lake` has of reports."""

    store: "FeatureStore"

    if TYPE_CHECKING:

        @property
        def index(self) -> "SlideIndex":
            """The LanceDB tables of this lake."""

    @property
    def reports(self) -> "pd.DataFrame":
        """One row a report, without its text: ids, patient, slides it names, title, sections, source, pages.

        `lake.store.reports.get(report_id)` is one with its text. A snapshot's lake has the reports of now.
        """
        import pandas as pd

        rows = [
            {
                "report_id": each.report_id,
                "patient_id": each.patient_id,
                "slide_ids": list(each.slide_ids),
                "title": each.title,
                "sections": list(each.sections),
                "characters": each.characters,
                "kind": each.source.kind,
                "pages": each.source.pages,
                "ocr_confidence": each.source.ocr_confidence,
                "uri": each.source.uri,
                "added": each.added,
            }
            for each in self.store.reports.heads()
        ]
        columns = (
            "report_id", "patient_id", "slide_ids", "title", "sections", "characters", "kind", "pages",
            "ocr_confidence", "uri", "added",
        )  # fmt: skip
        return pd.DataFrame(rows, columns=list(columns)).astype({"ocr_confidence": "float64"})

    def search_reports(
        self, text: str, *, k: int = 10, mode: "Mode" = "hybrid", **options: Any
    ) -> "ReportHits":
        """Passages of reports that answer `text`, by terms and vectors ("hybrid"), or by "text" or "vector" alone.

        `options` are those of `SlideIndex.search_reports`: patients, exclude_patients, slides, where, per_report.
        """
        return self.index.search_reports(text, k=k, mode=mode, **options)

    def add_reports(
        self,
        paths: str | PathLike[str] | Sequence[str | PathLike[str]],
        *,
        patient_pattern: str = "",
        strict: bool = False,
        read_again: bool = False,
        sync_index: bool = True,
        progress: Callable[..., None] | None = None,
        **options: Any,
    ) -> "ReportsAdded":
        """Take in reports of files, folders and globs: CSV, JSONL, text, PDF, scans. Then the index follows.

        `patient_pattern` finds the patient in a report's id or file name; `strict` refuses reports of patients and
        slides that the lake does not have; `options` are those of `slidelake.index.reports.ReadOptions`: the columns
        of tables (text_column, patient_column, …), encoding, ocr_language. A report that cannot go in is in the
        answer, with its reason; it stops nothing. Raises UsageError for a path that is not there.
        """
        from slidelake.index.reports import ReadOptions, add_reports

        added = add_reports(
            self.store,
            [paths] if isinstance(paths, str | PathLike) else paths,
            options=ReadOptions(**options),
            patient_pattern=patient_pattern,
            strict=strict,
            read_again=read_again,
            progress=progress,
        )
        if sync_index and (added.made or added.changed):
            self.index.sync()
        return added

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
