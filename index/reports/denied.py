"""Which reports of an index the store's deny-list keeps out: by their own id, their patient, or a slide they name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pyarrow as pa

from slidelake.store import denied_name

if TYPE_CHECKING:
    from slidelake.store import FeatureStore

__all__ = ["OWNERS", "denied_reports"]

#: The columns that say whom a row is about.
OWNERS = ("report_id", "patient_id", "slide_ids")


def denied_reports(store: FeatureStore, batches: Iterable[pa.RecordBatch]) -> set[str]:
    """The reports among the rows (of columns `OWNERS`) that are about a denied slide or patient, or denied themselves.

    A report that names a living slide besides is written anew by the store without the other; its rows of before name
    the denied one and so go too.
    """
    owners = {
        (report_id, patient_id, tuple(slide_ids or ()))
        for batch in batches
        for report_id, patient_id, slide_ids in zip(
            *(batch.column(name).to_pylist() for name in OWNERS), strict=True
        )
    }
    names = store.denied.among("uri", {denied_name(patient, report_id) for report_id, patient, _ in owners})
    patients = store.denied.among("patient", {patient_id for _, patient_id, _ in owners})
    slides = store.denied.among("slide", {slide_id for _, _, slide_ids in owners for slide_id in slide_ids})
    return {
        report_id
        for report_id, patient_id, slide_ids in owners
        if denied_name(patient_id, report_id) in names
        or patient_id in patients
        or not slides.isdisjoint(slide_ids)
    }
