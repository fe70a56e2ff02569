"""The two tables of reports: their names, Arrow schemas and the facts in the schemas' metadata.

    reports           one row a passage: where it stands, its text, its terms, its vector (where there is an encoder)
    reports_whole     one row a report: which generation of it is in, whose it is, the terms of its whole text

A row of `reports_whole` is written after the passages that it stands for: passages of a report or generation that no
such row names are not in the index.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from slidelake.index.reports.chunk import Chunk
from slidelake.index.reports.terms import FIELDS, Terms, read_terms
from slidelake.index.tables import METRIC, facts

if TYPE_CHECKING:
    from slidelake.store import Report

__all__ = [
    "PASSAGES",
    "WHOLE",
    "passages_schema",
    "passages_table",
    "report_facts",
    "vectors_field",
    "whole_row",
    "whole_schema",
]

PASSAGES, WHOLE = "reports", "reports_whole"
#: Raised with whatever changes the passages or the terms of a text: tables of another number are made anew.
TEXT_VERSION = "3"

_COMMON = (
    pa.field("report_id", pa.string(), nullable=False),
    pa.field("generation", pa.int64(), nullable=False),
    pa.field("patient_id", pa.string(), nullable=False),
    pa.field("slide_ids", pa.list_(pa.string()), nullable=False),
)


def report_facts(store_id: str, encoder_id: str) -> dict[str, str]:
    """What stands in both schemas' metadata; `encoder_id` is "" where no vectors are kept."""
    own = {"slidelake.text_version": TEXT_VERSION, "slidelake.text_encoder": encoder_id}
    return facts(store_id) | own | {"slidelake.metric": METRIC}


def passages_schema(store_id: str, encoder_id: str, dim: int) -> pa.Schema:
    """Schema of `reports`; vectors are unit float16 of `dim` values, and no column where `dim` is 0."""
    fields = [
        pa.field("chunk_id", pa.string(), nullable=False),
        *_COMMON,
        pa.field("section", pa.string(), nullable=False),
        pa.field("start", pa.int32(), nullable=False),
        pa.field("end", pa.int32(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
    ]
    if dim:
        fields.append(pa.field("vector", pa.list_(pa.float16(), dim), nullable=False))
    return pa.schema(fields, metadata=report_facts(store_id, encoder_id))


def whole_schema(store_id: str, encoder_id: str) -> pa.Schema:
    """Schema of `reports_whole`: `passages` is how many the report has; terms stand with spaces between."""
    fields = [*_COMMON, pa.field("passages", pa.int32(), nullable=False)]
    fields += [pa.field(name, pa.string(), nullable=False) for name in FIELDS]
    return pa.schema(fields, metadata=report_facts(store_id, encoder_id))


def vectors_field(name: str, dim: int) -> pa.Field:
    """A column of several vectors a row (a page's patches, a passage's tokens), searched by the sum of best cosines."""
    return pa.field(name, pa.list_(pa.list_(pa.float16(), dim)), nullable=False)


def passages_table(
    schema: pa.Schema,
    reports: Sequence[tuple[Report, int, Sequence[Chunk]]],
    vectors: np.ndarray | None,
) -> pa.Table:
    """Rows of `reports` for reports with their generations and passages; `vectors` (n, dim) float16 in that order."""
    rows = [(report, generation, chunk) for report, generation, chunks in reports for chunk in chunks]
    columns: dict[str, Any] = {
        "chunk_id": [chunk.chunk_id for _, _, chunk in rows],
        "report_id": [report.report_id for report, _, _ in rows],
        "generation": [generation for _, generation, _ in rows],
        "patient_id": [report.patient_id for report, _, _ in rows],
        "slide_ids": [list(report.slide_ids) for report, _, _ in rows],
        "section": [chunk.section for _, _, chunk in rows],
        "start": [chunk.start for _, _, chunk in rows],
        "end": [chunk.end for _, _, chunk in rows],
        "text": [chunk.text for _, _, chunk in rows],
    }
    arrays = [pa.array(columns[field.name], field.type) for field in schema if field.name != "vector"]
    if vectors is not None:
        flat = pa.array(np.ascontiguousarray(vectors).reshape(-1), pa.float16())
        arrays.append(pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]))
    return pa.Table.from_arrays(arrays, schema=schema)


def whole_row(report: Report, generation: int, passages: int, terms: Terms | None = None) -> dict[str, Any]:
    """The report's row of `reports_whole`."""
    terms = terms or read_terms(f"{report.title}\n{report.text}")
    return {
        "report_id": report.report_id,
        "generation": generation,
        "patient_id": report.patient_id,
        "slide_ids": list(report.slide_ids),
        "passages": passages,
        **{name: _joined(terms.of(name)) for name in FIELDS},
    }


def _joined(terms: Iterable[str]) -> str:
    return " ".join(terms)
