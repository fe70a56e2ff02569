"""The index's tables: their names, Arrow schemas and the facts that stand in the schemas' metadata.

    slides                          one row a slide and vector table: which commit the vectors are from, the
                                    patient, the cohort's metadata columns
    patches__<grid>__<encoder>      one row a patch: slide, commit, row, level-0 x and y, tissue, blur, vector
    pooled__<grid>__<encoder>__<aggregator>    one row a slide: its pooled embedding

Metadata stands once a slide, not once a patch: a corrected label rewrites one small row, and a filter is
resolved to slides before vectors are looked at.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from slidelake.errors import NotFiniteError
from slidelake.index.filters import Column

__all__ = [
    "METRIC",
    "OWN_COLUMNS",
    "SCHEMA_VERSION",
    "SLIDES",
    "Collection",
    "declared_columns",
    "facts",
    "metadata_fields",
    "metadata_generation",
    "normalise",
    "slides_schema",
    "vectors_schema",
    "vectors_table",
]

SLIDES = "slides"
SCHEMA_VERSION = "1"
METRIC = "cosine"
_GENERATION = "slidelake.metadata_generation"

_SLIDES_FIXED = (
    pa.field("key", pa.string(), nullable=False),
    pa.field("slide_id", pa.string(), nullable=False),
    pa.field("table", pa.string(), nullable=False),
    pa.field("space", pa.string(), nullable=False),
    pa.field("aggregator", pa.string(), nullable=False),
    pa.field("epoch", pa.int32(), nullable=False),
    pa.field("generation", pa.int32(), nullable=False),
    pa.field("attempt", pa.string(), nullable=False),
    pa.field("rows", pa.int64(), nullable=False),
    pa.field("left_out", pa.int64(), nullable=False),
    pa.field("patient_id", pa.string(), nullable=False),
    pa.field("commit_patient_id", pa.string(), nullable=False),
)
#: The columns of `slides` that are not the cohort's.
OWN_COLUMNS = tuple(field.name for field in _SLIDES_FIXED)
_RESERVED = frozenset(OWN_COLUMNS) | {"row", "x", "y", "vector", "tissue", "blur"}
_PATCH_COLUMNS = {"row": "integer", "x": "integer", "y": "integer", "tissue": "integer", "blur": "integer"}
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True, order=True)
class Collection:
    """Vectors that may be compared with each other: the patches of a space, or its pooled slides.

    `aggregator` is empty for patches.
    """

    space: str
    aggregator: str = ""

    @property
    def table(self) -> str:
        """The table's name: letters, digits, `_`, `-` and `.` alone, and never one name for two spaces."""
        parts = [*self.space.split("/"), *([self.aggregator] if self.aggregator else [])]
        name = "__".join(["pooled" if self.aggregator else "patches", *parts])
        if any("__" in part for part in parts):  # a__b/c and a/b__c must not meet
            name += "__" + hashlib.sha256(f"{self.space}|{self.aggregator}".encode()).hexdigest()[:8]
        return name


def facts(store_id: str, collection: Collection | None = None) -> dict[str, str]:
    """What stands in a schema's metadata: a table whose facts differ is not read, and sync makes it anew."""
    common = {"slidelake.schema": SCHEMA_VERSION, "slidelake.store_id": store_id}
    if collection is None:
        return common
    return common | {
        "slidelake.metric": METRIC,
        "slidelake.space": collection.space,
        "slidelake.aggregator": collection.aggregator,
    }


def metadata_fields(columns: Mapping[str, pa.DataType]) -> list[pa.Field]:
    """Arrow fields for the cohort's metadata columns; the original name stands in each field's metadata.

    Names that are not plain identifiers, are ours, or differ from another only in case get a name of their
    own.
    """
    fields, taken = [], {name.lower() for name in _RESERVED}
    for name, dtype in columns.items():
        physical = name
        if not _PLAIN.fullmatch(name) or name.lower() in taken:
            stem = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_") or "column"
            physical = f"m_{stem}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        taken.add(physical.lower())
        fields.append(pa.field(physical, dtype, metadata={"slidelake.name": name}))
    return fields


