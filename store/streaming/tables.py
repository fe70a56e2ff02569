"""Tables about slides and patients, as people bring them: a DataFrame, a CSV or a Parquet file."""

import difflib
import os
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import ManifestError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NAMES_SHOWN", "column_of", "find_column", "listed", "numbers", "read_table", "suggest", "texts"]

#: How many wrong names a message lists.
NAMES_SHOWN = 5
#: What people call the two columns of ids; the first is ours, the others are common in label files.
SLIDE_COLUMNS = ("slide_id", "slide")
PATIENT_COLUMNS = ("patient_id", "patient", "case_id")
#: What stands for "not known" in columns other than ids, as in a manifest.
MISSING = frozenset({"", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "None"})


def read_table(source: "pd.DataFrame | str | os.PathLike[str]", what: str) -> "pd.DataFrame":
    """The table, columns named by text; from a CSV all cells are text, so that 007 stays 007.

    `what` names the table in messages. Raises ManifestError where it cannot be read.
    """
    import pandas as pd

    if isinstance(source, pd.DataFrame):
        frame = source.reset_index(drop=True)
    else:
        path = os.fspath(source)
        try:
            frame = pd.read_parquet(path) if path.lower().endswith(".parquet") else _read_csv(path)
        except FileNotFoundError as exc:
            raise ManifestError(f"there is no {what} {path}", remedy="Check the path.") from exc
        except (OSError, ValueError) as exc:
            raise ManifestError(
                f"the {what} {path} cannot be read: {exc}",
                remedy="Give a CSV (UTF-8, with a header) or a Parquet file.",
            ) from exc
    frame = frame.set_axis([str(name).strip() for name in frame.columns], axis="columns")
    if not frame.columns.is_unique:
        twice = sorted(set(frame.columns[frame.columns.duplicated()]))
        raise ManifestError(
            f"the {what} has columns of one name: {', '.join(twice)}", remedy="Name each column once."
        )
    return frame


def _read_csv(path: str) -> "pd.DataFrame":
    import pandas as pd

    # Read without a header, a line with more fields than the first is an error, and no name is changed.
    lines = pd.read_csv(path, header=None, dtype=str, na_filter=False, encoding="utf-8-sig")
    frame = lines.iloc[1:].reset_index(drop=True)
    return frame.set_axis([str(name) for name in lines.iloc[0]], axis="columns")


def find_column(table: "pd.DataFrame", names: Sequence[str]) -> str | None:
    """The first of `names` that the table has."""
    return next((name for name in names if name in table.columns), None)


def column_of(table: "pd.DataFrame", name: str, what: str) -> "pd.Series[Any]":
    """One column; raises ManifestError, which lists those that are there."""
    if name not in table.columns:
        raise ManifestError(
            f"the {what} has no column {name} (it has: {', '.join(table.columns) or 'none'})",
            remedy=suggest(name, table.columns) or "Name one of those.",
        )
    return table[name]


def texts(column: "pd.Series[Any]", missing: Collection[str] = ("",)) -> list[str]:
    """Each cell as text without blanks around it: 3.0 is "3"; "" where the cell is empty or says `missing`."""
    found = [_text(value) for value in column.array]
    return ["" if text in missing else text for text in found]


def _text(value: Any) -> str:
    import pandas as pd

    if isinstance(value, str):
        return value.strip()
    if pd.isna(value):
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)  # a column of whole numbers with gaps comes as floats
    return str(value).strip()


def numbers(column: "pd.Series[Any]", ids: Sequence[str], what: str) -> NDArray[np.float64]:
    """(n,) float64, NaN where the cell is empty; raises ManifestError for text and infinities, by their ids."""
    import pandas as pd

    cells = column.array
    empty = np.array(
        [pd.isna(value) or (isinstance(value, str) and value.strip() in MISSING) for value in cells], bool
    )
    found = np.full(len(empty), np.nan)
    parsed = pd.to_numeric(column.where(~empty, None), errors="coerce").astype("Float64")
    found[~empty] = parsed.to_numpy(dtype=np.float64, na_value=np.nan)[~empty]
    wrong = np.flatnonzero(~empty & ~np.isfinite(found)).tolist()
    if wrong:
        raise ManifestError(
            f"{what} is no finite number for {listed(f'{ids[n]} ({cells[n]})' for n in wrong)}",
            remedy="Give numbers, and leave cells empty where nothing is known.",
        )
    return found


def listed(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    every = list(names)
    more = len(every) - NAMES_SHOWN
    return ", ".join(every[:NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def suggest(name: str, known: Iterable[str]) -> str:
    """`Did you mean …?` where something close is known, else nothing."""
    close = difflib.get_close_matches(name, list(known), n=3)
    return f"Did you mean {', '.join(close)}?" if close else ""
