"""The manifest: a CSV or Parquet table of slides, with what a person knows about them.

Columns: `uri` (relative to the manifest's folder), and any of `slide_id`, `patient_id`, `mpp`. All other columns
are metadata, which the index can filter by.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slidelake.errors import ManifestError
from slidelake.ingest.local_copy import absolute, is_remote, local_path
from slidelake.store import read_table

__all__ = ["ManifestRow", "read_manifest"]

_IDS = ("uri", "slide_id", "patient_id")
_OWN = (*_IDS, "mpp")


@dataclass(frozen=True)
class ManifestRow:
    """One slide as the manifest tells of it, empty where it does not; `root` and `stem` as in Found."""

    uri: str
    slide_id: str = ""
    patient_id: str = ""
    mpp: float | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    root: str = ""
    stem: str = ""


def read_manifest(path: str | Path) -> list[ManifestRow]:
    """The rows of a CSV or Parquet manifest. Raises ManifestError, which names the file, row and column."""
    path = Path(path)
    table = read_table(path, ids=_IDS, what="manifest")
    if "uri" not in table.columns:
        raise ManifestError(
            f"{path} has no column uri (it has: {', '.join(table.columns)})",
            remedy="Name the column with the slides' paths or URLs `uri`.",
        )
    rows = [_row(path, number, record) for number, record in enumerate(table.to_dict("records"), start=2)]
    _refuse_doubles(path, [row.uri for row in rows], "uri")
    _refuse_doubles(path, [row.slide_id for row in rows if row.slide_id], "slide_id")
    return rows


def _row(path: Path, number: int, record: dict[Any, Any]) -> ManifestRow:
    import pandas as pd

    known = {str(name): value for name, value in record.items() if not pd.isna(value)}
    uri = _text(known.get("uri"))
    if not uri:
        raise ManifestError(f"{path}, line {number}: no uri", remedy="Give every row a path or URL.")
    if not is_remote(uri):
        uri = absolute(path.parent / local_path(uri))
    return ManifestRow(
        uri=uri,
        slide_id=_text(known.get("slide_id")),
        patient_id=_text(known.get("patient_id")),
        mpp=_mpp(path, number, known.get("mpp")),
        metadata={name: value for name, value in known.items() if name not in _OWN},
    )


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column of whole numbers with gaps comes as floats
    return "" if value is None else str(value).strip()


def _mpp(path: Path, number: int, value: Any) -> float | None:
    if value is None:
        return None
    try:
        mpp = float(value)
    except (TypeError, ValueError) as exc:
        raise ManifestError(
            f"{path}, line {number}: mpp {value!r} is no number",
            remedy="Give µm per pixel, for example 0.25.",
        ) from exc
    return mpp


def _refuse_doubles(path: Path, values: list[str], column: str) -> None:
    seen: set[str] = set()
    for value in values:
        # Ids that differ only in case are one; paths are what they are.
        key = value if column == "uri" else value.lower()
        if key in seen:
            raise ManifestError(f"{path} has {column} {value!r} twice", remedy="Leave one of the two out.")
        seen.add(key)
