"""Slides that were deleted from the lake: a run passes over them, and writes no name of them down."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from slidelake.ingest.report import SlideOutcome

if TYPE_CHECKING:
    from slidelake.ingest.manifest import ManifestRow
    from slidelake.store import FeatureStore

__all__ = ["Gate", "denied_outcome"]


class Gate:
    """Which slides of a run are denied, by slide, patient or source; asked once for the whole run.

    By content they are known only once they are opened: the pipeline looks at that.
    """

    def __init__(
        self,
        store: "FeatureStore",
        rows: "Sequence[ManifestRow]",
        names: Sequence[str],
        patients: Sequence[tuple[str, str]],
    ) -> None:
        # A row whose name another one holds has no patient by that name, but may tell its own.
        people = [patient or row.patient_id for row, (patient, _) in zip(rows, patients, strict=True)]
        uris = store.denied.among("uri", (row.uri for row in rows))
        slides = store.denied.among("slide", names)
        denied = store.denied.among("patient", people)
        self._uris = {
            row.uri
            for row, slide_id, patient in zip(rows, names, people, strict=True)
            if row.uri in uris or slide_id in slides or patient in denied
        }

    def denies(self, uri: str) -> bool:
        return uri in self._uris


def denied_outcome(store: "FeatureStore", uri: str) -> SlideOutcome:
    """What a report says of a slide that stays out: that there was one."""
    return SlideOutcome(
        "",
        f"deleted:{store.denied.hash_of('uri', uri)[:16]}",
        "denied",
        "deleted",
        "it was deleted from this lake and stays out",
        "If it may come back: slidelake allow --slide ID, or --patient ID.",
    )
