"""A fold's log: log.csv, a row an epoch, and the same numbers as TensorBoard events."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slidelake.encoders.training.whole_file import whole_file
from slidelake.errors import MissingDependencyError

__all__ = ["EventLog", "tensorboard_there", "write_log"]


def write_log(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes all rows, whole or not at all: after a kill the log says what the saved state says."""
    with whole_file(path) as beside, beside.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows({name: _cell(value) for name, value in row.items()} for row in rows)


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return f"{value:.7g}" if isinstance(value, float) else value


def tensorboard_there(wanted: str) -> bool:
    """Whether events are written: "on", "off", or where the package is ("auto").

    Raises MissingDependencyError where it was asked for and is not there.
    """
    if wanted == "off":
        return False
    try:
        import tensorboard  # noqa: F401
    except ImportError as exc:
        if wanted == "auto":
            return False
        raise MissingDependencyError(
            "TensorBoard events were asked for, and the package is not there",
            remedy="pip install 'slidelake[train]', or pass --no-tensorboard.",
        ) from exc
    return True


class EventLog:
    """TensorBoard events of one fold; epochs from `first` on replace what a killed training wrote of them."""

    def __init__(self, folder: Path, first: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=first or None)

    def epoch(self, row: Mapping[str, Any]) -> None:
        """One row of the log."""
        for name, value in row.items():
            if name != "epoch" and isinstance(value, int | float) and not isinstance(value, bool):
                part, _, what = name.partition("_")
                tag = f"{part}/{what}" if part in ("train", "val") else f"run/{name}"
                self._writer.add_scalar(tag, value, row["epoch"])
        self._writer.flush()

    def close(self) -> None:
        """Closes the file of events."""
        self._writer.close()