def slides_schema(store_id: str, metadata: Iterable[pa.Field], generation: int = 0) -> pa.Schema:
    """Schema of the `slides` table: one row a (slide, vector table); `generation` is the cohort metadata's."""
    said = facts(store_id) | {_GENERATION: str(generation)}
    return pa.schema([*_SLIDES_FIXED, *metadata], metadata=said)


def metadata_generation(slides: pa.Schema) -> int:
    """The generation of the cohort's metadata that a `slides` table was made from."""
    return int((slides.metadata or {}).get(_GENERATION.encode(), b"-1"))


def vectors_schema(store_id: str, collection: Collection, dim: int) -> pa.Schema:
    """Schema of a vector table; vectors are L2-normalised float16 of `dim` values."""
    fields = [
        pa.field("slide_id", pa.string(), nullable=False),
        pa.field("epoch", pa.int32(), nullable=False),
        pa.field("generation", pa.int32(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),
    ]
    if not collection.aggregator:
        fields += [pa.field("x", pa.int32(), nullable=False), pa.field("y", pa.int32(), nullable=False)]
        fields += [pa.field("tissue", pa.uint8()), pa.field("blur", pa.uint8())]
    fields.append(pa.field("vector", pa.list_(pa.float16(), dim), nullable=False))
    return pa.schema(fields, metadata=facts(store_id, collection))


def vectors_table(schema: pa.Schema, columns: Mapping[str, Any], vectors: np.ndarray) -> pa.Table:
    """An Arrow table of `schema` from per-row columns and (n, D) float16 vectors; no row is copied twice."""
    n, dim = vectors.shape
    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float16).reshape(-1))
    arrays = {"vector": pa.FixedSizeListArray.from_arrays(flat, dim)}
    for field in schema:
        if field.name == "vector":
            continue
        value = columns.get(field.name)
        if value is None:
            arrays[field.name] = pa.nulls(n, field.type)
        elif isinstance(value, np.ndarray):
            arrays[field.name] = pa.array(value.astype(field.type.to_pandas_dtype()))
        else:
            arrays[field.name] = pa.repeat(pa.scalar(value, field.type), n)
    return pa.Table.from_arrays([arrays[field.name] for field in schema], schema=schema)


def normalise(features: np.ndarray, *, slide: str = "") -> tuple[np.ndarray, np.ndarray]:
    """L2-normalise (n, D) in float32 and store as float16; also which rows (n,) bool have a direction at all.

    Normalising comes before the cast: float16 ends at 65,504 and LanceDB takes inf without a word. Rows of
    zeros have no direction and no cosine. NotFiniteError for NaN or inf.
    """
    wide = np.asarray(features, dtype=np.float32)
    if not np.isfinite(wide).all():
        raise NotFiniteError(
            "features hold NaN or inf", remedy="Verify the store: `slidelake verify --deep`.", slide=slide
        )
    # Scaled by the largest value first: squares of values above 1e19 would overflow float32.
    largest = np.abs(wide).max(axis=1, initial=0.0, keepdims=True)
    usable = largest[:, 0] > 0
    wide = np.divide(wide, np.where(largest > 0, largest, 1), dtype=np.float32)
    norms = np.sqrt(np.einsum("nd,nd->n", wide, wide, dtype=np.float32))[:, None]
    narrow = (wide / np.where(norms > 0, norms, 1)).astype(np.float16)
    if not np.isfinite(narrow).all():
        raise NotFiniteError(
            "normalised features hold inf", remedy="Verify the store: `slidelake verify --deep`.", slide=slide
        )
    return narrow, usable


def declared_columns(slides: pa.Schema, *, patches: bool) -> dict[str, Column]:
    """The columns that filters may name, by the name people type, from the schema of the `slides` table."""
    columns = {name: Column(name, name, "text", "slide") for name in ("slide_id", "patient_id")}
    for field in slides:
        name = (field.metadata or {}).get(b"slidelake.name")
        if name is not None:
            columns[name.decode()] = Column(name.decode(), field.name, _kind(field.type), "slide")
    if patches:
        for name, kind in _PATCH_COLUMNS.items():
            columns.setdefault(name, Column(name, name, kind, "patch"))
    return columns


def _kind(dtype: pa.DataType) -> str:
    if pa.types.is_boolean(dtype):
        return "boolean"
    if pa.types.is_integer(dtype):
        return "integer"
    if pa.types.is_floating(dtype):
        return "number"
    return "text"
