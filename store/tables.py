"""Tables that people give: CSV or Parquet about slides or patients, read strictly."""

import csv
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slidelake.errors import ManifestError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_table"]

#: What stands for "not known" in columns other than ids.
_MISSING = ["", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "None"]


def read_table(
    path: str | Path, *, ids: Collection[str] = ("slide_id", "patient_id"), what: str = "table"
) -> "pd.DataFrame":
    """A CSV (UTF-8, a header) or Parquet file as a DataFrame, its columns' names without spaces around them.

    Columns named in `ids` are text, whatever they look like: 007 stays 007, and a patient called NA is one.
    In the others `NA`, `nan`, `NULL` and their like are empty cells. Raises ManifestError, which names the file
    as `what`: not there, not readable, a column twice, more fields than columns.
    """
    import pandas as pd

    path = Path(path)
    try:
        if path.suffix.lower() == ".parquet":
            table = pd.read_parquet(path)
            table.columns = [str(name).strip() for name in table.columns]
            return table
        names = _header(path)
        texts = [name for name in names if name in ids]
        return pd.read_csv(
            path,
            header=0,
            names=names,
            index_col=False,
            dtype=dict.fromkeys(texts, str),
            keep_default_na=False,
            na_values={name: [""] if name in ids else _MISSING for name in names},
            encoding="utf-8-sig",
        )
    except FileNotFoundError as exc:
        raise ManifestError(f"there is no {what} {path}", remedy="Check the path.") from exc
    except ManifestError:
        raise
    except (OSError, ValueError, csv.Error) as exc:
        raise ManifestError(
            f"{path} cannot be read: {exc}", remedy="Give a CSV (UTF-8, with a header) or a Parquet file."
        ) from exc


def _header(path: Path) -> list[str]:
    """The columns of a CSV whose every line has no more fields than it has; pandas would move them aside."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file)
        names = [name.strip() for name in next(lines, [])]
        _refuse_doubles(path, names)
        for line in lines:
            if len(line) > len(names):
                raise ManifestError(
                    f"{path}, line {lines.line_num}: {len(line)} fields under {len(names)} columns",
                    remedy="Put fields that hold commas in quotes.",
                )
    return names


def _refuse_doubles(path: Path, names: Sequence[str]) -> None:
    for position, name in enumerate(names):
        if name.lower() in [each.lower() for each in names[:position]]:
            raise ManifestError(f"{path} has a column {name!r} twice", remedy="Leave one of the two out.")
