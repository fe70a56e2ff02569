"""A report as a file gives it, before it is known whose it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from slidelake.store import Source

__all__ = ["Draft"]


@dataclass(frozen=True)
class Draft:
    """One report as read: its text is not cleaned yet, and its ids are as the file has them.

    `name` is what it is called where it has no id: the file's stem, or the patient of a table's row. `place` is where
    it stands, for messages. `ocr_pages` is how many pages OCR read. `notes` are for people: a page that was not read.
    """

    text: str
    source: Source
    name: str
    place: str
    report_id: str = ""
    patient_id: str = ""
    slide_ids: tuple[str, ...] = ()
    title: str = ""
    metadata: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    ocr_pages: int = 0
    notes: tuple[str, ...] = ()
